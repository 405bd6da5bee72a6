// Signals to the agent, and a containerd that is restarted, killed or frozen under it, at random moments of a throttled
// run of eight images. Whatever happened, one more run puts everything right and leaves nothing behind.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Containerd, startContainerd } from "../rig/containerd.ts";
import { type FaultProxy, startFaultProxy } from "../rig/fault-proxy.ts";
import { poll } from "../rig/poll.ts";
import { pushImage } from "../rig/push.ts";
import { random } from "../rig/random.ts";
import { startRegistry } from "../rig/registry.ts";
import { describeEachLine } from "../rig/suite.ts";
import { type Agent, agentFor, type Ended, lastLine } from "./support/agent.ts";
import { clientsOf, heldOn, namesOn } from "./support/node.ts";

const count = 8;
/** A run takes about two seconds: 200 kB an image, one after the other where containerd shares its downloads. */
const bytes = 200_000;
const bytesPerSecond = 400_000;
const longest = 2_000;

const signals = ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGSTOP"] as const;
const troubles = ["restart", "kill", "freeze"] as const;

describeEachLine(
  "at random moments",
  (line) => {
    const cleanup = new AsyncDisposableStack();
    const [signalCount, troubleCount] = line === "1.7" ? [30, 20] : [10, 6];
    let containerd: Containerd;
    let proxy: FaultProxy;
    let agent: Agent;
    let wanted: string[];
    let properties: Record<string, unknown>;

    beforeAll(async () => {
      const registry = cleanup.use(await startRegistry());
      containerd = cleanup.use(await startContainerd(line));
      proxy = cleanup.use(await startFaultProxy(registry));
      await containerd.useHost(proxy.host, { server: `http://${proxy.host}` });
      const images = [];
      for (let at = 0; at < count; at += 1) {
        await pushImage(registry, `stress/${at}:1`, { layers: [{ bytes, seed: `stress-${at}` }] });
        images.push({ name: `${proxy.host}/stress/${at}:1`, retagAs: `registry.k8s.io/stress-${at}:1` });
      }
      wanted = images.flatMap(({ name, retagAs }) => [name, retagAs]);
      agent = agentFor(containerd);
      properties = {
        images,
        retry: { attempts: 5, min_delay: "50ms", max_delay: "200ms" },
        containerd: { ready_timeout: "30s" },
      };
    });
    afterAll(() => cleanup.disposeAsync());

    const begin = async (): Promise<ReturnType<Agent["start"]>> => {
      const names = [...(await containerd.records()).keys()];
      if (names.length > 0) await containerd.ctr("images", "rm", "--sync", ...names);
      proxy.set({ path: /blobs/, bytesPerSecond });
      return agent.start(properties);
    };

    /** Everything is right after one more run, and nothing is left of the one before. */
    const expectMended = async (what: string): Promise<void> => {
      await poll(`${what}: no tool is left`, () => clientsOf(containerd).length === 0 || undefined);
      proxy.clear();
      const next = await agent.run(properties);
      expect(next, `${what}: ${next.stderr}`).toMatchObject({ exitCode: 0, stderr: "" });
      const names = await namesOn(containerd);
      for (const name of wanted)
        expect(names.get(name), `${what}: ${name}`).toMatchObject({ pinned: true, ours: true });
      expect(await heldOn(containerd), what).toEqual([]);
      expect(readdirSync(agent.stateDirectory).filter((file) => file.endsWith(".new"))).toEqual([]);
      expect(agent.status(), what).toMatchObject({ phase: "ended", exitCode: 0 });
    };

    const expectReason = ({ exitCode, stderr }: Ended, what: string): void => {
      if (exitCode === 0 || exitCode === null) return;
      expect(lastLine(stderr), what).toMatch(/^import-images: \S.{10,}/u);
    };

    test("signals end or hold up a run, and spoil nothing", async () => {
      const next = random(1);
      for (let at = 0; at < signalCount; at += 1) {
        const signal = signals[at % signals.length]!;
        const moment = Math.round(next() * longest);
        const what = `${signal} after ${moment} ms`;
        const running = await begin();
        await delay(moment);
        running.kill(signal);
        if (signal === "SIGSTOP") {
          await delay(300);
          running.kill("SIGCONT");
        }
        const ended = await running.ended;
        expectReason(ended, what);
        // Killed before it could tell anything, it leaves what the run before it told, or nothing.
        const file = `${agent.stateDirectory}/status.json`;
        const status = existsSync(file) ? readFileSync(file, "utf8") : "{}";
        expect(() => JSON.parse(status) as unknown, what).not.toThrow();
        if (signal === "SIGSTOP") expect(ended.exitCode, `${what}: ${ended.stderr}`).toBe(0);
        await expectMended(what);
      }
    }, 300_000);

    test("a containerd that is restarted, killed or frozen is waited for", async () => {
      const next = random(2);
      for (let at = 0; at < troubleCount; at += 1) {
        const trouble = troubles[at % troubles.length]!;
        const moment = Math.round(next() * longest);
        const what = `${trouble} after ${moment} ms`;
        const running = await begin();
        await delay(moment);
        if (trouble === "freeze") {
          containerd.freeze();
          await delay(1_000);
          containerd.thaw();
        } else {
          if (trouble === "kill") await containerd.kill();
          await containerd.restart();
        }
        const ended = await running.ended;
        expect(ended.exitCode, `${what}: ${ended.stderr}`).toBe(0);
        await expectMended(what);
      }
    }, 300_000);
  },
  { among: ["1.7", "2"] },
);
