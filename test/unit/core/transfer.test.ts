import { describe, expect, test } from "vitest";
import {
  advance,
  grewSince,
  progressOf,
  silentFor,
  startMovement,
  type Movement,
  type Sample,
} from "../../../src/core/transfer.ts";
import type { Layer } from "../../../src/core/node.ts";

const LAYERS: Layer[] = [
  { digest: "a", size: 100 },
  { digest: "b", size: 50 },
];
interface Seen {
  readonly at: number;
  readonly downloads?: Record<string, number>;
  readonly finished?: string[];
  /** Of each candidate; none while no manifest is known. */
  readonly candidates?: readonly (readonly Layer[])[];
}
const sample = ({ at, downloads = {}, finished = [] }: Seen): Sample => ({
  at,
  downloads: new Map(Object.entries(downloads)),
  finished: new Set(finished),
});
/** What an attempt that began at 0, with these downloads there already, has shown after these looks. */
const watchedAfter = (before: Readonly<Record<string, number>>, ...looks: Seen[]): Movement =>
  looks.reduce(
    (movement, look) =>
      advance(
        movement,
        (look.candidates ?? [LAYERS]).map((layers) => ({ layers })),
        new Map(Object.entries(before)),
        sample(look),
      ),
    startMovement(0),
  );
const watched = (...looks: Seen[]): Movement => watchedAfter({}, ...looks);
const NOBODY = 0;

describe("progress", () => {
  test.each([
    ["nothing yet", {}, { received: 0, layersDone: 0 }],
    ["one layer under way", { downloads: { a: 30 } }, { received: 30, layersDone: 0 }],
    ["one done, one under way", { downloads: { b: 20 }, finished: ["a"] }, { received: 120, layersDone: 1 }],
    ["all done", { finished: ["a", "b"] }, { received: 150, layersDone: 2 }],
    ["a rounded size above the layer's", { downloads: { b: 51 } }, { received: 50, layersDone: 0 }],
    ["downloads of other images", { downloads: { x: 900 }, finished: ["y"] }, { received: 0, layersDone: 0 }],
  ])("with %s", (_what, seen, expected) => {
    expect(progressOf(LAYERS, sample({ at: 0, ...seen }))).toMatchObject({
      total: 150,
      layers: 2,
      ...expected,
    });
  });

  test("is told layer by layer, and the layers add up to it", () => {
    const progress = progressOf(LAYERS, sample({ at: 0, downloads: { b: 20 }, finished: ["a"] }));
    expect(progress.parts).toEqual([
      { digest: "a", size: 100, received: 100 },
      { digest: "b", size: 50, received: 20 },
    ]);
  });
});

describe("an attempt is silent", () => {
  test("since the last byte of what may be its own", () => {
    const movement = watched(
      { at: 10, downloads: { a: 10 } },
      { at: 20, downloads: { a: 20 } },
      { at: 90, downloads: { a: 20 } },
    );
    expect(silentFor(movement, NOBODY, 100)).toBe(80);
  });

  test("not while one of several layers moves, nor one of another candidate", () => {
    const other = [{ digest: "c", size: 70 }];
    const looks = (digest: string) => [
      { at: 10, candidates: [LAYERS, other], downloads: { a: 10, [digest]: 1 } },
      { at: 90, candidates: [LAYERS, other], downloads: { a: 10, [digest]: 40 } },
    ];
    expect(silentFor(watched(...looks("b")), NOBODY, 100)).toBe(10);
    expect(silentFor(watched(...looks("c")), NOBODY, 100)).toBe(10);
  });

  test("though what an earlier attempt left is there, and does not move", () => {
    const movement = watchedAfter({ a: 30 }, { at: 50, downloads: { a: 30 } });
    expect([movement.hasBytes, silentFor(movement, NOBODY, 100)]).toEqual([false, 100]);
  });

  test("not once a download is full: it is being checked and written out", () => {
    const movement = watched(
      { at: 10, downloads: { a: 90 }, finished: ["b"] },
      { at: 20, downloads: { a: 100 }, finished: ["b"] },
      { at: 900, downloads: { a: 100 }, finished: ["b"] },
    );
    expect(silentFor(movement, NOBODY, 900)).toBe(0);
  });

  test("not while what came is unpacked, also beside a candidate that is not fetched", () => {
    const movement = watchedAfter(
      { c: 5 },
      { at: 10, downloads: { a: 90, c: 5 } },
      { at: 900, downloads: { c: 5 }, candidates: [LAYERS, [{ digest: "c", size: 70 }]] },
    );
    expect(silentFor(movement, NOBODY, 900)).toBe(0);
  });

  test("not while layers that were there before are unpacked", () => {
    const movement = watched({ at: 900, finished: ["a", "b"] });
    expect([movement.isComplete, silentFor(movement, NOBODY, 900)]).toEqual([true, 0]);
  });

  test("not for the time before a download began anew", () => {
    const movement = watched({ at: 10, downloads: { a: 90 } }, { at: 520, downloads: { a: 5 } });
    expect(silentFor(movement, NOBODY, 530)).toBe(10);
  });

  test.each([
    ["one that lists no layers", { candidates: [[]], finished: ["a"] }],
    ["one of whose layers some are there", { finished: ["a"] }],
  ])("though there is a candidate: %s", (_what, seen) => {
    const movement = watched({ at: 900, ...seen });
    expect([movement.isComplete, silentFor(movement, NOBODY, 900)]).toEqual([false, 900]);
  });

  test("from its beginning while nothing of it is to be seen, or only its manifest", () => {
    expect(watched({ at: 50, candidates: [] })).toEqual(startMovement(0));
    expect(silentFor(startMovement(0), NOBODY, 100)).toBe(100);
    expect(silentFor(watched({ at: 50, candidates: [] }), NOBODY, 100)).toBe(100);
    expect(silentFor(watched({ at: 50 }), NOBODY, 100)).toBe(100);
  });
});

describe("bytes of an attempt", () => {
  test("are those that came in it: of a download that grew, or that began and has some", () => {
    expect(watchedAfter({ a: 30 }, { at: 10, downloads: { a: 31 } })).toMatchObject({
      hasBytes: true,
      bytesAt: 10,
    });
    expect(watched({ at: 10, downloads: { a: 1 } }).hasBytes).toBe(true);
    expect(watched({ at: 10, downloads: { a: 0 } }).hasBytes).toBe(false);
  });
});

describe("where downloads of a node wait for each other", () => {
  test("one that never grew is silent since any of them moved", () => {
    const queued = watched({ at: 10, downloads: { a: 0 } }, { at: 80, downloads: { a: 0 } });
    expect([silentFor(queued, 80, 100), silentFor(queued, NOBODY, 100)]).toEqual([20, 90]);
  });

  test("one that began anew and has not grown since is silent since any of them moved", () => {
    const anew = watched({ at: 10, downloads: { a: 9 } }, { at: 20, downloads: { a: 1 } });
    expect(silentFor(anew, 80, 100)).toBe(20);
  });

  test("one that grew and then stopped is silent whatever the others do", () => {
    const movement = watched(
      { at: 10, downloads: { a: 0 } },
      { at: 20, downloads: { a: 5 } },
      { at: 80, downloads: { a: 5 } },
    );
    expect(silentFor(movement, 80, 100)).toBe(80);
  });
});

test.each([
  ["grew", { a: 1 }, { a: 2 }, true],
  ["grew, and another one did not", { a: 1, b: 1 }, { a: 1, b: 2 }, true],
  ["began with bytes", {}, { a: 2 }, true],
  ["began without any", {}, { a: 0 }, false],
  ["stood still or went", { a: 1, b: 1 }, { a: 1 }, false],
])("whether a download moved: it %s", (_what, before, now, moved) => {
  expect(grewSince(new Map(Object.entries(before)), new Map(Object.entries(now)))).toBe(moved);
});
