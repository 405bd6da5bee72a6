import { describe, expect, test } from "vitest";
import { archiveOfPin, isPin, isPinned, namesOfPin, pinRecord } from "../../../src/core/pins.ts";
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

  test("of an image from an archive has the archive's path, unless that is too long for a label", () => {
    for (const [length, kept] of [
      [1, true],
      [1_000, true],
      [1_001, false],
    ] as const) {
      const pin = pinRecord(ONE.target, "x".repeat(length));
      expect(archiveOfPin(pin)).toBe(kept ? "x".repeat(length) : "");
      expect(Object.keys(pin.labels)).toHaveLength(kept ? 2 : 1);
    }
    expect(archiveOfPin(PIN)).toBe("");
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
