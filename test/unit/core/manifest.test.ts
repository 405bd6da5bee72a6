import { describe, expect, test } from "vitest";
import { isFrom, isManifest, layersOf, partsOf, sourceLabel } from "../../../src/core/manifest.ts";
import { digestOf, reference } from "../samples.ts";

const layer = (letter: string, size: number) => ({
  mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
  digest: digestOf(letter),
  size,
});

describe("the layers", () => {
  test("of an image manifest come with their sizes, each once", () => {
    const manifest = { config: layer("c", 7), layers: [layer("a", 10), layer("b", 20), layer("a", 10)] };
    expect(layersOf(JSON.stringify(manifest))).toEqual([
      { digest: digestOf("a"), size: 10 },
      { digest: digestOf("b"), size: 20 },
    ]);
  });

  test.each([
    ["an index", JSON.stringify({ manifests: [layer("a", 1)] })],
    [
      "a layer without a size",
      JSON.stringify({ config: layer("c", 1), layers: [{ digest: digestOf("a") }] }),
    ],
    ["a truncated text", '{"layers":['],
    ["something else", "null"],
    ["nothing", ""],
  ])("of %s are none", (_what, text) => {
    expect(layersOf(text)).toEqual([]);
  });
});

describe("labels", () => {
  const labels = new Map([
    ["containerd.io/distribution.source.harbor.example.com", "team/base,team/app"],
    ["containerd.io/gc.ref.content.config", digestOf("c")],
    ["containerd.io/gc.ref.content.l.0", digestOf("a")],
  ]);

  test("of a manifest or index name its parts", () => {
    expect(isManifest(labels)).toBe(true);
    expect(partsOf(labels)).toEqual([digestOf("c"), digestOf("a")]);
  });

  test("of a layer name none", () => {
    const plain = new Map([["containerd.io/uncompressed", digestOf("d")]]);
    expect(isManifest(plain)).toBe(false);
    expect(partsOf(plain)).toEqual([]);
  });

  test.each([
    ["harbor.example.com/team/app", true],
    ["harbor.example.com:8443/team/base", true],
    ["harbor.example.com/team/ap", false],
    ["harbor.example.com/team", false],
    ["other.example.com/team/app", false],
  ])("say that a blob is from %s: %s", (name, expected) => {
    expect(isFrom(reference(name), labels)).toBe(expected);
  });

  test.each([
    ["nginx", "containerd.io/distribution.source.docker.io"],
    ["10.0.0.5:5000/a", "containerd.io/distribution.source.10.0.0.5"],
    ["[::1]:5000/a", "containerd.io/distribution.source.::1"],
  ])("for %s have the key %s", (name, key) => {
    expect(sourceLabel(reference(name))).toBe(key);
  });
});
