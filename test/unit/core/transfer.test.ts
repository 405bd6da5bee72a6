import { describe, expect, test } from "vitest";
import {
  advance,
  progressOf,
  stalledFor,
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
  /** Unset while the manifest is unknown. */
  readonly layers?: readonly Layer[];
  readonly nodeMoved?: boolean;
}
const sample = ({ at, downloads = {}, finished = [] }: Seen): Sample => ({
  at,
  downloads: new Map(Object.entries(downloads)),
  finished: new Set(finished),
});
/** What an attempt that began at 0 has shown after these looks. */
const watched = (...looks: Seen[]): Movement =>
  looks.reduce(
    (movement, look) => advance(movement, look.layers, look.nodeMoved ?? false, sample(look)),
    startMovement(0),
  );

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

describe("a download is stalled", () => {
  test("since its last byte", () => {
    const movement = watched(
      { at: 10, layers: LAYERS, downloads: { a: 10 } },
      { at: 20, layers: LAYERS, downloads: { a: 20 } },
      { at: 90, layers: LAYERS, downloads: { a: 20 } },
    );
    expect(stalledFor(movement, false, 100)).toBe(80);
  });

  test("even while another layer of the image still moves", () => {
    const movement = watched(
      { at: 10, layers: LAYERS, downloads: { a: 10, b: 1 } },
      { at: 90, layers: LAYERS, downloads: { a: 10, b: 40 } },
    );
    expect(stalledFor(movement, false, 100)).toBe(90);
  });

  test("not while it grows", () => {
    const looks = [10, 20, 30, 40].map((at) => ({ at, layers: LAYERS, downloads: { a: at } }));
    expect(stalledFor(watched(...looks), false, 40)).toBe(0);
  });

  test("not once it is full: it is being checked and written out", () => {
    const movement = watched(
      { at: 10, layers: LAYERS, downloads: { a: 90 }, finished: ["b"] },
      { at: 20, layers: LAYERS, downloads: { a: 100 }, finished: ["b"] },
      { at: 900, layers: LAYERS, downloads: { a: 100 }, finished: ["b"] },
    );
    expect(stalledFor(movement, false, 900)).toBe(0);
  });

  test("not while all that came is unpacked", () => {
    const movement = watched(
      { at: 10, layers: LAYERS, downloads: { a: 90 } },
      { at: 900, layers: LAYERS, finished: ["a", "b"] },
    );
    expect(stalledFor(movement, false, 900)).toBe(0);
  });

  test("not while layers that were there before are unpacked", () => {
    const movement = watched({ at: 900, layers: LAYERS, finished: ["a", "b"] });
    expect(stalledFor(movement, false, 900)).toBe(0);
  });

  test("not from the first attempt's time when it begins anew", () => {
    const movement = watched(
      { at: 10, layers: LAYERS, downloads: { a: 90 } },
      { at: 500, layers: LAYERS, downloads: { a: 10 } },
      { at: 510, layers: LAYERS, downloads: {} },
      { at: 520, layers: LAYERS, downloads: { a: 5 } },
    );
    expect(stalledFor(movement, false, 530)).toBe(10);
  });
});

describe("while nothing of an image is to be seen", () => {
  test("its reference is being resolved, and that counts from the start", () => {
    expect(stalledFor(watched({ at: 50 }), false, 100)).toBe(100);
    expect(stalledFor(startMovement(0), false, 100)).toBe(100);
  });

  test("nor anything but its manifest, that counts as well", () => {
    expect(stalledFor(watched({ at: 50, layers: LAYERS }), false, 100)).toBe(100);
  });
});

describe("behind a node-wide limit", () => {
  const queued: Seen[] = [
    { at: 10, layers: LAYERS, downloads: { a: 0 }, nodeMoved: true },
    { at: 80, layers: LAYERS, downloads: { a: 0 }, nodeMoved: true },
  ];

  test("a download that never grew is queued, and counts from the node's last movement", () => {
    expect(stalledFor(watched(...queued), true, 100)).toBe(20);
    expect(stalledFor(watched(...queued), false, 100)).toBe(90);
  });

  test("one that grew once and then stopped is stalled, whatever the others do", () => {
    const movement = watched(
      { at: 10, layers: LAYERS, downloads: { a: 0 }, nodeMoved: true },
      { at: 20, layers: LAYERS, downloads: { a: 5 }, nodeMoved: true },
      { at: 80, layers: LAYERS, downloads: { a: 5 }, nodeMoved: true },
    );
    expect(stalledFor(movement, true, 100)).toBe(80);
  });

  test("an image of which nothing is seen counts from the node's last movement", () => {
    expect(stalledFor(watched({ at: 80, nodeMoved: true }), true, 100)).toBe(20);
  });
});
