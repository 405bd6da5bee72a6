// Many images and a few faults at random, three times over: what can be present is, and nothing piles up.
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Containerd, startContainerd } from "../rig/containerd.ts";
import { type FaultProxy, startFaultProxy } from "../rig/fault-proxy.ts";
import type { Fault } from "../rig/fault-rules.ts";
import { type PushedImage, pushImage } from "../rig/push.ts";
import { random } from "../rig/random.ts";
import { startRegistry } from "../rig/registry.ts";
import { describeReal } from "../rig/suite.ts";
import { during } from "./faults-support.ts";
import { type Agent, agentFor, type Ended } from "./support/agent.ts";
import { clientsOf, heldOn } from "./support/node.ts";

const count = 200;
/** One in about 100 ms. */
const samplesOfTwoSeconds = 20;
const runs = [1, 2, 3];
const lastingShare = 0.02;
const passingShare = 0.05;

const kinds: readonly Fault[] = [
  { status: 503 },
  { status: 500 },
  { resetAfter: 5_000 },
  { dropAfter: 0 },
  { truncateAfter: 5_000 },
  { corruptAt: 5_000 },
];

interface Sample {
  readonly descriptors: number;
  readonly megabytes: number;
  /** Process ids of tools that have ended and were not waited for yet. */
  readonly zombies: readonly string[];
}

// One line: what could leak is the agent's, not containerd's.
describeReal("a soak", "1.7", () => {
  const cleanup = new AsyncDisposableStack();
  let containerd: Containerd;
  let proxy: FaultProxy;
  let agent: Agent;
  let images: PushedImage[];
  const results: { ended: Ended; samples: Sample[]; lost: string[]; failed: string[]; retried: number }[] =
    [];

  beforeAll(async () => {
    const registry = cleanup.use(await startRegistry());
    containerd = cleanup.use(await startContainerd("1.7"));
    proxy = cleanup.use(await startFaultProxy(registry));
    await containerd.useHost(proxy.host, { server: `http://${proxy.host}` });
    images = [];
    for (let at = 0; at < count; at++) {
      images.push(
        await pushImage(registry, `soak/${at}:1`, { layers: [{ bytes: 20_000, seed: `soak-${at}` }] }),
      );
    }
    agent = agentFor(containerd);
    for (const seed of runs) results.push(await oneRun(seed));
  }, 240_000);
  afterAll(() => cleanup.disposeAsync());

  const nameOf = ({ repository }: PushedImage): string => `${proxy.host}/${repository}:1`;

  /** Everything is always looked up each time, so that every run has as much to do. */
  async function oneRun(seed: number) {
    const next = random(seed);
    const lost = images.filter(() => next() < lastingShare);
    proxy.set(
      ...images.flatMap((image) =>
        next() < passingShare ? [passing(image, kinds[Math.floor(next() * kinds.length)]!)] : [],
      ),
      ...lost.map(({ repository }) => ({ path: new RegExp(`/${repository}/manifests/`), status: 404 })),
    );
    const running = agent.start({
      images: images.map((image) => ({ name: nameOf(image), pullPolicy: "Always" })),
      retry: { attempts: 6, min_delay: "50ms", max_delay: "500ms" },
    });
    const samples: Sample[] = [];
    const ended = await during(running.ended, () => void samples.push(...sample(running.pid)));
    const status = agent.status().images;
    return {
      ended,
      samples,
      lost: lost.map(nameOf),
      failed: status.filter(({ phase }) => phase === "failed").map(({ name }) => name),
      retried: status.filter(({ attempts }) => attempts > 1).length,
    };
  }

  test("puts everything in place that can be, each time", () => {
    for (const { lost, failed } of results) expect(failed.toSorted()).toEqual(lost.toSorted());
    console.log(
      `soak: ${results.map(({ ended, retried, failed }) => `${ended.seconds.toFixed(1)} s, ${retried} retried, ${failed.length} failed`).join("; ")}`,
    );
    expect(results.some(({ retried }) => retried > 0)).toBe(true);
  });

  test("keeps file descriptors and memory flat, and no zombie", () => {
    for (const { samples } of results) {
      const half = Math.floor(samples.length / 2);
      const most = (from: readonly Sample[], field: "descriptors" | "megabytes"): number =>
        Math.max(...from.map((one) => one[field]));
      const [early, late] = [samples.slice(0, half), samples.slice(half)];
      console.log(
        `soak: descriptors ${most(early, "descriptors")} then ${most(late, "descriptors")}, RSS ${most(early, "megabytes")} then ${most(late, "megabytes")} MB`,
      );
      expect(most(late, "descriptors")).toBeLessThanOrEqual(most(early, "descriptors") + 8);
      // V8 takes what it needs for garbage; what leaked would grow with the images, of which there are two hundred.
      expect(most(late, "megabytes")).toBeLessThan(most(early, "megabytes") + 60);
      // Starting sixteen tools at once takes a while in which none that has ended is waited for: but none stays so for long.
      const stayed = samples.flatMap(({ zombies }, at) => {
        const later = samples.slice(at + 1, at + samplesOfTwoSeconds);
        return later.length + 1 < samplesOfTwoSeconds
          ? []
          : zombies.filter((pid) => later.every((next) => next.zombies.includes(pid)));
      });
      expect(stayed).toEqual([]);
    }
  });

  test("leaves nothing behind but the leases of runs that did not get everything", async () => {
    expect(clientsOf(containerd)).toEqual([]);
    expect((await heldOn(containerd)).length).toBeLessThanOrEqual(results.length);
    expect((await containerd.ctr("content", "active")).split("\n").slice(1).join("").trim()).toBe("");
    const leases = (await containerd.ctr("leases", "ls", "--quiet")).split("\n").filter((id) => id !== "");
    expect(leases.toSorted()).toEqual((await heldOn(containerd)).toSorted());
  });
});

/** Faults of an answer's body are the layer's, others the manifest's. */
function passing({ repository, layers }: PushedImage, fault: Fault) {
  const { digest } = layers[0]!;
  return fault.status === undefined
    ? { ...fault, digest, times: 2 }
    : { ...fault, path: new RegExp(`/${repository}/manifests/`), times: 2 };
}

/** None when it has ended. */
function sample(pid: number): Sample[] {
  try {
    const descriptors = readdirSync(`/proc/${pid}/fd`).length;
    const kilobytes = /^VmRSS:\s+(\d+)/mu.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    if (kilobytes === undefined) return [];
    return [{ descriptors, megabytes: Math.round(Number(kilobytes) / 1024), zombies: zombiesOf(pid) }];
  } catch {
    return [];
  }
}

function zombiesOf(parent: number): string[] {
  const children = readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8").trim().split(" ");
  return children.filter((child) => child !== "" && isZombie(child));
}

function isZombie(pid: string): boolean {
  try {
    return / Z /u.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
