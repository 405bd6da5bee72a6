import { describe, expect, test } from "vitest";
import { chainIdAt, corrected, NOTHING_KNOWN, suspects, writtenIn } from "../../../src/core/written.ts";
import { served } from "../containerd/served-image.ts";
import { nodeOf, snapshotOf } from "../samples.ts";

const [A, B] = ["r.one/a:1", "r.one/b:1"];
const [ONE, TWO] = [served("one"), served("two")];
const node = nodeOf({ [A]: ONE, [B]: TWO });
const at = snapshotOf("x").createdAt;

describe("what is written", () => {
  const snapshots = new Map(
    [snapshotOf("base"), snapshotOf("top", { parent: "base" }), snapshotOf("other")].map((one) => [
      one.name,
      one,
    ]),
  );
  const known = (written: readonly (readonly [string, string])[]) =>
    [...writtenIn({ snapshots }, { ...NOTHING_KNOWN, written: new Map(written) })].toSorted();

  test("is a snapshot with all below it", () => {
    expect(known([["top", at]])).toEqual(["base", "top"]);
    expect(known([["base", at]])).toEqual(["base"]);
  });

  test("is none that was made again, or is gone", () => {
    expect(known([["top", "2025-01-01T00:00:00.000Z"]])).toEqual([]);
    expect(known([["gone", at]])).toEqual([]);
  });
});

describe("looked at is", () => {
  test("what was not in this boot, each once", () => {
    expect(suspects(node, [A, A, B, "nobody:1"], NOTHING_KNOWN)).toEqual([ONE.target, TWO.target]);
    expect(suspects(node, [A, B], { ...NOTHING_KNOWN, sound: new Set([ONE.target.digest]) })).toEqual([
      TWO.target,
    ]);
  });

  test("what is not as it should be, whenever it was looked at", () => {
    const sound = new Set([ONE.target.digest]);
    const unread = new Map([[ONE.id, { is: "unreadable" as const }]]);
    expect(suspects({ ...node, documents: unread }, [A], { ...NOTHING_KNOWN, sound })).toEqual([ONE.target]);
  });
});

test("the snapshot of a name is known if its image is usable and unpacked", () => {
  expect(chainIdAt(node, A)).toBe(ONE.chainId);
  expect(chainIdAt({ ...node, snapshots: new Map() }, A)).toBeUndefined();
  expect(chainIdAt({ ...node, snapshotter: "zfs" }, A)).toBeUndefined();
  expect(chainIdAt({ ...node, documents: new Map() }, A)).toBeUndefined();
  expect(chainIdAt(node, "nobody:1")).toBeUndefined();
});

test("what turned out to be damaged is neither sound nor written any more", () => {
  const record = {
    sound: new Set([ONE.target.digest, TWO.target.digest]),
    written: new Map([
      [ONE.chainId, at],
      [TWO.chainId, at],
    ]),
  };
  const damage = { what: "x", mend: "unpack" as const, blobs: [], snapshots: [ONE.chainId] };
  const now = corrected(record, { damage: new Map([[ONE.target.digest, damage]]) });
  expect(now).toEqual({ sound: new Set([TWO.target.digest]), written: new Map([[TWO.chainId, at]]) });
});
