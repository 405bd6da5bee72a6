// A rate limit, an outage and a refused password concern one registry; the images of another go on undisturbed.
import { afterAll, beforeAll, expect, test } from "vitest";
import { startContainerd } from "../rig/containerd.ts";
import { type FaultProxy, startFaultProxy } from "../rig/fault-proxy.ts";
import { pushImage } from "../rig/push.ts";
import { type Registry, startRegistry } from "../rig/registry.ts";
import { describeEachLine, describeEveryLine } from "../rig/suite.ts";
import { encoded, wrongPassword } from "./faults-catalogue.ts";
import { type Agent, agentFor } from "./support/agent.ts";
import { imageOf, type Status } from "./support/status.ts";

const limitedFor = 3_000;

describeEveryLine("two registries", (line) => {
  const cleanup = new AsyncDisposableStack();
  const proxies = {} as Record<"limited" | "down" | "locked" | "calm", FaultProxy>;
  const names = {} as Record<keyof typeof proxies, string[]>;
  let status: Status;
  let agent: Agent;

  const push = async (registry: Registry, kind: keyof typeof proxies): Promise<void> => {
    const proxy = cleanup.use(await startFaultProxy(registry));
    const images = ["a", "b", "c"].map((name) =>
      pushImage(registry, `${kind}/${name}:1`, { layers: [{ bytes: 20_000, seed: `${kind}-${name}` }] }),
    );
    proxies[kind] = proxy;
    names[kind] = (await Promise.all(images)).map(
      ({ repository, tag }) => `${proxy.host}/${repository}:${tag}`,
    );
  };

  beforeAll(async () => {
    const registry = cleanup.use(await startRegistry());
    const secured = cleanup.use(await startRegistry({ auth: { user: "puller", password: "right" } }));
    const containerd = cleanup.use(await startContainerd(line));
    for (const kind of ["limited", "down", "calm"] as const) await push(registry, kind);
    await push(secured, "locked");
    for (const { host } of Object.values(proxies))
      await containerd.useHost(host, { server: `http://${host}` });
    agent = agentFor(containerd);
    proxies.limited.set({ status: 429 });
    await proxies.down.down("refused");
    const running = agent.start({
      images: Object.values(names)
        .flat()
        .map((name) => ({ name })),
      registries: [{ host: proxies.locked.host, auth: encoded("puller", wrongPassword) }],
      retry: { attempts: 16, min_delay: "500ms", max_delay: "1s" },
      registry_timeout: "30s",
      concurrency: 6,
    });
    await agent.logged(
      "the rate limit is met",
      ({ event, class: found }) => event === "attempt-failed" && found === "rate-limit",
    );
    await proxies.down.outage(limitedFor);
    proxies.limited.clear();
    await running.ended;
    status = agent.status();
  });
  afterAll(() => cleanup.disposeAsync());

  test("one that is calm gets its images while others are retried", () => {
    const calm = names.calm.map((name) => imageOf(status, name));
    expect(calm.map(({ phase, attempts }) => ({ phase, attempts }))).toEqual(
      calm.map(() => ({ phase: "pulled", attempts: 1 })),
    );
    const pulled = (list: readonly string[]): number[] =>
      agent
        .log()
        .flatMap(({ event, image = "", time }) =>
          event === "pulled" && list.includes(image) ? [Date.parse(time)] : [],
        );
    expect(Math.max(...pulled(names.calm))).toBeLessThan(Math.min(...pulled(names.limited)));
  });

  test("a rate limit is waited for, and not met by each image anew", () => {
    expect(names.limited.map((name) => imageOf(status, name).phase)).toEqual(["pulled", "pulled", "pulled"]);
    const refused = proxies.limited.requests().filter((request) => request.status === 429).length;
    // An attempt costs the registry up to 6 requests. Rounds are at least a second apart, and three pulls run at once.
    expect(refused).toBeLessThanOrEqual((2 + limitedFor / 1_000) * 3 * 6);
  });

  test("an outage is survived", () => {
    expect(names.down.map((name) => imageOf(status, name).phase)).toEqual(["pulled", "pulled", "pulled"]);
  });

  test("a refused password is shown for two repositories at most, however many pulls could begin with it", () => {
    const locked = names.locked.map((name) => imageOf(status, name));
    expect(locked.map(({ phase, failure }) => [phase, failure?.class])).toEqual(
      locked.map(() => ["failed", "auth"]),
    );
    const shown = proxies.locked.requests().filter(({ authorization }) => authorization !== undefined).length;
    expect(locked.reduce((sum, { attempts }) => sum + attempts, 0)).toBe(2);
    expect(shown).toBeLessThanOrEqual(2 * 6);
  });
});

describeEachLine(
  "a registry that hangs",
  (line) => {
    test("is asked by one image at a time, and its images are given up together", async () => {
      await using cleanup = new AsyncDisposableStack();
      const proxy = cleanup.use(await startFaultProxy(cleanup.use(await startRegistry())));
      const containerd = cleanup.use(await startContainerd(line));
      await containerd.useHost(proxy.host, { server: `http://${proxy.host}` });
      proxy.set({ hang: true });
      const agent = agentFor(containerd);
      const images = Array.from({ length: 8 }, (_, index) => ({ name: `${proxy.host}/hung/${index}:1` }));
      const settings = { registry_timeout: "8s", stall_timeout: "1s", concurrency: 4 };
      const { exitCode, seconds } = await agent.run({ images, ...settings });
      const attempts = images.map(({ name }) => imageOf(agent.status(), name).attempts);
      // Four at once, and then one after the other, each with more time: 2 s, 3 s.
      const total = attempts.reduce((sum, count) => sum + count, 0);
      expect(exitCode).toBe(1);
      expect(total).toBeLessThanOrEqual(4 + 4);
      expect(seconds).toBeLessThan(12);
      const reasons = images.map(({ name }) => imageOf(agent.status(), name).failure?.message);
      expect(new Set(reasons).size).toBe(1);
    });
  },
  { among: ["1.7", "2"] },
);
