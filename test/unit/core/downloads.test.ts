import { expect, test } from "vitest";
import { downloads } from "../../../src/core/downloads.ts";
import type { ImageState, Phase } from "../../../src/core/run-state.ts";
import { progressOf } from "../../../src/core/transfer.ts";
import { image } from "../report/states.ts";

const NAME = "a.b/c:1";
const LAYERS = [{ digest: "a", size: 100 }];
const progress = progressOf(LAYERS, { downloads: new Map([["a", 30]]), finished: new Set(), at: 0 });
const of = (phase: Phase, more: Partial<ImageState> = {}): ImageState =>
  image(NAME, { phase, size: 70, ...more } as Partial<ImageState>);

test.each<[string, ImageState, ReturnType<typeof downloads>]>([
  [
    "so far, of one that is being pulled",
    of("pulling", { progress }),
    { received: 30, total: 100, unknown: 0 },
  ],
  ["all of one that is being named", of("tagging", { progress }), { received: 100, total: 100, unknown: 0 }],
  ["all of one that is in place", of("unverified", { progress }), { received: 100, total: 100, unknown: 0 }],
  [
    "its layers, of one that was pulled",
    of("pulled", { progress }),
    { received: 100, total: 100, unknown: 0 },
  ],
  ["its size, of one pulled between two looks", of("pulled"), { received: 70, total: 70, unknown: 0 }],
  ["nothing of one that was there before", of("present"), { received: 0, total: 0, unknown: 0 }],
  ["what is not known yet", of("waiting"), { received: 0, total: 0, unknown: 1 }],
  ["nothing of an archive", of("waiting", { isArchive: true }), { received: 0, total: 0, unknown: 0 }],
])("counts %s", (_what, one, expected) => {
  expect(downloads([one])).toEqual(expected);
});
