// What the plan says is what a run does: random lists on random nodes.
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  namesOf,
  planRun,
  type Plan,
  type PlannedImage,
  type PullPolicy,
  type WantedImage,
} from "../../../src/core/plan.ts";
import { pinName, pinRecord } from "../../../src/core/pins.ts";
import { lookAtNode } from "../../../src/run/look.ts";
import type { InMemory } from "../containerd/in-memory.ts";
import { ARM, LINUX, served, type ServedImage } from "../containerd/served-image.ts";
import { reference, wanted } from "../samples.ts";
import { bench, type Ran } from "./bench.ts";

const image = (seed: string): ServedImage => IMAGES.get(seed) ?? served(seed);
/** By seed. The last two are found on nodes, and never served. */
const IMAGES: ReadonlyMap<string, ServedImage> = new Map([
  ["one", served("one")],
  ["two", served("two", { index: true })],
  ["three", served("three", { index: true, layers: [1, 2, 3] })],
  ["four", served("four")],
  ["five", served("five", { index: true })],
  ["arm", served("arm", { platform: ARM })],
  ["chart", served("chart", { artifact: true })],
]);
const SERVED = ["one", "two", "three"];
const TAGS = ["r.one/a:1", "r.one/a:2", "r.one/b:1", "r.two/a:1", "docker.io/library/c:1"];
/** Images that are wanted by their digest, and have no other name. */
const ALONE = ["four", "five"];
const byDigest = (seed: string): string => `r.one/a@${image(seed).target.digest}`;
const SOURCES = [...TAGS, ...[...ALONE, ...SERVED].map(byDigest)];
/** The image that a name by digest can only have. */
const fixed = (name: string): string | undefined =>
  [...IMAGES.keys()].find((seed) => byDigest(seed) === name);
const TARGETS = ["x.y/z:1", "x.y/z:2", "docker.io/library/z:1"];

interface Found {
  readonly name: string;
  readonly seed: string;
  readonly pulled: boolean;
  readonly lacks: "nothing" | "snapshot" | "config" | "manifest" | "everything";
}
interface Entry {
  readonly source: string;
  readonly target: string | undefined;
  readonly pin: boolean;
  readonly pullPolicy: PullPolicy;
}
/** All by seeds, so that a counterexample can be read. */
interface Situation {
  /** What the registries serve, in the order of `SOURCES`. */
  readonly serves: readonly string[];
  readonly here: readonly Found[];
  readonly pins: readonly string[];
  readonly list: readonly Entry[];
}

const found: fc.Arbitrary<Found> = fc.record({
  name: fc.constantFrom(...TAGS, ...ALONE.map(byDigest), ...TARGETS, "busybox:1", "o.p/q:1"),
  seed: fc.constantFrom(...SERVED, "arm", "chart"),
  pulled: fc.boolean(),
  lacks: fc.constantFrom("nothing", "nothing", "nothing", "snapshot", "config", "manifest", "everything"),
});
/** @param digests that are wanted; those of images that have further names may be shared */
const situation = (
  policies: readonly PullPolicy[],
  digests: readonly string[] = ALONE,
): fc.Arbitrary<Situation> =>
  fc.record({
    serves: fc.array(fc.constantFrom(...SERVED), { minLength: SOURCES.length, maxLength: SOURCES.length }),
    here: fc.array(found, { maxLength: 6 }),
    // Nothing else is ever pinned.
    pins: fc.subarray([...SERVED, ...ALONE]),
    list: fc.uniqueArray(
      fc.record({
        source: fc.constantFrom(...TAGS, ...digests.map(byDigest)),
        target: fc.constantFrom(undefined, ...TARGETS),
        pin: fc.boolean(),
        pullPolicy: fc.constantFrom(...policies),
      }),
      { selector: ({ source }) => source, maxLength: 5 },
    ),
  });

/** No two entries have one target: the configuration refuses that. */
function wantedBy({ list }: Situation): WantedImage[] {
  const taken = new Set<string | undefined>([undefined]);
  return list.map(({ source, target, pin, pullPolicy }) => {
    const furtherNames = target === undefined || taken.has(target) ? [] : [reference(target)];
    taken.add(target);
    return wanted(source, { furtherNames, pin, pullPolicy });
  });
}

/** Puts the node and its registries into the situation. */
function arrange(node: InMemory, { serves, here, pins }: Situation): void {
  for (const [nth, name] of SOURCES.entries())
    node.registry.set(name, image(fixed(name) ?? serves[nth] ?? "one"));
  for (const { name, seed, pulled } of here) {
    if (pulled && name.includes("/")) node.bring(name, image(fixed(name) ?? seed));
    else node.record(name, image(fixed(name) ?? seed));
  }
  for (const { seed, lacks } of here) {
    const { chainId, config, manifest, blobs } = image(seed);
    if (lacks === "snapshot" || lacks === "everything") node.snapshots.delete(chainId);
    if (lacks === "config") node.blobs.delete(config.digest);
    if (lacks === "manifest") node.blobs.delete(manifest.digest);
    if (lacks === "everything") for (const { digest } of blobs) node.blobs.delete(digest);
  }
  for (const { target } of pins.map(image)) node.records.set(pinRecord(target).name, pinRecord(target));
}

const planNow = async (node: InMemory, list: readonly WantedImage[]): Promise<Plan> =>
  planRun(list, await lookAtNode(node.containerd, LINUX, list.flatMap(namesOf)), { pins: true });

/** What a run did, in the words of a plan. */
function doneBy({ events }: Ran, name: string) {
  const of = events.filter((event) => "image" in event && event.image === name);
  return {
    pulled: of.some(({ type }) => type === "pulled"),
    named: new Map(
      of.flatMap((event) =>
        event.type === "tagged" ? [[event.target, event.moved ? "move" : "create"] as const] : [],
      ),
    ),
    pinned: of.some(({ type }) => type === "pinned"),
  };
}

const RUNS = { numRuns: 150 };

test("a run pulls, names, pins and unpins what the plan says, and nothing else", async () => {
  await fc.assert(
    fc.asyncProperty(situation(["IfNotPresent", "Always"]), async (given) => {
      const { node, run } = bench();
      arrange(node, given);
      const list = wantedBy(given);
      const plan = await planNow(node, list);
      const ran = await run(list);
      expect(Object.entries(ran.outcomes).filter(([, outcome]) => outcome.startsWith("failed"))).toEqual([]);
      expect(Object.keys(ran.outcomes).toSorted()).toEqual(list.map(({ source }) => source.name).toSorted());
      for (const planned of plan.images) expectDone(planned, ran, node);
      const brought = list.flatMap(({ source }) => node.records.get(source.name)?.target ?? []).map(pinName);
      const left = plan.unpin.map(({ record }) => record).filter((record) => node.records.has(record));
      expect(left.filter((record) => !brought.includes(record))).toEqual([]);
    }),
    RUNS,
  );
}, 60_000);

function expectDone(
  { image: { source }, decision, names, pin }: PlannedImage,
  ran: Ran,
  node: InMemory,
): void {
  const done = doneBy(ran, source.name);
  expect(`${source.name}: pulled ${done.pulled}`).toBe(
    `${source.name}: pulled ${decision.action === "pull"}`,
  );
  const changes = names.filter(({ action }) => action !== "keep");
  // A pull may bring another image than the one that was known, and its digest names.
  if (decision.action !== "keep")
    expect(changes.filter(({ name }) => !name.includes("@") && !node.records.has(name))).toEqual([]);
  else expect(done.named).toEqual(new Map(changes.map(({ name, action }) => [name, action])));
  if (decision.action === "keep") expect([source.name, done.pinned]).toEqual([source.name, pin === "create"]);
}

/** A run, and then another one, which finds nothing to do. */
const settles = (digests?: readonly string[]) =>
  fc.asyncProperty(situation(["IfNotPresent"], digests), async (given) => {
    const { node, run } = bench();
    arrange(node, given);
    const list = wantedBy(given);
    await run(list);
    expect((await planNow(node, list)).settled).toBeDefined();
    const changes = node.changes().length;
    const { outcomes } = await run(list);
    expect(Object.entries(outcomes).filter(([, outcome]) => outcome !== "present")).toEqual([]);
    expect(node.changes().slice(changes)).toEqual([]);
  });

test("after one run the plan is done, and a second run changes nothing", async () => {
  await fc.assert(settles(), RUNS);
}, 60_000);

test("so it is also with digests that have further names", async () => {
  await fc.assert(settles(SERVED), { ...RUNS, numRuns: 300 });
}, 60_000);
