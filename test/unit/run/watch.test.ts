import { describe, expect, test } from "vitest";
import type { RunEvent } from "../../../src/core/events.ts";
import { leasesOf } from "../../../src/run/lease.ts";
import { watchPulls } from "../../../src/run/watch.ts";
import { gone, inMemoryContainerd } from "../containerd/in-memory.ts";
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
    ["at once where much could be lost", 2_000_000, 1],
    ["not where little could, and it comes soon", 2_000, 0],
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

  test("holds nothing of an image that is only unpacked", async () => {
    const { node, clock, watch, begin, have } = watching();
    const attempt = begin();
    have("a", ...BIG.blobs);
    await clock.sleep(3 * SECOND);
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

  test("behind a node-wide limit while others have all the downloads", async () => {
    const set = watching({ nodeWideDownloads: true });
    const other = served("other", { layers: [10_000, 10_000, 10_000] });
    const [queued, moving] = [set.begin(), set.begin(wanted("r.one/b:1"))];
    set.have("b", other.manifest, other.config);
    for (let offset = 0; offset < 90; offset += 1) {
      for (const nth of [0, 1, 2])
        set.node.downloads.set(open(other, nth, offset).ref, open(other, nth, offset));
      await set.clock.sleep(SECOND);
    }
    queued.end();
    moving.end();
    await set.watch.stop();
    expect([queued.reason(), moving.reason()]).toEqual([undefined, undefined]);
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
  expect(attempt.stalledAfter).toBeGreaterThan(225 * SECOND);
  expect(attempt.stalledAfter).toBeLessThan(235 * SECOND);
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

test("a bug of ours in a look is no silence: it comes out", async () => {
  const { node, clock, watch, begin } = watching();
  const attempt = begin();
  node.before(
    "downloads",
    () => {},
    () => {
      throw new RangeError("a bug");
    },
  );
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
