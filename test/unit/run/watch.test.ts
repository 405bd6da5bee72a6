import { describe, expect, test } from "vitest";
import type { RunEvent } from "../../../src/core/events.ts";
import { leasesOf } from "../../../src/run/lease.ts";
import { watchPulls } from "../../../src/run/watch.ts";
import { gone, inMemoryContainerd, notFound } from "../containerd/in-memory.ts";
import { served, type ServedImage } from "../containerd/served-image.ts";
import { wanted } from "../samples.ts";
import { config } from "./bench.ts";
import { fakeClock } from "./fake-clock.ts";

const A = wanted("r.one/a:1");
const SOURCE = "containerd.io/distribution.source.r.one";
const SECOND = 1_000;

interface Setting {
  readonly nodeWideDownloads?: boolean;
  readonly whole?: readonly string[];
  readonly untilBack?: () => Promise<void>;
}

function watching({ nodeWideDownloads = false, whole = [], untilBack = async () => {} }: Setting = {}) {
  const node = inMemoryContainerd();
  const clock = fakeClock();
  const events: RunEvent[] = [];
  const leases = leasesOf(node.containerd, "ours", new Date(0));
  const watch = watchPulls({
    config: config(),
    containerd: node.containerd,
    clock,
    emit: (event) => void events.push(event),
    leases,
    untilBack,
    nodeWideDownloads,
    whole,
    crashed: (bug) => {
      throw bug;
    },
  });
  const begin = (image = A, patience = 60 * SECOND) => {
    const abort = new AbortController();
    const begun = clock.now();
    const attempt = {
      told: new Array<string>(),
      stalledAfter: undefined as number | undefined,
      reason: () => abort.signal.reason as unknown,
    };
    abort.signal.addEventListener("abort", () => (attempt.stalledAfter = clock.now() - begun));
    const end = watch.begin(image, { abort, patience, progressed: (what) => void attempt.told.push(what) });
    return Object.assign(attempt, { end });
  };
  /** Blobs as a pull of this repository leaves them. */
  const have = (path: string, ...blobs: readonly ServedImage["config"][]): void => {
    for (const blob of blobs)
      node.blobs.set(blob.digest, { ...blob, labels: { ...blob.labels, [SOURCE]: path } });
  };
  const progress = () => events.flatMap((event) => (event.type === "progress" ? [event.progress] : []));
  return { node, clock, watch, begin, have, progress };
}
const open = (image: ServedImage, nth: number, offset: number) => {
  const layer = image.layers[nth];
  const ref = `layer-${layer?.digest}`;
  return { ref, offset, total: layer?.size ?? 0 };
};
const layerOf = (image: ServedImage, nth: number): ServedImage["config"] => {
  const blob = image.blobs.find(({ digest }) => digest === image.layers[nth]?.digest);
  if (blob === undefined) throw new Error("no such layer");
  return blob;
};
const BIG = served("big", { layers: [1_000, 500] });

describe("the progress of a pull", () => {
  test("is that of its layers, as containerd's downloads and finished blobs show it", async () => {
    const { node, clock, watch, begin, have, progress } = watching();
    const attempt = begin();
    have("a", BIG.manifest, BIG.config);
    const first = open(BIG, 0, 300);
    node.downloads.set(first.ref, first);
    await clock.sleep(SECOND);
    node.downloads.set(first.ref, { ...first, offset: 900 });
    await clock.sleep(SECOND);
    node.downloads.delete(first.ref);
    have("a", layerOf(BIG, 0));
    node.downloads.set(open(BIG, 1, 100).ref, open(BIG, 1, 100));
    await clock.sleep(SECOND);
    expect(watch.sizeOf(A)).toBe(1_500);
    attempt.end();
    await watch.stop();
    const seen = progress().map(({ received, total, layersDone, layers }) =>
      [received, total, layersDone, layers].join(),
    );
    expect([...new Set(seen)]).toEqual(["300,1500,0,2", "900,1500,0,2", "1100,1500,1,2"]);
    expect(attempt.told).toContain("bytes");
  });

  test("is not that of another image of its repository that is whole", async () => {
    const whole = served("whole");
    const { clock, watch, begin, have, progress } = watching({ whole: [whole.id] });
    const attempt = begin();
    have("a", whole.manifest, whole.config);
    await clock.sleep(3 * SECOND);
    attempt.end();
    await watch.stop();
    expect([progress(), attempt.told, watch.sizeOf(A)]).toEqual([[], [], undefined]);
  });

  test("holds the documents and the layers to come, once", async () => {
    const { node, clock, watch, begin, have } = watching();
    const image = served("indexed", { index: true });
    const attempt = begin();
    await clock.sleep(0.1 * SECOND);
    have("a", ...image.blobs.slice(0, 3));
    const first = open(image, 0, 30);
    node.downloads.set(first.ref, first);
    await clock.sleep(5 * SECOND);
    attempt.end();
    await watch.stop();
    expect([...node.leases.values()][0]).toEqual(
      new Set([
        image.target.digest,
        image.manifest.digest,
        ...image.layers.map(({ digest }) => `layer-${digest}`),
      ]),
    );
    expect(node.changes().filter((call) => call.startsWith("hold"))).toHaveLength(4);
  });

  test.each([
    ["at once where much could be lost", 1_000_000, 1],
    ["not where little could, and it comes soon", 999_999, 0],
  ])("holds them %s", async (_, bytes, leases) => {
    const { node, clock, watch, begin, have } = watching();
    const image = served("sized", { layers: [bytes] });
    const attempt = begin();
    await clock.sleep(0.1 * SECOND);
    have("a", image.manifest, image.config);
    node.downloads.set(open(image, 0, 30).ref, open(image, 0, 30));
    await clock.sleep(SECOND);
    attempt.end();
    await watch.stop();
    expect(node.leases.size).toBe(leases);
  });

  test("holds none that is on the node", async () => {
    const { node, clock, watch, begin, have } = watching();
    const attempt = begin();
    await clock.sleep(0.1 * SECOND);
    have("a", BIG.manifest, BIG.config, layerOf(BIG, 1));
    node.downloads.set(open(BIG, 0, 30).ref, open(BIG, 0, 30));
    await clock.sleep(3 * SECOND);
    attempt.end();
    await watch.stop();
    expect([...node.leases.values()]).toEqual([new Set([BIG.manifest.digest, open(BIG, 0, 0).ref])]);
  });

  test.each([
    ["from the start", 0],
    ["after a quick download", 30],
  ])("holds nothing of an image that is only unpacked %s", async (_, bytes) => {
    const { node, clock, watch, begin, have } = watching();
    const attempt = begin();
    await clock.sleep(0.1 * SECOND);
    have("a", BIG.manifest, BIG.config);
    if (bytes > 0) node.downloads.set(open(BIG, 0, bytes).ref, open(BIG, 0, bytes));
    await clock.sleep(SECOND);
    node.downloads.clear();
    have("a", ...BIG.blobs);
    await clock.sleep(10 * SECOND);
    attempt.end();
    await watch.stop();
    expect(node.changes()).toEqual([]);
  });
});

describe("a pull is ended as stalled", () => {
  test("when no byte of an open layer came for stall_timeout", async () => {
    const { node, clock, watch, begin, have } = watching();
    const attempt = begin();
    have("a", BIG.manifest, BIG.config);
    node.downloads.set(open(BIG, 0, 300).ref, open(BIG, 0, 300));
    await clock.sleep(90 * SECOND);
    attempt.end();
    await watch.stop();
    expect(attempt.reason()).toMatchObject({
      failure: { class: "stall", message: expect.stringContaining("0 of 2 layers") },
    });
    expect(attempt.stalledAfter).toBeGreaterThanOrEqual(60 * SECOND);
    expect(attempt.stalledAfter).toBeLessThanOrEqual(62 * SECOND);
  });

  test("when not even its manifest came", async () => {
    const { clock, watch, begin } = watching();
    const attempt = begin();
    await clock.sleep(90 * SECOND);
    attempt.end();
    await watch.stop();
    expect(attempt.reason()).toMatchObject({
      failure: { class: "stall", message: expect.stringContaining("not even the manifest") },
    });
  });

  test("in its own time also when nothing was pulled for a while before", async () => {
    const { clock, watch, begin } = watching();
    begin().end();
    await clock.sleep(40 * SECOND);
    const attempt = begin();
    await clock.sleep(70 * SECOND);
    attempt.end();
    await watch.stop();
    expect(attempt.reason()).toMatchObject({ failure: { class: "stall" } });
    expect(attempt.stalledAfter).toBeLessThanOrEqual(62 * SECOND);
  });

  test("in its own time also when the machine slept just before", async () => {
    const { clock, watch, begin } = watching();
    const earlier = begin();
    await clock.sleep(30 * SECOND);
    clock.pass(7_200 * SECOND);
    const attempt = begin();
    await clock.sleep(70 * SECOND);
    earlier.end();
    attempt.end();
    await watch.stop();
    expect(attempt.stalledAfter).toBeLessThanOrEqual(62 * SECOND);
  });

  test("alone: another one that moves goes on", async () => {
    const { node, clock, watch, begin, have } = watching();
    const other = served("other", { layers: [10_000] });
    const [silent, moving] = [begin(), begin(wanted("r.one/b:1"))];
    have("b", other.manifest, other.config);
    for (let offset = 0; offset < 90; offset += 1) {
      node.downloads.set(open(other, 0, offset).ref, open(other, 0, offset));
      await clock.sleep(SECOND);
    }
    silent.end();
    moving.end();
    await watch.stop();
    expect([silent.reason(), moving.reason()]).toEqual([
      expect.objectContaining({ failure: expect.objectContaining({ class: "stall" }) }),
      undefined,
    ]);
  });
});

describe("a pull is not ended", () => {
  test("while only unpacking is left, however long it takes", async () => {
    const { clock, watch, begin, have } = watching();
    const attempt = begin();
    have("a", ...BIG.blobs);
    await clock.sleep(600 * SECOND);
    attempt.end();
    await watch.stop();
    expect(attempt.reason()).toBeUndefined();
  });

  test("for a time in which nobody looked: the machine slept", async () => {
    const { node, clock, watch, begin, have } = watching();
    const attempt = begin();
    have("a", BIG.manifest, BIG.config);
    node.downloads.set(open(BIG, 0, 300).ref, open(BIG, 0, 300));
    await clock.sleep(30 * SECOND);
    clock.pass(7_200 * SECOND);
    await clock.sleep(20 * SECOND);
    expect(attempt.reason()).toBeUndefined();
    await clock.sleep(20 * SECOND);
    attempt.end();
    await watch.stop();
    expect(attempt.reason()).toMatchObject({ failure: { class: "stall" } });
  });

  test.each(["downloads", "blobs"])("for a time in which containerd did not answer: %s", async (call) => {
    const { node, clock, watch, begin } = watching();
    const attempt = begin();
    await clock.sleep(30 * SECOND);
    node.before(call, () => clock.sleep(300 * SECOND));
    await clock.sleep(320 * SECOND);
    expect(attempt.reason()).toBeUndefined();
    await clock.sleep(20 * SECOND);
    attempt.end();
    await watch.stop();
    expect(attempt.reason()).toMatchObject({ failure: { class: "stall" } });
  });

  test("for a time in which containerd did not answer when it began", async () => {
    const { node, clock, watch, begin } = watching();
    node.before("downloads", () => clock.sleep(300 * SECOND));
    const attempt = begin();
    await clock.sleep(320 * SECOND);
    expect(attempt.reason()).toBeUndefined();
    await clock.sleep(40 * SECOND);
    attempt.end();
    await watch.stop();
    expect(attempt.reason()).toMatchObject({ failure: { class: "stall" } });
  });

  test("by a containerd that does not answer for a moment", async () => {
    const { node, clock, watch, begin } = watching();
    const attempt = begin();
    node.before(
      "downloads",
      ...Array.from({ length: 20 }, () => (): never => {
        throw gone();
      }),
    );
    await clock.sleep(40 * SECOND);
    attempt.end();
    await watch.stop();
    expect(attempt.reason()).toBeUndefined();
  });
});

describe("a pull of which nothing comes", () => {
  const other = served("other", { layers: Array.from({ length: 10 }, () => 10_000) });
  const grow = (nth: number, second: number) => open(other, nth, second);
  const rest = (nth: number) => open(other, nth, 1);
  const end = (nth: number, second: number) =>
    nth < 3 || second < 10 * nth ? open(other, nth, 1) : undefined;
  test.each([
    ["may be queued", "a node-wide limit, and others have all the downloads", true, 3, grow, false],
    ["may be queued", "such a limit, and others end", true, 10, end, false],
    ["has stalled", "such a limit, and nothing else moves either", true, 3, rest, true],
    ["has stalled", "such a limit, and a download is left", true, 2, grow, true],
    ["has stalled", "no such limit", false, 3, grow, true],
  ])("%s where there is %s", async (_what, _where, nodeWideDownloads, downloads, move, stalls) => {
    const { node, clock, watch, begin } = watching({ nodeWideDownloads });
    const attempt = begin();
    for (let second = 0; second < 90; second += 1) {
      node.downloads.clear();
      for (let nth = 0; nth < downloads; nth += 1) {
        const download = move(nth, second);
        if (download !== undefined) node.downloads.set(download.ref, download);
      }
      await clock.sleep(SECOND);
    }
    attempt.end();
    await watch.stop();
    expect(attempt.reason() !== undefined).toBe(stalls);
  });
});

describe("what an earlier run left of a download is no byte of this one", () => {
  test.each([
    ["of several that begin at once", () => {}],
    [
      "where containerd did not answer when they began",
      () => {
        throw gone();
      },
    ],
  ])("%s", async (_, step) => {
    const { node, clock, watch, begin, have } = watching();
    have("a", BIG.manifest, BIG.config);
    node.downloads.set(open(BIG, 0, 300).ref, open(BIG, 0, 300));
    node.before("downloads", step);
    const attempts = [begin(), begin(wanted("r.one/a:2"))];
    await clock.sleep(SECOND);
    attempts.push(begin(wanted("r.one/a:3")));
    await clock.sleep(3 * SECOND);
    expect(attempts.map(({ told }) => told)).toEqual([[], [], []]);
    node.downloads.set(open(BIG, 0, 400).ref, open(BIG, 0, 400));
    await clock.sleep(0.5 * SECOND);
    attempts.forEach(({ end }) => end());
    await watch.stop();
    expect(attempts.map(({ told }) => told)).toEqual([["bytes"], ["bytes"], ["bytes"]]);
  });
});

test("bytes are told of a look that took its time", async () => {
  const { node, clock, watch, begin, have } = watching();
  const attempt = begin();
  await clock.sleep(0.1 * SECOND);
  const image = served("held", { layers: [9_000_000] });
  have("a", image.manifest, image.config);
  node.downloads.set(open(image, 0, 10).ref, open(image, 0, 10));
  node.before("createLease", () => clock.sleep(0.05 * SECOND));
  await clock.sleep(2 * SECOND);
  attempt.end();
  await watch.stop();
  expect(attempt.told).toContain("bytes");
});

describe("where several manifests of a repository may be an attempt's own", () => {
  const [left, now] = [served("left", { layers: [5_000_000] }), served("now", { layers: [9_000_000] })];

  test("what moves is: one that an earlier run left hijacks neither stall, progress nor lease", async () => {
    const { node, clock, watch, begin, have, progress } = watching();
    have("a", left.manifest, left.config);
    const attempt = begin();
    await clock.sleep(SECOND);
    have("a", now.manifest, now.config);
    for (let second = 1; second < 90; second += 1) {
      node.downloads.set(open(now, 0, 0).ref, open(now, 0, 100_000 * second));
      await clock.sleep(SECOND);
    }
    attempt.end();
    await watch.stop();
    expect(attempt.reason()).toBeUndefined();
    expect(progress().at(-1)).toMatchObject({ received: 8_900_000, total: 9_000_000 });
    expect([...node.leases.values()][0]).toEqual(new Set([now.manifest.digest, open(now, 0, 0).ref]));
  });

  test("a silent one aborts none that moves, and is noticed when that one is done", async () => {
    const { node, clock, watch, begin, have } = watching();
    const [silent, moving] = [begin(), begin(wanted("r.one/a:2"))];
    await clock.sleep(0.1 * SECOND);
    have("a", left.manifest, left.config, now.manifest, now.config);
    node.downloads.set(open(left, 0, 0).ref, open(left, 0, 10));
    for (let second = 1; second < 90; second += 1) {
      node.downloads.set(open(now, 0, 0).ref, open(now, 0, 100_000 * second));
      await clock.sleep(SECOND);
    }
    expect([silent.reason(), moving.reason()]).toEqual([undefined, undefined]);
    node.downloads.delete(open(now, 0, 0).ref);
    have("a", ...now.blobs);
    moving.end();
    watch.pulled(now.id);
    await clock.sleep(90 * SECOND);
    silent.end();
    await watch.stop();
    expect(silent.reason()).toMatchObject({ failure: { class: "stall" } });
  });

  test("one that is complete may be unpacked, whatever else was left", async () => {
    const { clock, watch, begin, have } = watching();
    have("a", left.manifest, left.config, ...now.blobs);
    const attempt = begin();
    await clock.sleep(180 * SECOND);
    attempt.end();
    await watch.stop();
    expect(attempt.reason()).toBeUndefined();
    expect(attempt.told).toContain("complete");
    expect(attempt.told).not.toContain("bytes");
  });

  test("an image that is wanted by its digest is only that one", async () => {
    const { clock, watch, begin, have, progress } = watching();
    have("a", left.manifest, left.config, now.manifest, now.config);
    const attempt = begin(wanted(`r.one/a@${now.target.digest}`));
    await clock.sleep(3 * SECOND);
    attempt.end();
    await watch.stop();
    expect(new Set(progress().map(({ total }) => total))).toEqual(new Set([9_000_000]));
  });
});

describe("the manifest of an attempt", () => {
  const [left, now] = [served("left", { layers: [50] }), served("now", { index: true, layers: [90, 10] })];
  const artifact = served("artifact", { artifact: true });
  const totals = (set: ReturnType<typeof watching>) => [...new Set(set.progress().map(({ total }) => total))];

  test("is read once, and nothing else is", async () => {
    const set = watching();
    const attempt = set.begin();
    expect(set.watch.sizeOf(A)).toBeUndefined();
    set.have("a", ...artifact.blobs, ...now.blobs.slice(0, 3));
    await set.clock.sleep(5 * SECOND);
    expect(set.watch.sizeOf(A)).toBe(100);
    attempt.end();
    await set.watch.stop();
    expect(totals(set)).toEqual([100]);
    expect(set.node.calls.filter((call) => call.startsWith("read "))).toEqual([
      `read ${now.manifest.digest}`,
    ]);
  });

  test("is none of several while none of them moves", async () => {
    const set = watching();
    set.have("a", left.manifest, now.manifest);
    const attempt = set.begin();
    await set.clock.sleep(5 * SECOND);
    expect(set.watch.sizeOf(A)).toBeUndefined();
    attempt.end();
    await set.watch.stop();
    expect(totals(set)).toEqual([]);
  });

  test("may be gone when it is read, which concerns no other", async () => {
    const set = watching();
    const misses = Array.from({ length: 3 }, () => (): never => {
      throw notFound("it");
    });
    set.node.before(`read ${left.manifest.digest}`, ...misses);
    set.have("a", left.manifest, now.manifest);
    const attempt = set.begin();
    await set.clock.sleep(SECOND);
    attempt.end();
    await set.watch.stop();
    expect(totals(set)).toEqual([100]);
  });

  test("is searched among those of several repositories from two seconds on", async () => {
    const { clock, watch, begin, have } = watching();
    have("b,a", now.manifest);
    const attempt = begin();
    await clock.sleep(0.3 * SECOND);
    // So that there is a look after exactly two seconds.
    const other = begin(wanted("r.one/c:1"));
    await clock.sleep(1.6 * SECOND);
    expect(watch.sizeOf(A)).toBeUndefined();
    await clock.sleep(0.2 * SECOND);
    expect(watch.sizeOf(A)).toBe(100);
    attempt.end();
    other.end();
    await watch.stop();
  });

  test.each([
    ["one", [left, now]],
    ["the other", [now, left]],
  ])("is not the one that is more likely another's, which came as %s", async (_, images) => {
    const set = watching();
    const [first, second] = [set.begin(), set.begin(wanted("r.one/a:2", { timeout: 1 }))];
    await set.clock.sleep(0.1 * SECOND);
    set.have("a", ...images.map(({ manifest }) => manifest));
    for (const download of [open(left, 0, 1), open(now, 0, 2), open(now, 1, 3)])
      set.node.downloads.set(download.ref, download);
    await set.clock.sleep(0.5 * SECOND);
    first.end();
    second.end();
    await set.watch.stop();
    expect(set.progress().map(({ received, total }) => [received, total])).toEqual([
      [5, 100],
      [1, 50],
    ]);
  });

  test("is not another's while its own does not move", async () => {
    const { node, clock, watch, begin, have } = watching();
    const B = wanted("r.one/a:2");
    const attempts = [begin(), begin(B)];
    await clock.sleep(0.1 * SECOND);
    have("a", left.manifest, now.manifest);
    node.downloads.set(open(left, 0, 1).ref, open(left, 0, 1));
    await clock.sleep(SECOND);
    expect([watch.sizeOf(A), watch.sizeOf(B)]).toEqual([50, undefined]);
    attempts.forEach(({ end }) => end());
    await watch.stop();
  });

  test("has a size for each of two images", async () => {
    const { clock, watch, begin, have } = watching();
    const B = wanted("r.one/b:1");
    const attempts = [begin(), begin(B)];
    have("a", left.manifest);
    have("b", now.manifest);
    await clock.sleep(SECOND);
    expect([watch.sizeOf(A), watch.sizeOf(B), watch.sizeOf(wanted("r.one/c:1"))]).toEqual([
      50,
      100,
      undefined,
    ]);
    attempts.forEach(({ end }) => end());
    await watch.stop();
  });

  test("is unknown to an attempt that begins during a look", async () => {
    const { node, clock, watch, begin, have, progress } = watching();
    have("a", now.manifest);
    node.before("blobs", () => clock.sleep(SECOND));
    const earlier = begin(wanted("r.one/b:1"));
    await clock.sleep(0.5 * SECOND);
    const attempt = begin();
    await clock.sleep(0.8 * SECOND);
    expect([watch.sizeOf(A), progress()]).toEqual([undefined, []]);
    await clock.sleep(SECOND);
    expect(watch.sizeOf(A)).toBe(100);
    earlier.end();
    attempt.end();
    await watch.stop();
  });
});

describe("containerd is asked", () => {
  const image = served("asked", { layers: [10, 20, 30] });
  const callsOf = (set: ReturnType<typeof watching>, name: string): number =>
    set.node.calls.filter((call) => call.split(" ", 1)[0] === name).length;

  test("for downloads a quarter of a second after each begin, then twice a second, and not when nothing is pulled", async () => {
    const { node, clock, watch, begin } = watching();
    const times: number[] = [];
    const start = clock.now();
    const note = (): void => void times.push(clock.now() - start);
    node.before("downloads", ...Array.from({ length: 99 }, () => note));
    const first = begin();
    await clock.sleep(1.3 * SECOND);
    const second = begin(wanted("r.one/b:1"));
    await clock.sleep(SECOND);
    first.end();
    second.end();
    await clock.sleep(7.7 * SECOND);
    const third = begin();
    await clock.sleep(0.3 * SECOND);
    third.end();
    await watch.stop();
    expect(times).toEqual([0, 250, 750, 1_250, 1_500, 2_000, 10_000, 10_250]);
  });

  test("for manifests at each look until a byte comes, then every two seconds", async () => {
    const set = watching();
    const attempt = set.begin();
    await set.clock.sleep(3.1 * SECOND);
    expect(callsOf(set, "blobs")).toBe(6);
    set.have("a", image.manifest);
    set.node.downloads.set(open(image, 0, 1).ref, open(image, 0, 1));
    // With the look at which the byte comes, and those after 2, 4 and 6 seconds.
    await set.clock.sleep(7 * SECOND);
    expect(callsOf(set, "blobs")).toBe(6 + 4);
    attempt.end();
    await set.watch.stop();
  });

  test("for layers that neither download nor are there, every two seconds", async () => {
    const set = watching();
    set.have("a", image.manifest, layerOf(image, 0));
    const attempt = set.begin();
    await set.clock.sleep(0.1 * SECOND);
    set.node.downloads.set(open(image, 1, 1).ref, open(image, 1, 1));
    await set.clock.sleep(6.5 * SECOND);
    const asked = image.layers.map(
      ({ digest }) => set.node.calls.filter((call) => call === `blob ${digest}`).length,
    );
    expect(asked).toEqual([1, 0, 4]);
    attempt.end();
    await set.watch.stop();
  });

  test("for layers as soon as the manifest is known", async () => {
    const { clock, watch, begin, have } = watching();
    const attempt = begin();
    await clock.sleep(SECOND);
    have("a", ...image.blobs);
    await clock.sleep(0.5 * SECOND);
    attempt.end();
    await watch.stop();
    expect(attempt.told).toEqual(["complete"]);
  });
});

test("an attempt without a byte has the patience that it was given, and then stall_timeout", async () => {
  const { node, clock, watch, begin, have } = watching();
  const attempt = begin(A, 180 * SECOND);
  await clock.sleep(170 * SECOND);
  have("a", BIG.manifest, BIG.config);
  node.downloads.set(open(BIG, 0, 0).ref, open(BIG, 0, 10));
  await clock.sleep(70 * SECOND);
  attempt.end();
  await watch.stop();
  expect(attempt.reason()).toMatchObject({
    failure: { class: "stall", message: expect.stringContaining("1m00s") },
  });
  // The look that saw the byte was after 170.25 s.
  expect(attempt.stalledAfter).toBe(230_250);
});

describe("a containerd that does not answer a look", () => {
  test("is waited for, and that time counts against no download", async () => {
    let waits = 0;
    const set = watching({
      untilBack: async () => {
        waits += 1;
        await set.clock.sleep(50 * SECOND);
      },
    });
    const attempt = set.begin();
    await set.clock.sleep(SECOND);
    set.node.before("downloads", async (): Promise<never> => {
      await set.clock.sleep(30 * SECOND);
      throw gone();
    });
    await set.clock.sleep(110 * SECOND);
    expect([waits, attempt.reason()]).toEqual([1, undefined]);
    await set.clock.sleep(40 * SECOND);
    attempt.end();
    await set.watch.stop();
    expect(attempt.reason()).toMatchObject({ failure: { class: "stall" } });
  });

  test("but answers slowly puts no stall off", async () => {
    const { node, clock, watch, begin, have } = watching();
    have("a", BIG.manifest, BIG.config);
    node.downloads.set(open(BIG, 0, 300).ref, open(BIG, 0, 300));
    node.before("downloads", ...Array.from({ length: 99 }, () => () => clock.sleep(8 * SECOND)));
    const attempt = begin();
    await clock.sleep(100 * SECOND);
    attempt.end();
    await watch.stop();
    expect(attempt.stalledAfter).toBeLessThan(80 * SECOND);
  });
});

test.each([0, 1])("a bug of ours is no silence: it comes out, here after %d looks", async (looks) => {
  const { node, clock, watch, begin } = watching();
  const bug = (): never => {
    throw new RangeError("a bug");
  };
  node.before("downloads", ...Array.from({ length: looks }, () => () => {}), bug);
  const attempt = begin();
  await clock.sleep(5 * SECOND);
  attempt.end();
  await expect(watch.stop()).rejects.toThrow("a bug");
});

test("nobody looks while nothing is pulled, nor after the end", async () => {
  const { node, clock, watch, begin } = watching();
  await clock.sleep(10 * SECOND);
  expect(node.calls).toEqual([]);
  begin();
  await clock.sleep(2 * SECOND);
  await watch.stop();
  const calls = node.calls.length;
  expect(calls).toBeGreaterThan(0);
  await clock.sleep(10 * SECOND);
  expect(node.calls).toHaveLength(calls);
});
