// What `list` makes of a node and of names, and that a configuration takes it.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeConfig } from "../../../src/config/decode.ts";
import { registryScope } from "../../../src/core/credentials.ts";
import { imagesNamed, imagesOnNode, listEntries } from "../../../src/core/list.ts";
import { pinRecord } from "../../../src/core/pins.ts";
import { inMemoryContainerd } from "../containerd/in-memory.ts";
import { served, type ServedImage } from "../containerd/served-image.ts";
import { digestOf, reference } from "../samples.ts";

const MIRROR = registryScope("harbor.example.com/mirror");
const A = digestOf("a");

async function held(fill: (node: ReturnType<typeof inMemoryContainerd>) => void) {
  const node = inMemoryContainerd();
  fill(node);
  const { records, blobs, criImages } = node.containerd;
  return { records: await records(), blobs: await blobs(), cri: await criImages() };
}
/** An image that was pulled by the first name, and tagged with the others. */
function bring(node: ReturnType<typeof inMemoryContainerd>, image: ServedImage, ...names: string[]): void {
  const [first = "", ...others] = names;
  node.bring(first, image);
  for (const name of others) node.record(name, image);
}
const named = (...names: string[]) => imagesNamed(names.map(reference));

/** Two entries of one name would be one image, and one name of two images is a problem. */
function expectValid(entries: ReturnType<typeof listEntries>, count: number): void {
  const images = entries.map(({ name, retagAs }) => ({ name, retagAs }));
  const decoded = decodeConfig({ images });
  expect(decoded.issues).toEqual([]);
  expect(decoded.ok && decoded.config.images.length).toBe(count);
}

describe("a node", () => {
  test("has an entry for each digest, by the name that it was pulled by, with its other names and its size", async () => {
    const [one, two] = [served("one"), served("two")];
    const node = await held((made) => {
      bring(made, one, "r.one/z:1", "docker.io/library/a:1", "r.two/a:1");
      bring(made, two, "r.one/two:1");
    });
    expect(listEntries(imagesOnNode(node))).toEqual([
      { name: "r.one/two:1", retagAs: [], size: 1_000 },
      { name: "r.one/z:1", retagAs: ["docker.io/library/a:1", "r.two/a:1"], size: 1_000 },
    ]);
  });

  test("has no pins of ours, bare ids, short names or artifacts listed", async () => {
    const image = served("one");
    const node = await held((made) => {
      bring(made, image, "r.one/a:1", "debian-base:v2");
      const pin = pinRecord(image.target);
      made.records.set(pin.name, pin);
      made.records.set("r.one/chart:1", {
        name: "r.one/chart:1",
        labels: {},
        target: { ...image.target, digest: A },
      });
    });
    expect(listEntries(imagesOnNode(node)).map(({ name, retagAs }) => [name, ...retagAs])).toEqual([
      ["r.one/a:1"],
    ]);
  });

  test("has digests kept, but for those that a run makes of the tags", async () => {
    const image = served("one");
    const { digest } = image.target;
    const node = await held((made) => {
      bring(made, image, "r.one/a:1", `r.one/a@${digest}`, `r.two/b@${digest}`);
      bring(made, served("two"), `r.one/c@${served("two").target.digest}`);
    });
    const entries = listEntries(imagesOnNode(node));
    expect(entries.map(({ name, retagAs }) => [name, ...retagAs])).toEqual([
      ["r.one/a:1", `r.two/b@${digest}`],
      [`r.one/c@${served("two").target.digest}`],
    ]);
    expectValid(entries, 2);
  });

  test("has the digests behind the tags, each by name, where nothing shows which name was pulled", async () => {
    const image = served("one");
    const at = (repository: string): string => `${repository}@${image.target.digest}`;
    const names = ["r.one/z:1", at("a.b/y"), "r.one/a:1", at("a.b/a"), at("r.one/y"), at("a.b/z"), "x.y/z:1"];
    const node = await held((made) => {
      for (const name of names) made.record(name, image);
    });
    const sorted = [
      "r.one/a:1",
      "r.one/z:1",
      "x.y/z:1",
      at("a.b/a"),
      at("a.b/y"),
      at("a.b/z"),
      at("r.one/y"),
    ];
    const cri = [{ id: image.id, names, size: 5, pinned: false }];
    for (const records of [node.records, node.records.toReversed()])
      expect(listEntries(imagesOnNode({ ...node, records, cri }))).toEqual([
        { name: sorted[0], retagAs: sorted.slice(1), size: 5 },
      ]);
  });

  test("has only what containers use, whatever it is called there, and an image whose name has gone", async () => {
    const used = served("used");
    const node = await held((made) => {
      bring(made, used, "r.one/used:1", "r.two/used:1");
      bring(made, served("unused"), "r.one/unused:1");
    });
    const names = [used.id, "r.two/used:1", "r.one/gone:1", "sha256:gone", pinRecord(used.target).name];
    expect(listEntries(imagesOnNode(node, names))).toEqual([
      { name: "r.one/gone:1", retagAs: [] },
      { name: "r.one/used:1", retagAs: ["r.two/used:1"], size: 1_000 },
    ]);
  });
});

describe("names", () => {
  test("are listed once each, and together where they have one digest", () => {
    expect(listEntries(named("b:1", "a.b/c", "b:1", `x.y/z@${A}`, `a.b/z:1@${A}`))).toStrictEqual([
      { name: "a.b/c:latest", retagAs: [] },
      { name: "docker.io/library/b:1", retagAs: [] },
      { name: `x.y/z@${A}`, retagAs: [`a.b/z@${A}`] },
    ]);
  });
});

describe("a mirror", () => {
  const mirrored = (...names: string[]) => {
    const entries = listEntries(named(...names), MIRROR);
    expectValid(entries, entries.length);
    return entries.map(({ name, retagAs }) => [name.replace("harbor.example.com/mirror/", ""), ...retagAs]);
  };

  test("is where every image is pulled from, under the names that pods use", () => {
    expect(mirrored("registry.k8s.io/pause:3.9", "nginx", `quay.io/a/b@${A}`)).toEqual([
      [`a/b@${A}`, `quay.io/a/b@${A}`],
      ["library/nginx:latest", "docker.io/library/nginx:latest"],
      ["pause:3.9", "registry.k8s.io/pause:3.9"],
    ]);
  });

  test("keeps two registries with one repository apart", () => {
    expect(mirrored("quay.io/a/b:1", "R.one:5000/a/b:1", "quay.io/a/b:2")).toEqual([
      ["a/b:2", "quay.io/a/b:2"],
      ["quay.io/a/b:1", "quay.io/a/b:1"],
      ["r.one-5000/a/b:1", "R.one:5000/a/b:1"],
    ]);
  });

  test("keeps what is in it already, also when another image would get its name", () => {
    expect(
      mirrored("harbor.example.com/mirror/a/b:1", "quay.io/a/b:1", "harbor.example.com/mirrored/c:1"),
    ).toEqual([
      ["a/b:1"],
      ["mirrored/c:1", "harbor.example.com/mirrored/c:1"],
      ["quay.io/a/b:1", "quay.io/a/b:1"],
    ]);
  });

  test("numbers the hosts that are spelled alike there", () => {
    expect(mirrored("R.one:5000/a:1", "r.one-5000/a:1", "r.one--5000/a:1")).toEqual([
      ["r.one-5000-2/a:1", "r.one-5000/a:1"],
      ["r.one-5000-3/a:1", "r.one--5000/a:1"],
      ["r.one-5000/a:1", "R.one:5000/a:1"],
    ]);
  });

  test("keeps every name of an image in it, whatever other image would get one of them", () => {
    const [one, other] = ["harbor.example.com/mirror/a:1", "harbor.example.com/mirror/x:1"];
    const image = { names: [one, "r.one/z:1", other].map(reference) };
    const others = ["quay.io/a:1", "quay.io/x:1"].map((name) => ({ names: [reference(name)] }));
    for (const images of [
      [image, ...others],
      [...others, image],
    ])
      expect(listEntries(images, MIRROR)).toEqual([
        { name: one, retagAs: ["r.one/z:1", other] },
        { name: "harbor.example.com/mirror/quay.io/a:1", retagAs: ["quay.io/a:1"] },
        { name: "harbor.example.com/mirror/quay.io/x:1", retagAs: ["quay.io/x:1"] },
      ]);
  });

  test("gives an image of a node its name there, if it has one, and all others as further names", async () => {
    const node = await held((made) =>
      bring(made, served("one"), "r.one/a:1", "harbor.example.com/mirror/x:1", "docker.io/library/a:1"),
    );
    expect(listEntries(imagesOnNode(node), MIRROR)).toMatchObject([
      { name: "harbor.example.com/mirror/x:1", retagAs: ["r.one/a:1", "docker.io/library/a:1"] },
    ]);
  });

  test("makes a list that a configuration takes, of any names, with every name in it", () => {
    const hosts = fc.constantFrom(
      "docker.io",
      "quay.io",
      "harbor.example.com",
      "[::1]:5000",
      "R.one:5000",
      "r.one-5000",
    );
    const path = fc.constantFrom("a", "mirror/a", "mirror/quay.io/a", "quay.io/a", "b/c", "mirrored/a");
    const version = fc.constantFrom(":1", ":latest", `@${A}`, `@${digestOf("b")}`);
    const names = fc.array(fc.tuple(hosts, path, version), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(names, (parts) => {
        const all = parts.map(([host, below, end]) => `${host}/${below}${end}`);
        const images = named(...all);
        const entries = listEntries(images, MIRROR);
        expectValid(entries, images.length);
        const kept = new Set(entries.flatMap(({ name, retagAs }) => [name, ...retagAs]));
        for (const name of all) expect(kept.has(reference(name).name)).toBe(true);
      }),
      { numRuns: 200, seed: 14 },
    );
  });

  test("may be a whole registry", () => {
    expect(listEntries(named("harbor.example.com/a:1", "b:1"), registryScope("harbor.example.com"))).toEqual([
      { name: "harbor.example.com/a:1", retagAs: [] },
      { name: "harbor.example.com/library/b:1", retagAs: ["docker.io/library/b:1"] },
    ]);
  });
});
