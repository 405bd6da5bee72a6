// Which image is pulled next, and how long a registry is waited for: with the settings that operators have, and so with real
// waits. All of them go on at once.
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Containerd, startContainerd } from "../rig/containerd.ts";
import { startFaultProxy } from "../rig/fault-proxy.ts";
import { type PushedImage, pushImage } from "../rig/push.ts";
import { type Registry, startRegistry } from "../rig/registry.ts";
import { describeEachLine } from "../rig/suite.ts";
import { agentFor } from "./support/agent.ts";
import { imageOf } from "./support/status.ts";

const MB = 1_000_000;
const MINUTE = 60_000;
/** What the agent of tests shortens, as it is without a setting. */
const defaults = {
  retry: { attempts: 5, min_delay: "1s", max_delay: "30s" },
  registry_timeout: "5m",
  containerd: { ready_timeout: "120s" },
};

describeEachLine(
  "with default settings",
  (line) => {
    const cleanup = new AsyncDisposableStack();
    let registry: Registry;
    let pushed: PushedImage[];

    beforeAll(async () => {
      registry = cleanup.use(await startRegistry());
      pushed = await Promise.all(
        Array.from({ length: 40 }, (_, n) =>
          pushImage(registry, `waits/i${n}:1`, { layers: [{ bytes: 20_000, seed: `waits-${n}` }] }),
        ),
      );
    });
    afterAll(() => cleanup.disposeAsync());

    /** A containerd of its own, and the first images of the registry behind a proxy of their own. */
    async function node(count: number, use: (containerd: Containerd, host: string) => Promise<void>) {
      const containerd = cleanup.use(await startContainerd(line));
      const proxy = cleanup.use(await startFaultProxy(registry));
      await use(containerd, proxy.host);
      const names = pushed.slice(0, count).map(({ repository }) => `${proxy.host}/${repository}:1`);
      return { containerd, proxy, names, agent: agentFor(containerd) };
    }
    const plain = (containerd: Containerd, host: string): Promise<void> =>
      containerd.useHost(host, { server: `http://${host}` });
    const list = (names: readonly string[]) => names.map((name) => ({ name }));

    test.concurrent(
      "a registry that refuses for 20 s and answers 503 until 45 s costs no image",
      async () => {
        const { proxy, names, agent } = await node(10, plain);
        await proxy.down("refused");
        const running = agent.start({ ...defaults, images: list(names) });
        await delay(20_000);
        proxy.set({ status: 503 });
        await proxy.up();
        await delay(25_000);
        proxy.clear();
        const ended = await running.ended;
        console.log(
          `${line}: a registry away for 45 s: all of 10 images after ${ended.seconds.toFixed(1)} s`,
        );
        expect([ended.exitCode, ended.stderr]).toEqual([0, ""]);
        expect(ended.seconds).toBeLessThan(90);
      },
      5 * MINUTE,
    );

    test.concurrent(
      "a dead registry costs five minutes in all, and images of a good one come without delay",
      async () => {
        const { containerd, proxy, names, agent } = await node(40, plain);
        const good = cleanup.use(await startFaultProxy(registry));
        await plain(containerd, good.host);
        await proxy.down("refused");
        const goodNames = pushed.slice(0, 20).map(({ repository }) => `${good.host}/${repository}:1`);
        const running = agent.start({ ...defaults, images: [...list(names), ...list(goodNames)] });
        const last = await agent.logged(
          "the last good one",
          ({ event, image = "" }) => event === "pulled" && image === goodNames.at(-1),
        );
        const ended = await running.ended;
        const begun = Date.parse(agent.log()[0]!.time);
        const ends = agent.log().filter(({ event }) => event === "image-failed");
        const moments = ends.map(({ time }) => Date.parse(time));
        console.log(
          `${line}: beside 40 of a dead registry, 20 good ones after ${Date.parse(last.time) - begun} ms, the rest given up after ${ended.seconds.toFixed(1)} s`,
        );
        expect(ended.exitCode).toBe(1);
        expect(goodNames.map((name) => imageOf(agent.status(), name).phase)).toEqual(
          goodNames.map(() => "pulled"),
        );
        // Seconds, but for a machine that is busy with all the others.
        expect(Date.parse(last.time) - begun).toBeLessThan(60_000);
        expect(ends).toHaveLength(40);
        expect(Math.max(...moments) - Math.min(...moments)).toBeLessThan(1_000);
        expect(ended.seconds).toBeGreaterThan(299);
        expect(ended.seconds).toBeLessThan(315);
        expect(ended.stderr).toContain("gave nothing for 5m00s (registry_timeout)");
      },
      8 * MINUTE,
    );

    test.concurrent(
      "a frozen containerd ends the run within ready_timeout and a minute",
      async () => {
        const { containerd, proxy, agent } = await node(0, plain);
        const image = await pushImage(registry, "waits/big:1", { layers: [{ bytes: 20 * MB, seed: "big" }] });
        proxy.set({ digest: image.layers[0]!.digest, bytesPerSecond: MB / 2 });
        const running = agent.start({ ...defaults, images: [{ name: `${proxy.host}/waits/big:1` }] });
        await proxy.served(image.layers[0]!.digest, 2 * MB);
        const frozen = performance.now();
        containerd.freeze();
        const ended = await running.ended;
        const seconds = (performance.now() - frozen) / 1_000;
        containerd.thaw();
        console.log(`${line}: a frozen containerd ends the run after ${seconds.toFixed(1)} s`);
        expect(ended.exitCode).toBe(3);
        expect(seconds).toBeLessThan(180);
      },
      6 * MINUTE,
    );

    test.concurrent(
      "a cache that sends nothing for 90 s, and begins anew when its client leaves, gives every image",
      async () => {
        const { proxy, names, agent } = await node(4, plain);
        proxy.set({ path: /blobs/, latencyMs: 90_000 });
        const ended = await agent.run({ ...defaults, images: list(names) });
        console.log(
          `${line}: a cache with its first byte after 90 s: 4 images after ${ended.seconds.toFixed(1)} s`,
        );
        expect([ended.exitCode, ended.stderr]).toEqual([0, ""]);
      },
      15 * MINUTE,
    );

    test.concurrent(
      "a dead mirror in front of a good registry holds nothing up for good",
      async () => {
        // An address from which nothing ever comes back.
        const { names, agent } = await node(4, (containerd, host) =>
          containerd.useHost(host, { server: `http://${host}`, mirror: "http://192.0.2.1" }),
        );
        const ended = await agent.run({ ...defaults, images: list(names) });
        console.log(`${line}: behind a dead mirror: 4 images after ${ended.seconds.toFixed(1)} s`);
        expect([ended.exitCode, ended.stderr]).toEqual([0, ""]);
      },
      15 * MINUTE,
    );

    test.concurrent(
      "a rerun in an air gap is over in seconds, with every image that is usable",
      async () => {
        const { proxy, names, agent } = await node(40, plain);
        const latest = await Promise.all(
          Array.from({ length: 20 }, (_, n) =>
            pushImage(registry, `waits/latest${n}:latest`, {
              layers: [{ bytes: 1_000, seed: `latest-${n}` }],
            }),
          ),
        );
        const all = [...names, ...latest.map(({ repository }) => `${proxy.host}/${repository}:latest`)];
        expect((await agent.run({ ...defaults, images: list(all) })).exitCode).toBe(0);
        await proxy.down("refused");
        const refused = await agent.run({ ...defaults, images: list(all) });
        await proxy.up();
        proxy.set({ hang: true });
        const silent = await agent.run({ ...defaults, images: list(all) });
        console.log(
          `${line}: rerun of 60 without a registry: ${refused.seconds.toFixed(1)} s refused, ${silent.seconds.toFixed(1)} s silent`,
        );
        expect([refused.exitCode, silent.exitCode]).toEqual([0, 0]);
        expect(refused.seconds).toBeLessThan(10);
        expect(silent.seconds).toBeLessThan(10);
        expect(all.map((name) => imageOf(agent.status(), name).phase)).toEqual([
          ...names.map(() => "present"),
          ...latest.map(() => "kept"),
        ]);
      },
      3 * MINUTE,
    );
  },
  { among: ["1.7"] },
);

describeEachLine(
  "one repository",
  (line) => {
    const cleanup = new AsyncDisposableStack();
    let registry: Registry;
    beforeAll(async () => {
      registry = cleanup.use(await startRegistry());
    });
    afterAll(() => cleanup.disposeAsync());

    async function node() {
      const containerd = cleanup.use(await startContainerd(line));
      const proxy = cleanup.use(await startFaultProxy(registry));
      await containerd.useHost(proxy.host, { server: `http://${proxy.host}` });
      return { containerd, proxy, agent: agentFor(containerd) };
    }
    const layer = (image: PushedImage): string => image.layers[0]!.digest;

    test.concurrent(
      "two tags of which one falls silent: the other one goes on in its one attempt",
      async () => {
        const { proxy, agent } = await node();
        const silent = await pushImage(registry, "two/app:1", { layers: [{ bytes: 4 * MB, seed: "two-1" }] });
        const moving = await pushImage(registry, "two/app:2", {
          layers: [{ bytes: 16 * MB, seed: "two-2" }],
        });
        proxy.set(
          { digest: layer(silent), stallAfter: MB, times: 1 },
          { digest: layer(moving), bytesPerSecond: MB },
        );
        const names = [1, 2].map((n) => `${proxy.host}/two/app:${n}`);
        const ended = await agent.run({ images: names.map((name) => ({ name })), stall_timeout: "5s" });
        expect(ended.exitCode).toBe(0);
        expect(names.map((name) => imageOf(agent.status(), name).attempts)).toEqual([2, 1]);
      },
      MINUTE,
    );

    test.concurrent(
      "a manifest that a failed run left hides nothing of the next pull",
      async () => {
        const { proxy, agent } = await node();
        const name = `${proxy.host}/left/app:1`;
        const old = await pushImage(registry, "left/app:1", { layers: [{ bytes: 8 * MB, seed: "old" }] });
        proxy.set({ digest: layer(old), stallAfter: 3 * MB, bytesPerSecond: 2 * MB });
        const quick = { attempts: 1, min_delay: "1ms", max_delay: "1ms" };
        const left = await agent.run({ images: [{ name }], stall_timeout: "3s", retry: quick });
        expect(left.exitCode).toBe(1);
        const now = await pushImage(registry, "left/app:1", { layers: [{ bytes: 16 * MB, seed: "now" }] });
        proxy.set({ path: /manifests/, latencyMs: 1_500 }, { digest: layer(now), bytesPerSecond: MB });
        const running = agent.start({ images: [{ name }], stall_timeout: "6s", retry: { attempts: 3 } });
        await proxy.served(layer(now), 8 * MB);
        const { progress } = imageOf(agent.status(), name) as { progress?: { total: number } };
        const ended = await running.ended;
        expect([ended.exitCode, imageOf(agent.status(), name).attempts]).toEqual([0, 1]);
        expect(progress?.total).toBe(now.layers[0]!.size);
        expect(proxy.bytesServedFor(layer(now))).toBe(now.layers[0]!.size);
      },
      MINUTE,
    );

    test.concurrent(
      "an image that breaks first in a long list is retried before the others are begun",
      async () => {
        const { proxy, agent } = await node();
        const images = await Promise.all(
          Array.from({ length: 12 }, (_, n) =>
            pushImage(registry, `queue/i${n}:1`, { layers: [{ bytes: MB, seed: `queue-${n}` }] }),
          ),
        );
        proxy.set(
          { path: /blobs/, bytesPerSecond: MB },
          // Newer containerds ask again by themselves after a 503.
          { digest: layer(images[0]!), status: 404, times: 1 },
        );
        const names = images.map(({ repository }) => `${proxy.host}/${repository}:1`);
        const ended = await agent.run({
          images: names.map((name) => ({ name })),
          concurrency: 1,
        });
        expect(ended.exitCode).toBe(0);
        const begun = agent.log().filter(({ event }) => event === "attempt-started");
        // It is due within a second, in which one or two of the others begin.
        expect(begun.slice(0, 4).filter(({ image }) => image === names[0])).toHaveLength(2);
      },
      MINUTE,
    );

    test.concurrent(
      "a basic login that may not read the first repository is taken for the others",
      async () => {
        const { proxy, agent } = await node();
        for (const name of ["a", "b", "c"])
          await pushImage(registry, `basic/${name}:1`, { layers: [{ bytes: 1_000, seed: `basic-${name}` }] });
        proxy.set({ path: /basic\/a\//, status: 401 });
        const names = ["a", "b", "c"].map((name) => `${proxy.host}/basic/${name}:1`);
        const ended = await agent.run({
          images: names.map((name) => ({ name, username: "robot", password: "secret-of-the-robot" })),
        });
        expect(ended.exitCode).toBe(1);
        expect(names.map((name) => imageOf(agent.status(), name).phase)).toEqual([
          "failed",
          "pulled",
          "pulled",
        ]);
      },
      MINUTE,
    );
  },
  { among: ["1.7", "2"] },
);
