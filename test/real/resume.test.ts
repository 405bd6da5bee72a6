// What a broken download costs. The image has 80 MB, of which a 60 MB layer breaks in its middle.
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Containerd, startContainerd } from "../rig/containerd.ts";
import { type FaultProxy, startFaultProxy } from "../rig/fault-proxy.ts";
import { poll } from "../rig/poll.ts";
import { type PushedImage, pushImage, pushIndex } from "../rig/push.ts";
import { type Registry, startRegistry } from "../rig/registry.ts";
import { describeEveryLine } from "../rig/suite.ts";
import { type Agent, agentFor } from "./support/agent.ts";
import { heldOn } from "./support/node.ts";
import { imageOf } from "./support/status.ts";

const MB = 1_000_000;
const half = 30 * MB;
/** Slow enough for the observer to see the image before it breaks. */
const rate = 12 * MB;
const stallTimeout = 2;

interface Large {
  readonly repository: string;
  readonly broken: string;
  readonly others: readonly string[];
}

let registry: Registry;
const large = {} as Record<"once" | "late" | "index" | "killed", Large>;

beforeAll(async () => {
  registry = await startRegistry();
  await pushImage(registry, "garbage:1", { layers: [{ bytes: 1000, seed: "garbage" }] });
  for (const kind of ["once", "late", "index", "killed"] as const) {
    const image = await pushImage(registry, `large/${kind}:1`, {
      layers: [10, 10, 60].map((size, at) => ({ bytes: size * MB, seed: `${kind}-${at}` })),
    });
    if (kind === "index") {
      const other = await pushImage(registry, `large/${kind}:other`, {
        layers: [{ bytes: 1000, seed: "other" }],
        platform: "linux/s390x",
      });
      await pushIndex(registry, `large/${kind}:1`, [{ image: other }, { image }]);
    }
    large[kind] = largeOf(image);
  }
});
afterAll(() => registry.stop());

const largeOf = ({ repository, layers }: PushedImage): Large => {
  const digests = layers.map(({ digest }) => digest);
  return { repository, broken: digests[2]!, others: digests.slice(0, 2) };
};

describeEveryLine("a broken download", (line) => {
  let containerd: Containerd;
  let proxy: FaultProxy;
  let agent: Agent;

  beforeAll(async () => {
    containerd = await startContainerd(line);
  });
  afterAll(() => containerd.stop());
  afterEach(() => proxy.stop());

  const behindProxy = async ({ repository }: Pick<Large, "repository">): Promise<string> => {
    proxy = await startFaultProxy(registry);
    await containerd.useHost(proxy.host, { server: `http://${proxy.host}` });
    agent = agentFor(containerd);
    return `${proxy.host}/${repository}:1`;
  };
  const settings = {
    retry: { attempts: 5, min_delay: "1s", max_delay: "1s" },
    stall_timeout: `${stallTimeout}s`,
    registry_timeout: "1m",
  };
  const run = (name: string) => agent.run({ images: [{ name }], ...settings });
  const phaseOf = (name: string): string => imageOf(agent.status(), name).phase;
  const served = ({ broken, others }: Large) => ({
    broken: proxy.bytesServedFor(broken) / MB,
    others: others.reduce((sum, digest) => sum + proxy.bytesServedFor(digest), 0) / MB,
  });
  const report = (what: string, image: Large): void => {
    const { broken, others } = served(image);
    const again = broken + others - 80;
    console.log(
      `${line}: ${what}: ${again.toFixed(1)} MB fetched twice, ${(broken - 30 + others - 20).toFixed(1)} MB after the break`,
    );
  };
  /** At most 1 MB more than the image has: what was fetched was never fetched again. */
  const expectOnce = (image: Large): void => {
    expect(served(image).broken).toBeLessThan(61);
    expect(served(image).others).toBeLessThan(20.1);
  };
  const othersFinished = (name: string) =>
    poll(
      "the others are finished",
      () => imageOf(agent.status(), name).progress?.layersDone === 2 || undefined,
    );
  const broken = (digest: string) => ({ digest, resetAfter: half, bytesPerSecond: rate, times: 1 });

  test("is gone on with at once", async () => {
    const name = await behindProxy(large.once);
    proxy.set(broken(large.once.broken));
    const ended = await run(name);

    report("at once", large.once);
    expect([ended.exitCode, phaseOf(name)]).toEqual([0, "pulled"]);
    expect(agent.log().find(({ event }) => event === "attempt-failed")).toMatchObject({ retryIn: 0 });
    expectOnce(large.once);
    expect(await heldOn(containerd)).toEqual([]);
  });

  test.each(["late", "index"] as const)(
    "is gone on with after the registry was away for a while: %s",
    async (kind) => {
      const name = await behindProxy(large[kind]);
      const image = large[kind];
      proxy.set({ digest: image.broken, stallAfter: half, times: 1 });
      const running = agent.start({ images: [{ name }], ...settings, stall_timeout: "30s" });
      await proxy.served(image.broken, half);
      await othersFinished(name);
      await proxy.down("destroyed");
      await agent.logged(
        "the retry at once has failed",
        ({ event, attempt }) => event === "attempt-failed" && attempt === 2,
      );
      await proxy.up();
      const ended = await running.ended;

      report(kind, image);
      expect([ended.exitCode, phaseOf(name)]).toEqual([0, "pulled"]);
      expectOnce(image);
      expect(await heldOn(containerd)).toEqual([]);
    },
  );

  test("is gone on with by the next run after the agent was killed and containerd restarted", async () => {
    const image = large.killed;
    const name = await behindProxy(image);
    proxy.set({ digest: image.broken, stallAfter: half, times: 1 });
    const running = agent.start({ images: [{ name }], ...settings, stall_timeout: "60s" });
    await proxy.served(image.broken, half);
    await othersFinished(name);
    running.kill("SIGKILL");
    await running.ended;
    await containerd.restart();
    // Somebody else's pull has containerd collect its garbage.
    await containerd.crictl("pull", `${registry.host}/garbage:1`);

    expect(await heldOn(containerd)).toHaveLength(1);
    expect((await run(name)).exitCode).toBe(0);
    report("killed", image);
    expectOnce(image);
    expect(phaseOf(name)).toBe("pulled");
    expect(await heldOn(containerd)).toEqual([]);
  });

  test("with wrong bytes is thrown away and fetched anew", async () => {
    const image = await pushImage(registry, `wrong/${line}:1`, {
      layers: [{ bytes: 3 * MB, seed: `wrong-${line}` }],
    });
    const name = await behindProxy(image);
    proxy.set({ digest: image.layers[0]!.digest, corruptAt: 1_000_000, bytesPerSecond: 2 * MB, times: 1 });

    expect((await run(name)).exitCode).toBe(0);
    expect(imageOf(agent.status(), name)).toMatchObject({ phase: "pulled", attempts: 2 });
    expect(await heldOn(containerd)).toEqual([]);
  });

  test("that nobody goes on with is collected when its lease has expired", async () => {
    const image = await pushImage(registry, `expired/${line}:1`, {
      layers: [{ bytes: 6 * MB, seed: `expired-${line}` }],
    });
    const name = await behindProxy(image);
    const { digest } = image.layers[0]!;
    proxy.set({ digest, stallAfter: 3 * MB });
    const ended = await agent.run({ images: [{ name }], retry: { attempts: 1 }, stall_timeout: "2s" });
    expect(ended.exitCode).toBe(1);
    const [lease = ""] = await heldOn(containerd);
    const partial = async (): Promise<boolean> =>
      (await containerd.ctr("content", "active")).includes(digest);
    expect(await partial()).toBe(true);

    // As if a day had passed: the same lease, with another expiry.
    await containerd.ctr("leases", "rm", "--sync", lease);
    expect(await partial()).toBe(false);
    await containerd.ctr("leases", "create", "--id", lease, "--expires", "1s", "io.import-images.lease=true");
    await delay(1_500);
    // Any change has containerd collect its garbage.
    await containerd.crictl("pull", `${registry.host}/garbage:1`);
    await containerd.crictl("rmi", `${registry.host}/garbage:1`);
    await poll("the lease is gone", async () => (await heldOn(containerd)).length === 0 || undefined);
  });

  test("is noticed when it stalls, also while another image moves", async () => {
    const image = await pushImage(registry, `stall/${line}:1`, {
      layers: [{ bytes: 3 * MB, seed: `stall-${line}` }],
    });
    const slow = await pushImage(registry, `slow/${line}:1`, {
      layers: [{ bytes: 8 * MB, seed: `slow-${line}` }],
    });
    const name = await behindProxy(image);
    // Above 1 MiB, so that a piece of the layer is written.
    const begun = 2 * MB;
    const other = `${proxy.host}/${slow.repository}:1`;
    const { digest } = image.layers[0]!;
    proxy.set(
      { digest, stallAfter: begun, times: 1 },
      { digest: slow.layers[0]!.digest, bytesPerSecond: MB },
    );
    const running = agent.start({ images: [{ name }, { name: other }], ...settings });
    const { startedAt } = await poll("the layer is asked for", () =>
      proxy.requests().find((request) => request.method === "GET" && request.digest === digest),
    );
    const since = Date.now() - (performance.now() - startedAt);
    const { time } = await agent.logged(
      "the stall is noticed",
      ({ event, class: found }) => event === "attempt-failed" && found === "stall",
    );
    const noticed = (Date.parse(time) - since) / 1000;
    await running.ended;

    console.log(`${line}: stall of ${stallTimeout} s noticed after ${noticed.toFixed(1)} s`);
    expect(noticed).toBeLessThan(stallTimeout + 5);
    expect([phaseOf(name), phaseOf(other)]).toEqual(["pulled", "pulled"]);
    expect(imageOf(agent.status(), other).attempts).toBe(1);
  });

  test("is not taken for a stall by images that wait for containerd's download limit", async () => {
    const names = Array.from({ length: 6 }, (_, at) => `queue/${line}-${at}`);
    for (const at of names) await pushImage(registry, `${at}:1`, { layers: [{ bytes: 9 * MB, seed: at }] });
    await behindProxy({ repository: "" });
    // Three at a time on containerd 2: the last three wait for longer than stall_timeout. Not slower, because containerd
    // writes in pieces of 1 MiB, and a piece has to come within stall_timeout.
    proxy.set({ path: /blobs/, method: "GET", bytesPerSecond: 1.5 * MB });
    const images = names.map((repository) => ({ name: `${proxy.host}/${repository}:1` }));
    const ended = await agent.run({ images, ...settings, stall_timeout: "4s", concurrency: 6 });

    expect(ended.exitCode).toBe(0);
    expect(agent.status().images.map(({ attempts }) => attempts)).toEqual(names.map(() => 1));
  });
});
