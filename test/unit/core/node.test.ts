import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { configsOf, configsToRead, judge } from "../../../src/core/judge.ts";
import { type Node } from "../../../src/core/node.ts";
import { pinRecord } from "../../../src/core/pins.ts";
import { ARM, served, type ServedImage } from "../containerd/served-image.ts";
import { nodeOf } from "../samples.ts";

const A = "r.one/a:1";
const PLAIN = served("plain");
const INDEXED = served("indexed", { index: true });

/** The node without these blobs, or without its snapshots. */
const lacking = (node: Node, digests: readonly string[], snapshots = true): Node => ({
  ...node,
  blobs: new Map([...node.blobs].filter(([digest]) => !digests.includes(digest))),
  snapshots: snapshots ? node.snapshots : new Set(),
});
const reduced = (image: ServedImage, digests: readonly string[], snapshots?: boolean): Node =>
  lacking(nodeOf({ [A]: image }), digests, snapshots);
const layers = ({ layers: all }: ServedImage): string[] => all.map(({ digest }) => digest);

describe.each([
  ["with one manifest", PLAIN],
  ["with an index", INDEXED],
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
      why: "damaged: its manifest missing",
    });
    expect(judge(reduced(image, [image.manifest.digest]), A)).toEqual({
      is: "damaged",
      why: "damaged: its manifest missing",
    });
    expect(judge(reduced(image, [image.id]), A)).toEqual({
      is: "damaged",
      why: "damaged: its config missing",
    });
  });

  test("is damaged when it is not unpacked and lacks layers, and tells how many", () => {
    expect(judge(reduced(image, layers(image).slice(1), false), A)).toEqual({
      is: "damaged",
      why: "damaged: 1 of 2 layers missing",
    });
    expect(judge(reduced(image, layers(image), false), A)).toEqual({
      is: "damaged",
      why: "damaged: 2 of 2 layers missing",
    });
  });

  test("is damaged when its config could not be read", () => {
    expect(judge({ ...nodeOf({ [A]: image }), configs: new Map() }, A)).toEqual({
      is: "damaged",
      why: "damaged: its config missing",
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

  test("of an index is judged by the best of its manifests that are here", () => {
    const arm = served("arm", { platform: ARM });
    const node = nodeOf({ [A]: INDEXED, "r.one/arm:1": arm });
    const index = node.blobs.get(INDEXED.target.digest);
    if (index === undefined) throw new Error("no index");
    const both = {
      ...index,
      labels: { ...index.labels, "containerd.io/gc.ref.content.m.0": arm.manifest.digest },
    };
    const mixed = { ...node, blobs: new Map([...node.blobs, [index.digest, both]]) };
    expect(judge(mixed, A)).toMatchObject({ is: "usable", id: INDEXED.id });
    expect(judge(lacking(mixed, [INDEXED.manifest.digest]), A)).toEqual({
      is: "foreign",
      why: "for linux/arm64",
    });
    expect(judge(lacking(mixed, [INDEXED.id]), A)).toEqual({
      is: "damaged",
      why: "damaged: its config missing",
    });
  });

  test("unpacked with a snapshotter that CRI does not use is as good as not unpacked", () => {
    const node = { ...reduced(PLAIN, layers(PLAIN)), snapshotter: "zfs" };
    expect(judge(node, A)).toEqual({ is: "damaged", why: "damaged: 2 of 2 layers missing" });
  });

  test("whose layers were discarded and whose snapshot is gone is damaged, also where no edge tells of layers", () => {
    const node = reduced(PLAIN, layers(PLAIN), false);
    const manifest = { ...PLAIN.manifest, labels: { "containerd.io/gc.ref.content.config": PLAIN.id } };
    expect(judge({ ...node, blobs: new Map([...node.blobs, [manifest.digest, manifest]]) }, A)).toEqual({
      is: "damaged",
      why: "damaged: all 2 layers missing",
    });
  });

  test("of an image without any layer is usable", () => {
    expect(judge(reduced(served("empty", { layers: [] }), [], false), A)).toMatchObject({ is: "usable" });
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

describe("a pinned image", () => {
  const pin = pinRecord(PLAIN.target);

  test("that is unpacked needs no config to be read: a digest never changes what it stands for", () => {
    const node = { ...nodeOf({ [A]: PLAIN }, [pin]), configs: new Map() };
    expect(configsToRead(node, [A])).toEqual([]);
    expect(judge(node, A)).toEqual({ is: "usable", target: PLAIN.target, id: PLAIN.id });
  });

  test("is judged like any other where its snapshot, its pin's label or a part is gone", () => {
    const pinned = nodeOf({ [A]: PLAIN }, [pin]);
    expect(configsToRead(lacking(pinned, [], false), [A])).toEqual([PLAIN.id]);
    expect(configsToRead(nodeOf({ [A]: PLAIN }, [{ ...pin, labels: {} }]), [A])).toEqual([PLAIN.id]);
    expect(judge(lacking(pinned, [PLAIN.id]), A)).toEqual({
      is: "damaged",
      why: "damaged: its config missing",
    });
    expect(judge(lacking(pinned, layers(PLAIN), false), A)).toEqual({
      is: "damaged",
      why: "damaged: 2 of 2 layers missing",
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
        const read = configsToRead(node, [A]);
        const configs = new Map([...node.configs].filter(([digest]) => read.includes(digest)));
        expect(judge({ ...node, configs }, A)).toEqual(judge(node, A));
      }),
    );
  });
});
