import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { configsOf, documentsToRead, judge } from "../../../src/core/judge.ts";
import {
  directoriesOf,
  type Document,
  type IndexEntry,
  type Node,
  type Platform,
} from "../../../src/core/node.ts";
import { pinRecord } from "../../../src/core/pins.ts";
import {
  ARM,
  descriptorOf,
  indexOf,
  LINUX,
  served,
  type Recipe,
  type ServedImage,
} from "../containerd/served-image.ts";
import { nodeOf } from "../samples.ts";

const A = "r.one/a:1";
const PLAIN = served("plain");
const INDEXED = served("indexed", { index: true });

/** The node without these blobs, or without its snapshots. */
const lacking = (node: Node, digests: readonly string[], snapshots = true): Node => ({
  ...node,
  blobs: new Map([...node.blobs].filter(([digest]) => !digests.includes(digest))),
  snapshots: snapshots ? node.snapshots : new Map(),
});
const reduced = (image: ServedImage, digests: readonly string[], snapshots?: boolean): Node =>
  lacking(nodeOf({ [A]: image }), digests, snapshots);
const layers = ({ layers: all }: ServedImage): string[] => all.map(({ digest }) => digest);

describe.each([
  ["with one manifest", PLAIN],
  ["with an index", INDEXED],
  ["with an index in an index", served("nested", { index: "nested" })],
])("an image %s", (_what, image) => {
  const usable = { is: "usable", target: image.target, id: image.id };

  test("is usable when it is whole", () => {
    expect(judge(nodeOf({ [A]: image }), A)).toEqual(usable);
  });

  test("is usable without its layers once it is unpacked, and without its snapshot while it has its layers", () => {
    expect(judge(reduced(image, layers(image)), A)).toEqual(usable);
    expect(judge(reduced(image, [], false), A)).toEqual(usable);
  });

  test("is damaged without its manifest or config, whatever else is there", () => {
    expect(judge(reduced(image, [image.target.digest]), A)).toEqual({
      is: "damaged",
      why: `damaged: its ${image.target.digest === image.manifest.digest ? "manifest" : "index"} is missing`,
    });
    expect(judge(reduced(image, [image.manifest.digest]), A)).toEqual({
      is: "damaged",
      why: "damaged: its manifest is missing",
    });
    expect(judge(reduced(image, [image.id]), A)).toEqual({
      is: "damaged",
      why: "damaged: its config is missing",
    });
  });

  test("is damaged when it is not unpacked and lacks layers, and tells how many", () => {
    expect(judge(reduced(image, layers(image).slice(1), false), A)).toEqual({
      is: "damaged",
      why: "damaged: 1 of 2 layers are missing",
    });
    expect(judge(reduced(image, layers(image), false), A)).toEqual({
      is: "damaged",
      why: "damaged: 2 of 2 layers are missing",
    });
  });

  test("is damaged when a document could not be read", () => {
    const node = nodeOf({ [A]: image });
    const unread = (digest: string) =>
      judge({ ...node, documents: new Map([...node.documents, [digest, { is: "unreadable" as const }]]) }, A);
    expect(unread(image.id)).toEqual({ is: "damaged", why: "damaged: its config cannot be read" });
    if (image.target.digest !== image.manifest.digest)
      expect(unread(image.target.digest)).toEqual({
        is: "damaged",
        why: "damaged: its index cannot be read",
      });
  });

  test("without any one of its parts is not usable, unless that is a layer and the snapshot remains", () => {
    fc.assert(
      fc.property(fc.constantFrom(...image.blobs), fc.boolean(), ({ digest }, snapshots) => {
        const { is } = judge(reduced(image, [digest], snapshots), A);
        const isLayer = layers(image).includes(digest);
        expect(is).toBe(isLayer && snapshots ? "usable" : "damaged");
      }),
    );
  });

  test("with less is never better", () => {
    fc.assert(
      fc.property(fc.subarray([...image.blobs]), fc.boolean(), (gone, snapshots) => {
        const { is } = judge(
          reduced(
            image,
            gone.map(({ digest }) => digest),
            snapshots,
          ),
          A,
        );
        const documents = gone.some(({ digest }) => !layers(image).includes(digest));
        expect(is).toBe(!documents && (snapshots || gone.length === 0) ? "usable" : "damaged");
      }),
    );
  });
});

describe("a name", () => {
  test("is absent where no record has it literally", () => {
    expect(judge(nodeOf({ "debian-base:v2": PLAIN }), "docker.io/library/debian-base:v2")).toEqual({
      is: "absent",
      why: "not on this node",
    });
  });

  test("by a digest that its record does not point to is of another image", () => {
    const name = `r.one/a@${INDEXED.target.digest}`;
    expect(judge(nodeOf({ [name]: INDEXED }), name)).toMatchObject({ is: "usable" });
    expect(judge(nodeOf({ [name]: PLAIN }), name)).toEqual({
      is: "elsewhere",
      why: "points to another image",
    });
  });

  test("of another platform's image is foreign, and names that platform", () => {
    expect(judge(nodeOf({ [A]: served("arm", { platform: ARM }) }), A)).toEqual({
      is: "foreign",
      why: "for linux/arm64",
    });
  });

  test("of a chart or a signature is no image, however complete", () => {
    expect(judge(nodeOf({ [A]: served("chart", { artifact: true }) }), A)).toEqual({
      is: "not-an-image",
      why: "not a container image",
    });
  });

  test("unpacked with a snapshotter that CRI does not use is as good as not unpacked", () => {
    const node = { ...reduced(PLAIN, layers(PLAIN)), snapshotter: "zfs" };
    expect(judge(node, A)).toEqual({ is: "damaged", why: "damaged: 2 of 2 layers are missing" });
  });

  test("whose layers were discarded and whose snapshot is gone is damaged, also where no edge tells of layers", () => {
    const node = reduced(PLAIN, layers(PLAIN), false);
    const manifest = { ...PLAIN.manifest, labels: { "containerd.io/gc.ref.content.config": PLAIN.id } };
    expect(judge({ ...node, blobs: new Map([...node.blobs, [manifest.digest, manifest]]) }, A)).toEqual({
      is: "damaged",
      why: "damaged: all 2 layers are missing",
    });
  });

  test("of an image without any layer is usable", () => {
    expect(judge(reduced(served("empty", { layers: [] }), [], false), A)).toMatchObject({ is: "usable" });
  });
});

/** What containerd makes a container from; each was tried with real ones. */
describe("an image is what containerd takes for one", () => {
  const taken = (config: object, recipe: Recipe = {}) => {
    return judge(nodeOf({ [A]: served("x", { layers: [], config, ...recipe }) }), A).is;
  };

  test.each([
    ["no platform", {}],
    ["an empty one", { os: "", architecture: "" }],
    ["no architecture", { os: "linux" }],
    ["other words for it", { os: "Linux", architecture: "x86_64" }],
    ["what an amd64 CPU runs as well", { os: "linux", architecture: "386" }],
    ["no layers", { os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: null } }],
  ])("whose config tells %s", (_what, config) => {
    expect(taken(config)).toBe("usable");
    expect(taken(config, { index: true })).toBe("usable");
    expect(taken(config, { index: "nested" })).toBe("usable");
  });

  test("but not one that says outright that it is for another platform", () => {
    expect(taken({ os: "linux", architecture: "arm64" })).toBe("foreign");
    expect(taken({ os: "windows" })).toBe("foreign");
  });

  test("whatever its config says where an index says what it is for", () => {
    expect(taken({ os: "linux", architecture: "arm64" }, { index: true })).toBe("usable");
  });

  const judgedIn = (manifests: readonly IndexEntry[], images: readonly ServedImage[]) => {
    const index = indexOf(manifests);
    const node = nodeOf({
      [A]: { ...served("top"), target: descriptorOf(index, "index"), blobs: [index] },
      ...Object.fromEntries(images.map((image, nth) => [`r.one/${nth}:1`, image])),
    });
    return judge(node, A);
  };
  const entry = (image: ServedImage, platform?: Platform): IndexEntry => ({
    ...descriptorOf(image.manifest, "manifest"),
    platform,
  });
  const [one, two] = [served("one"), served("two")];

  test("of an index the first that suits best, and one without a platform last", () => {
    const i386 = { os: "linux", architecture: "386" };
    expect(judgedIn([entry(one, i386), entry(two, LINUX)], [one, two])).toMatchObject({ id: two.id });
    expect(judgedIn([entry(one), entry(two, i386)], [one, two])).toMatchObject({ id: two.id });
    expect(judgedIn([entry(one), entry(two)], [one, two])).toMatchObject({ id: one.id });
  });

  test("of an index none but the one that it takes, whatever else is there", () => {
    expect(judgedIn([entry(one, LINUX), entry(two, LINUX)], [two])).toMatchObject({
      is: "damaged",
      why: "damaged: its manifest is missing",
    });
    const arm = { os: "linux", architecture: "arm64" };
    const none = { os: "unknown", architecture: "unknown" };
    expect(judgedIn([entry(one, arm), entry(two, none)], [one, two])).toEqual({
      is: "foreign",
      why: "for linux/arm64",
    });
    expect(judgedIn([], [])).toEqual({ is: "foreign", why: "for no platform" });
  });

  test("of a pinned index the same one, whatever else of the index is unpacked", () => {
    const index = indexOf([entry(one, ARM), entry(two, LINUX)]);
    const top = { ...served("top"), target: descriptorOf(index, "index"), blobs: [index] };
    const node = nodeOf({ [A]: top, "r.one/1:1": one, "r.one/2:1": two }, [pinRecord(top.target)]);
    expect(judge(node, A)).toMatchObject({ id: two.id });
  });

  test("whose config names the platform where no index does", () => {
    const silent = served("silent", { layers: [], config: {} });
    expect(judgedIn([entry(silent)], [silent])).toMatchObject({ is: "foreign", why: "for ?/?" });
  });

  test("but not one whose config is another document", () => {
    expect(taken([])).toBe("not-an-image");
    expect(taken({ manifests: [] })).toBe("not-an-image");
  });

  test("also with parts that containerd does not know, if neither it nor its config has layers", () => {
    const image = served("odd", { layers: [], config: {} });
    const labels = { ...image.manifest.labels, "containerd.io/gc.ref.content.0": "x" };
    const node = nodeOf({ [A]: image });
    const blobs = new Map([...node.blobs, [image.manifest.digest, { ...image.manifest, labels }]]);
    expect(judge(lacking({ ...node, blobs }, [], false), A)).toMatchObject({ is: "usable" });
  });

  test("but not one whose layers are none, or other ones than its config tells", () => {
    const packed = (image: ServedImage): Node => lacking(nodeOf({ [A]: image }), [], false);
    const image = served("odd", { config: { rootfs: { diff_ids: ["a"] } } });
    expect(judge(packed(image), A)).toMatchObject({ is: "not-an-image" });
    const signature = served("signature", { layers: [], config: { rootfs: { diff_ids: ["a"] } } });
    const labels = { ...signature.manifest.labels, "containerd.io/gc.ref.content.1": "x" };
    const node = packed(signature);
    const blobs = new Map([...node.blobs, [signature.manifest.digest, { ...signature.manifest, labels }]]);
    expect(judge({ ...node, blobs }, A)).toMatchObject({ is: "not-an-image" });
  });
});

test("the configs of names are found through manifest and index, each once, as far as they are known", () => {
  const node = nodeOf({
    [A]: PLAIN,
    "r.one/b:1": INDEXED,
    "r.one/c:1": PLAIN,
    "r.one/d:1": served("unasked"),
  });
  expect(configsOf(node, [A, "r.one/b:1", "r.one/c:1", "nobody:1"])).toEqual([PLAIN.id, INDEXED.id]);
  expect(configsOf(lacking(node, [INDEXED.manifest.digest]), ["r.one/b:1"])).toEqual([]);
});

test("containerd's directories are those that it reports", () => {
  const [contentDirectory, imageDirectory] = ["/content", "/snapshots"];
  expect(directoriesOf(nodeOf({}))).toEqual([]);
  expect(directoriesOf({ ...nodeOf({}), imageDirectory })).toEqual([imageDirectory]);
  expect(directoriesOf({ ...nodeOf({}), contentDirectory, imageDirectory })).toEqual([
    contentDirectory,
    imageDirectory,
  ]);
});

describe("a pinned image", () => {
  const pin = pinRecord(PLAIN.target);

  test("that is unpacked needs no config to be read: a digest never changes what it stands for", () => {
    const node = { ...nodeOf({ [A]: PLAIN }, [pin]), documents: new Map() };
    expect(documentsToRead(node, [A])).toEqual([]);
    expect(judge(node, A)).toEqual({ is: "usable", target: PLAIN.target, id: PLAIN.id });
  });

  test("is judged like any other where its snapshot, its pin's label or a part is gone", () => {
    const pinned = nodeOf({ [A]: PLAIN }, [pin]);
    const asked = (node: Node): string[] =>
      documentsToRead({ ...node, documents: new Map() }, [A]).map(({ digest }) => digest);
    expect(asked(lacking(pinned, [], false))).toEqual([PLAIN.id]);
    expect(asked(nodeOf({ [A]: PLAIN }, [{ ...pin, labels: {} }]))).toEqual([PLAIN.id]);
    expect(judge(lacking(pinned, [PLAIN.id]), A)).toEqual({
      is: "damaged",
      why: "damaged: its config is missing",
    });
    expect(judge(lacking(pinned, layers(PLAIN), false), A)).toEqual({
      is: "damaged",
      why: "damaged: 2 of 2 layers are missing",
    });
  });

  test("whatever is read of a node is enough to judge it", () => {
    fc.assert(
      fc.property(fc.subarray([...INDEXED.blobs]), fc.boolean(), fc.boolean(), (gone, snapshots, pinned) => {
        const whole = nodeOf({ [A]: INDEXED }, pinned ? [pinRecord(INDEXED.target)] : []);
        const node = lacking(
          whole,
          gone.map(({ digest }) => digest),
          snapshots,
        );
        const documents = new Map<string, Document>();
        for (;;) {
          const asked = documentsToRead({ ...node, documents }, [A]);
          if (asked.length === 0) break;
          for (const { digest } of asked)
            documents.set(digest, node.documents.get(digest) ?? { is: "other" });
        }
        expect(judge({ ...node, documents }, A)).toEqual(judge(node, A));
      }),
    );
  });
});
