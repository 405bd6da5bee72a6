import { describe, expect, test } from "vitest";
import {
  chainIdOf,
  configOf,
  documentsAt,
  hasUnknownParts,
  isDocument,
  isFrom,
  layersAt,
  layersOf,
  manifestsOf,
  parseDocument,
  parseLayers,
  snapshottersOf,
  sourceLabel,
} from "../../../src/core/content.ts";
import { served } from "../containerd/served-image.ts";
import { digestOf, reference } from "../samples.ts";

const blob = (labels: Record<string, string>) => ({ digest: "sha256:0", size: 1, labels });
const SOURCE = "containerd.io/distribution.source";

describe("the edges of a blob", () => {
  test("are what containerd's labels name", () => {
    const manifest = blob({
      "containerd.io/gc.ref.content.config": "c",
      "containerd.io/gc.ref.content.l.0": "a",
      "containerd.io/gc.ref.content.l.1": "b",
      "containerd.io/gc.ref.content.l.2": "a",
      [`${SOURCE}.r.one`]: "a",
    });
    expect([configOf(manifest), layersOf(manifest), manifestsOf(manifest)]).toEqual([
      "c",
      ["a", "b", "a"],
      [],
    ]);
    expect(
      manifestsOf(
        blob({ "containerd.io/gc.ref.content.m.0": "x", "containerd.io/gc.ref.content.m.10": "y" }),
      ),
    ).toEqual(["x", "y"]);
    expect(manifestsOf(blob({ "containerd.io/gc.ref.content.0": "index" }))).toEqual(["index"]);
  });

  test("are all layers, also beyond the tenth, in whatever order the labels arrive", () => {
    const eleven = Array.from({ length: 11 }, (_, nth) => `layer ${nth}`);
    const labels = eleven.map((digest, nth) => [`containerd.io/gc.ref.content.l.${nth}`, digest] as const);
    for (const arrived of [labels, labels.toReversed()])
      expect(layersOf(blob(Object.fromEntries(arrived)))).toEqual(eleven);
  });

  test("are none of those whose labels only look similar, and none of a manifest where an index is asked for", () => {
    const similar = ["configs", "a.config", "l.0.x", "x.l.0", "m.0.x", "x.m.0", "0.x", "x.0"];
    const labels = similar.map((label) => [`containerd.io/gc.ref.content.${label}`, label] as const);
    const odd = blob(Object.fromEntries(labels));
    expect([configOf(odd), layersOf(odd), manifestsOf(odd), hasUnknownParts(odd)]).toEqual([
      undefined,
      [],
      [],
      false,
    ]);
    const [config, part] = ["containerd.io/gc.ref.content.config", "containerd.io/gc.ref.content.0"];
    expect(manifestsOf(blob({ [config]: "c", [part]: "x" }))).toEqual([]);
  });

  test.each([
    [{ "containerd.io/gc.ref.content.0": "chart" }, true],
    [{ "containerd.io/gc.ref.content.12": "chart" }, true],
    [{ "containerd.io/gc.ref.content.config": "c", "containerd.io/gc.ref.content.l.0": "a" }, false],
    [{ "containerd.io/gc.ref.content.m.0": "m" }, false],
  ])("tell of parts that containerd does not know: %j", (labels, expected) => {
    expect(hasUnknownParts(blob(labels))).toBe(expected);
  });

  test("make it a document; a layer has none", () => {
    expect(isDocument(blob({ "containerd.io/gc.ref.content.config": "c" }))).toBe(true);
    expect(isDocument(blob({ [`${SOURCE}.r.one`]: "a", "containerd.io/uncompressed": "x" }))).toBe(false);
  });

  test("of a config are its snapshots, by snapshotter", () => {
    const config = blob({
      "containerd.io/gc.ref.snapshot.overlayfs": "chain",
      "containerd.io/gc.ref.snapshot.zfs": "other",
    });
    expect([chainIdOf(config, "zfs"), chainIdOf(config, "native"), snapshottersOf(config)]).toEqual([
      "other",
      undefined,
      ["overlayfs", "zfs"],
    ]);
  });
});

test("an image's documents and layers are all below its target, as far as they are on the node", () => {
  const { target, manifest, config, blobs, layers } = served("nested", { index: "nested" });
  const here = new Map(blobs.map((each) => [each.digest, each]));
  expect(documentsAt(here, target.digest)).toEqual([
    { what: "index", blob: blobs[0] },
    { what: "index", blob: blobs[1] },
    { what: "manifest", blob: manifest },
    { what: "config", blob: config },
  ]);
  const digests = layers.map(({ digest }) => digest);
  expect(layersAt(here, target.digest)).toEqual(digests);
  expect(layersAt(here, digestOf("0"))).toEqual([]);
});

describe("a document", () => {
  const config = (platform: object, layers = 0) => ({
    is: "config",
    platform: { os: "", architecture: "", variant: "", ...platform },
    layers,
  });

  test.each([
    ["of an image", served("a").config.text, config({ os: "linux", architecture: "amd64" }, 2)],
    ["without a platform", '{"rootfs":{"diff_ids":["a"]}}', config({}, 1)],
    ["with an empty one", '{"os":"","architecture":null}', config({})],
    ["without layers", '{"os":"linux","rootfs":{"diff_ids":null}}', config({ os: "linux" })],
    ["with nothing", "{}", config({})],
  ])("%s is a config, as Go reads it", (_what, text, expected) => {
    expect(parseDocument(text)).toEqual(expected);
  });

  test("with manifests is an index, which tells what each of them is for", () => {
    const manifests = [
      { mediaType: "m", digest: "a", platform: { os: "linux", architecture: "arm", variant: "v7" } },
      { mediaType: "m", digest: "b", platform: null },
    ];
    expect(parseDocument(JSON.stringify({ manifests }))).toEqual({
      is: "index",
      manifests: [manifests[0], { mediaType: "m", digest: "b" }],
    });
  });

  test.each(["", "{", "[]", "null", '{"os":1}', '{"rootfs":{"diff_ids":[1]}}', '{"manifests":[{}]}'])(
    "of something else is neither: %s",
    (text) => {
      expect(parseDocument(text).is).not.toBe("index");
    },
  );

  test.each(["", "{", "[]", "null", '{"os":1}', '{"rootfs":{"diff_ids":[1]}}'])(
    "that is no config: %s",
    (text) => {
      expect(parseDocument(text)).toEqual({ is: "other" });
    },
  );
});

describe("the layers of a manifest", () => {
  test("are told with their sizes, each once", () => {
    const layers = [
      { digest: "a", size: 1 },
      { digest: "b", size: 2 },
      { digest: "a", size: 1 },
    ];
    expect(parseLayers(JSON.stringify({ layers }))).toEqual(layers.slice(0, 2));
  });

  test.each(["", "{", "null", '{"manifests":[]}', '{"layers":[{"digest":"a"}]}'])(
    "are none in %j",
    (text) => {
      expect(parseLayers(text)).toEqual([]);
    },
  );
});

describe("a blob", () => {
  test.each([
    ["registry.example.com/team/app:1", "registry.example.com", "team/app"],
    ["10.0.0.5:5000/team/app:1", "10.0.0.5", "other,team/app"],
    ["[fd00::1]:5000/app:1", "fd00::1", "app"],
    ["nginx", "docker.io", "library/nginx"],
  ])("is from the repository of %s, by its label", (name, host, repositories) => {
    expect(sourceLabel(reference(name))).toBe(`${SOURCE}.${host}`);
    expect(isFrom(reference(name), blob({ [`${SOURCE}.${host}`]: repositories }))).toBe(true);
  });

  test("is not from a repository whose name only begins or ends alike, nor from another host", () => {
    const app = reference("r.one/team/app:1");
    for (const labels of [
      { [`${SOURCE}.r.one`]: "team/app2,my/team/app" },
      { [`${SOURCE}.r.two`]: "team/app" },
      {},
    ])
      expect(isFrom(app, blob(labels))).toBe(false);
  });
});
