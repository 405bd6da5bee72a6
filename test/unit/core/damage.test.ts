import { expect, test } from "vitest";
import { damageOf, type CutBlob, type LayerState } from "../../../src/core/damage.ts";
import type { Snapshot } from "../../../src/core/node.ts";
import { snapshotOf } from "../samples.ts";

const snapshots = (...all: readonly Snapshot[]) => ({
  snapshots: new Map(all.map((one) => [one.name, one])),
});
const CHAIN = [
  snapshotOf("base"),
  snapshotOf("middle", { parent: "base" }),
  snapshotOf("top", { parent: "middle" }),
  snapshotOf("other", { parent: "base" }),
];
const states = (base: LayerState, middle: LayerState, top: LayerState) =>
  new Map(Object.entries({ base, middle, top }));
const cut = (what: CutBlob["what"], length = 0): CutBlob => ({
  what,
  blob: { digest: `sha256:${what}`, size: 1_469, labels: {} },
  length,
});

test("an image is whole where its layers are, or where nothing tells otherwise", () => {
  expect(damageOf(snapshots(...CHAIN), [], states("whole", "unknown", "whole"))).toBeUndefined();
  // It is unpacked, so that nobody needs the layer.
  expect(damageOf(snapshots(...CHAIN), [cut("layer")], states("whole", "whole", "whole"))).toBeUndefined();
});

test.each([
  [states("empty", "empty", "whole"), "2 of 3 layers' files are empty"],
  [states("gone", "gone", "gone"), "3 of 3 layers' directories are gone"],
  [states("whole", "cut", "whole"), "1 of 3 layers' files are cut short"],
  [states("empty", "missing", "whole"), "2 of 3 layers' files are damaged"],
])("it is told what is wrong with its layers: %s", (layers, what) => {
  expect(damageOf(snapshots(...CHAIN), [], layers)).toMatchObject({ what, mend: "unpack", blobs: [] });
});

test("what is on top of a damaged layer goes first, whosever image it is", () => {
  const { snapshots: gone = [] } = damageOf(snapshots(...CHAIN), [], states("empty", "whole", "whole")) ?? {};
  expect(gone.toSorted()).toEqual(["base", "middle", "other", "top"]);
  expect(gone.indexOf("top")).toBeLessThan(gone.indexOf("middle"));
  expect(gone.at(-1)).toBe("base");
});

test("what a container has on top of a damaged layer holds it", () => {
  const held = snapshotOf("container", { parent: "other", isCommitted: false });
  const node = snapshots(...CHAIN, held);
  expect(damageOf(node, [], states("empty", "whole", "whole"))).toMatchObject({ mend: "held" });
  expect(damageOf(node, [], states("whole", "whole", "empty"))).toMatchObject({
    mend: "unpack",
    snapshots: ["top"],
  });
});

test("what containerd has on top of a damaged layer while it unpacks does not hold it", () => {
  const unpacking = snapshotOf("extract-1 sha256:0", { parent: "other", isCommitted: false });
  expect(damageOf(snapshots(...CHAIN, unpacking), [], states("empty", "whole", "whole"))).toMatchObject({
    mend: "unpack",
    snapshots: ["top", "middle", unpacking.name, "other", "base"],
  });
});

test("a damaged layer without a snapshot leaves nothing to remove", () => {
  expect(damageOf(snapshots(), [], new Map([["base", "gone"]]))).toMatchObject({
    what: "1 of 1 layer's directories are gone",
    snapshots: [],
  });
});

test("a blob that is cut is pulled again", () => {
  expect(damageOf(snapshots(...CHAIN), [cut("config", 12)], states("whole", "whole", "whole"))).toEqual({
    what: "its config has 12 of 1,469 bytes",
    mend: "pull",
    blobs: ["sha256:config"],
    snapshots: [],
  });
  expect(damageOf(snapshots(...CHAIN), [cut("layer")], states("empty", "whole", "whole"))).toMatchObject({
    what: "its layer has 0 of 1,469 bytes, and 1 of 3 layers' files are empty",
    mend: "pull",
    blobs: ["sha256:layer"],
  });
  expect(damageOf(snapshots(), [cut("layer")], new Map())).toMatchObject({ mend: "pull" });
});
