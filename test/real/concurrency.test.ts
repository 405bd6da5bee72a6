// Images at once, without a setting and with one.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { type Containerd, startContainerd } from "../rig/containerd.ts";
import { type FaultProxy, startFaultProxy } from "../rig/fault-proxy.ts";
import { pushImage } from "../rig/push.ts";
import { type Registry, startRegistry } from "../rig/registry.ts";
import { describeEachLine } from "../rig/suite.ts";
import { agentFor } from "./support/agent.ts";

const count = 24;
/** With one layer, so that each pull has one connection. */
const bytes = 1_000_000;
const names = Array.from({ length: count }, (_, index) => `level/image-${index}`);

let registry: Registry;
beforeAll(async () => {
  registry = await startRegistry();
  for (const name of names) await pushImage(registry, `${name}:1`, { layers: [{ bytes, seed: name }] });
});
afterAll(() => registry.stop());

describeEachLine("images at once", (line) => {
  let containerd: Containerd;
  let proxy: FaultProxy;
  beforeEach(async () => {
    containerd = await startContainerd(line);
    proxy = await startFaultProxy(registry);
  });
  afterEach(async () => {
    await proxy.stop();
    await containerd.stop();
  });

  const run = async (settings: object = {}) => {
    const agent = agentFor(containerd);
    const images = names.map((name) => ({ name: `${proxy.host}/${name}:1` }));
    const ended = await agent.run({ images, log_level: "debug", ...settings });
    const steps = agent.log().filter(({ event }) => event === "concurrency");
    return { ended, levels: steps.map(({ images: level }) => Number(level)), status: agent.status() };
  };

  test("are sixteen without a setting", async () => {
    proxy.set({ bytesPerSecond: 500_000 });
    const { ended, levels, status } = await run();

    expect(ended).toMatchObject({ exitCode: 0 });
    expect([levels, status.concurrency]).toEqual([[], 16]);
    expect(ended.stdout).toContain(", 16 images at once\n");
  });

  test("are fewer where the registry refuses too many requests, and every image comes", async () => {
    proxy.set({ mostAtOnce: 2, bytesPerSecond: 4_000_000 });
    const { ended, levels } = await run({ retry: { attempts: 10 } });

    expect(ended).toMatchObject({ exitCode: 0 });
    expect(Math.min(...levels)).toBeLessThan(4);
  });

  test("are what the operator says", async () => {
    proxy.set({ bytesPerSecond: 2_000_000 });
    const { ended, levels } = await run({ concurrency: 3 });

    expect(ended).toMatchObject({ exitCode: 0 });
    expect(levels).toEqual([]);
    expect(ended.stdout).toContain(", 3 images at once\n");
  });
});
