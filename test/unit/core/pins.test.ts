import { describe, expect, test } from "vitest";
import { isPin, isPinned, namesOfPin, oldLabels, pinName, pinRecord } from "../../../src/core/pins.ts";
import { parseReference } from "../../../src/core/reference.ts";
import { served } from "../containerd/served-image.ts";
import { nodeOf } from "../samples.ts";

const A = "r.one/a:1";
const [ONE, TWO] = [served("one"), served("two")];
const PIN = pinRecord(ONE.target);

describe("a pin", () => {
  test("is a record of ours by the image's digest, with CRI's own label", () => {
    expect(PIN).toEqual({
      name: `import-images.invalid/pin@${ONE.target.digest}`,
      labels: { "io.cri-containerd.pinned": "pinned" },
      target: ONE.target,
    });
    expect(parseReference(PIN.name)).toMatchObject({ name: PIN.name });
  });

  test("is told from everybody else's records by its name alone", () => {
    expect(isPin({ ...PIN, labels: {} })).toBe(true);
    expect(isPin({ ...PIN, name: A })).toBe(false);
    expect(isPin({ ...PIN, name: `import-images.invalid.example.com/pin@${ONE.target.digest}` })).toBe(false);
  });

  test("holds while its label and its target are what they were", () => {
    expect(isPinned(nodeOf({}, [PIN]), ONE.target)).toBe(true);
    expect(isPinned(nodeOf({}, [PIN]), TWO.target)).toBe(false);
    expect(isPinned(nodeOf({}, [{ ...PIN, labels: {} }]), ONE.target)).toBe(false);
    expect(isPinned(nodeOf({}, [{ ...PIN, target: TWO.target }]), ONE.target)).toBe(false);
    expect(isPinned(nodeOf({}, [{ ...PIN, name: A }]), ONE.target)).toBe(false);
  });

  test("is told by the tags of its image, by its digest where there are none", () => {
    const atDigest = `r.one/a@${ONE.target.digest}`;
    const node = nodeOf({ [A]: ONE, "x.y:5000/z:1": ONE, [atDigest]: ONE, [ONE.id]: ONE, "r.one/b:1": TWO }, [
      PIN,
    ]);
    expect(namesOfPin(node, PIN)).toBe(`${A}, x.y:5000/z:1`);
    expect(namesOfPin(nodeOf({ [atDigest]: ONE }, [PIN]), PIN)).toBe(ONE.target.digest);
  });
});

test("what version 1.0.0 left are its labels on names and blobs, and nobody else's", () => {
  const ours = {
    name: A,
    target: ONE.target,
    labels: { "io.import-images.pinned": "pinned", "io.cri-containerd.pinned": "pinned" },
  };
  const theirs = { name: "o.p/q:1", target: TWO.target, labels: { "io.cri-containerd.pinned": "pinned" } };
  const node = nodeOf({}, [ours, theirs, { ...PIN, name: pinName(TWO.target) }]);
  const root = (by: string, digest: string) =>
    [digest, { digest, size: 1, labels: { "containerd.io/gc.root": by } }] as const;
  const blobs = new Map([root("import-images", "sha256:1"), root("2026-01-01T00:00:00Z", "sha256:2")]);
  const found = oldLabels({ ...node, blobs });
  expect([found.records.map(({ name }) => name), found.blobs.map(({ digest }) => digest)]).toEqual([
    [A],
    ["sha256:1"],
  ]);
  expect([found.recordLabels, found.blobLabels]).toEqual([
    ["io.import-images.pinned", "io.cri-containerd.pinned"],
    ["containerd.io/gc.root"],
  ]);
});
