// containerd goes away in the middle of a run, or the agent does.
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Containerd, startContainerd } from "../rig/containerd.ts";
import { type FaultProxy, startFaultProxy } from "../rig/fault-proxy.ts";
import { poll } from "../rig/poll.ts";
import { pushImage } from "../rig/push.ts";
import { startRegistry } from "../rig/registry.ts";
import { describeEachLine } from "../rig/suite.ts";
import { type Agent, agentFor } from "./support/agent.ts";
import { clientsOf, heldOn } from "./support/node.ts";

const MB = 1_000_000;
const patience = 4;

describeEachLine("a lost runtime", (line) => {
  let cleanup: AsyncDisposableStack;
  let containerd: Containerd;
  let proxy: FaultProxy;
  let agent: Agent;
  let properties: Record<string, unknown>;
  let digest: string;

  beforeEach(async () => {
    cleanup = new AsyncDisposableStack();
    const registry = cleanup.use(await startRegistry());
    containerd = cleanup.use(await startContainerd(line));
    proxy = cleanup.use(await startFaultProxy(registry));
    await containerd.useHost(proxy.host, { server: `http://${proxy.host}` });
    const pushed = await Promise.all(
      ["a", "b", "c"].map((seed) =>
        pushImage(registry, `loss/${seed}:1`, { layers: [{ bytes: 2 * MB, seed }] }),
      ),
    );
    digest = pushed[0]!.layers[0]!.digest;
    proxy.set({ path: /blobs/, bytesPerSecond: MB });
    agent = agentFor(containerd);
    properties = {
      images: pushed.map(({ repository }) => ({ name: `${proxy.host}/${repository}:1` })),
      retry: { attempts: 3, min_delay: "100ms", max_delay: "500ms" },
      stall_timeout: "10s",
      containerd: { ready_timeout: `${patience}s` },
    };
  });
  afterEach(() => cleanup.disposeAsync());

  const phases = (): string[] => agent.status().images.map(({ phase }) => phase);
  const midway = (): Promise<void> => proxy.served(digest, MB / 2);

  test("that is restarted is waited for", async () => {
    const running = agent.start(properties);
    await midway();
    await containerd.kill();
    await containerd.restart();

    expect((await running.ended).exitCode).toBe(0);
    expect(phases()).toEqual(["pulled", "pulled", "pulled"]);
    expect(await heldOn(containerd)).toEqual([]);
  });

  test("that is frozen for a while is waited for", async () => {
    const running = agent.start(properties);
    await midway();
    containerd.freeze();
    // Long enough for pulls to end meanwhile, shorter than anyone's patience.
    setTimeout(() => containerd.thaw(), 2_000);

    expect((await running.ended).exitCode).toBe(0);
    expect(phases()).toEqual(["pulled", "pulled", "pulled"]);
    expect(await heldOn(containerd)).toEqual([]);
  });

  test("that does not come back ends the run", async () => {
    const running = agent.start(properties);
    await midway();
    await containerd.kill();
    const ended = await running.ended;

    expect(ended.exitCode).toBe(3);
    expect(ended.seconds).toBeLessThan(2 + patience * 2);
    expect(ended.stderr).toContain("container runtime not ready");
    expect(agent.status()).toMatchObject({ phase: "ended", exitCode: 3 });
    expect(phases()).not.toContain("pulling");
  });

  // Bounded by the tools' own 30 s, of a look that began before and of the release of what is held: once is enough.
  test.runIf(line === "1.7")("that stays frozen ends the run", async () => {
    const running = agent.start(properties);
    await midway();
    containerd.freeze();
    const ended = await running.ended;
    console.log(`${line}: a frozen containerd is given up after ${ended.seconds.toFixed(1)} s`);
    const orphans = clientsOf(containerd);
    containerd.thaw();

    expect(ended.exitCode).toBe(3);
    expect(ended.seconds).toBeLessThan(75);
    expect(orphans).toEqual([]);
  });

  test("a killed agent leaves no tool running, no lock, and no lease after the next run", async () => {
    const running = agent.start(properties);
    await midway();
    running.kill("SIGKILL");
    await running.ended;
    await poll("the tools have ended", () => clientsOf(containerd).length === 0 || undefined);
    proxy.clear();

    const next = await agent.run(properties);
    expect([next.exitCode, next.stdout.includes("another run holds the lock")]).toEqual([0, false]);
    expect(phases()).toEqual(["pulled", "pulled", "pulled"]);
    expect(await heldOn(containerd)).toEqual([]);
  });
});
