// A run on a node whose disk is not what containerd's database shows: blobs and layers in a folder, all else in memory.
import { mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { ApiError } from "../../../src/containerd/connection.ts";
import type { RunEvent } from "../../../src/core/events.ts";
import { CODE, Failed } from "../../../src/core/failure.ts";
import { NOTHING_KNOWN, type DiskRecord } from "../../../src/core/written.ts";
import { lookAtNode } from "../../../src/run/look.ts";
import { examineNames, type Examined } from "../../../src/run/mend.ts";
import { tar } from "../../rig/tar.ts";
import { gone, notFound, toolError } from "../containerd/in-memory.ts";
import { LINUX, served, type ServedImage } from "../containerd/served-image.ts";
import { failure, snapshotOf, wanted } from "../samples.ts";
import { temporaryFolder } from "../folder.ts";
import { bench, TEXTS, typesOf, type Ran } from "./bench.ts";

const folder = temporaryFolder();
const A = "r.one/a:1";
const B = "r.one/b:1";
const [CONTENT, LAYER] = [Buffer.alloc(1_000, 1), tar([{ name: "file", content: Buffer.alloc(1_000, 1) }])];

/** One image of one layer, which somebody else pulled, with its blobs and its layer on the disk. */
function setUp(bed = bench(), image: ServedImage = served("one", { layers: [LAYER.length] })) {
  const { node } = bed;
  const root = folder.make();
  const fileOf = (digest: string): string => path.join(root, "blobs", ...digest.split(":"));
  const directory = path.join(root, "layer");
  const file = path.join(directory, "file");
  const unpack = (): void => {
    mkdirSync(directory, { recursive: true });
    writeFileSync(file, CONTENT);
  };
  mkdirSync(path.join(root, "blobs/sha256"), { recursive: true });
  /** Blobs as files; each layer has these bytes, as far as it is long. */
  const write = ({ blobs }: ServedImage): void => {
    for (const { digest, text, size } of blobs)
      writeFileSync(fileOf(digest), text === "" ? LAYER.subarray(0, size) : text);
  };
  write(image);
  unpack();
  node.disk.content = root;
  node.disk.layers.set(image.chainId, [directory]);
  node.bring(A, image);
  node.registry.set(A, image);
  node.calls.length = 0;
  /** What an examination of these names finds. */
  const examined = async (names = [A], record: DiskRecord = NOTHING_KNOWN): Promise<Examined> =>
    examineNames(node.containerd, await lookAtNode(node.containerd, LINUX, names), names, record);
  const damage = async (record?: DiskRecord) =>
    (await examined([A], record)).node.damage.get(image.target.digest);
  return { ...bed, image, root, fileOf, file, directory, write, unpack, examined, damage };
}

const BASE = "sha256:base";

/** The same with two layers, which both have the file, with another length in the lower one. */
function setUpTwo() {
  const lower = tar([{ name: "file", content: CONTENT.subarray(0, 7) }]);
  const image = served("two", { layers: [lower.length, LAYER.length] });
  const set = setUp(bench(), image);
  const { node, directory } = set;
  writeFileSync(set.fileOf(image.layers[0]!.digest), lower);
  const below = folder.make();
  const fileBelow = path.join(below, "file");
  writeFileSync(fileBelow, CONTENT.subarray(0, 7));
  node.disk.layers.set(image.chainId, [directory, below]);
  node.disk.layers.set(BASE, [below]);
  node.snapshots.set(BASE, snapshotOf(BASE));
  const stack = (): void =>
    void node.snapshots.set(image.chainId, { ...node.snapshots.get(image.chainId)!, parent: BASE });
  stack();
  return { ...set, fileBelow, stack };
}

const messages = (events: Ran["events"]): string[] =>
  events.flatMap((event) => (event.type === "warning" ? event.message : []));
const failures = (events: Ran["events"]): string[] =>
  events.flatMap((event) => (event.type === "image-failed" ? event.failure.message : []));

describe("an examination", () => {
  const EMPTY = "1 of 1 layer's files are empty";

  test("distinguishes the layers, and compares each with its own directory", async () => {
    const { damage, file, fileBelow, image } = setUpTwo();
    expect(await damage()).toBeUndefined();
    truncateSync(file);
    expect(await damage()).toMatchObject({
      what: "1 of 2 layers' files are empty",
      mend: "unpack",
      snapshots: [image.chainId],
    });
    writeFileSync(file, CONTENT);
    truncateSync(fileBelow);
    expect(await damage()).toMatchObject({
      what: "1 of 2 layers' files are empty",
      snapshots: [image.chainId, BASE],
    });
  });

  test("compares nothing where not every layer that is unpacked is one of the manifest", async () => {
    const { damage, node, image, file } = setUpTwo();
    node.snapshots.set(image.chainId, { ...node.snapshots.get(image.chainId)!, parent: "" });
    truncateSync(file);
    expect(await damage()).toBeUndefined();
  });

  test.each<[string, (set: ReturnType<typeof setUp>) => void]>([
    ["containerd reports no directory of its blobs", ({ node }) => delete node.disk.content],
    ["the snapshotter has no directories", ({ node, image }) => node.disk.layers.delete(image.chainId)],
    ["the layer is not on the node", ({ node, image }) => node.blobs.delete(image.layers[0]!.digest)],
  ])("finds nothing where %s", async (_what, change) => {
    const set = setUp();
    truncateSync(set.file);
    expect(await set.damage()).toMatchObject({ what: EMPTY });
    change(set);
    expect(await set.damage()).toBeUndefined();
  });

  test("does not compare what is known to be written", async () => {
    const { damage, node, image, file } = setUp();
    truncateSync(file);
    const { createdAt } = node.snapshots.get(image.chainId)!;
    expect(
      await damage({ sound: new Set(), written: new Map([[image.chainId, createdAt]]) }),
    ).toBeUndefined();
    expect(await damage({ sound: new Set(), written: new Map([[image.chainId, "earlier"]]) })).toMatchObject({
      what: EMPTY,
    });
  });

  test("cannot check the files of a layer whose blob is cut, so that it is pulled again", async () => {
    const { damage, image, fileOf } = setUpTwo();
    truncateSync(fileOf(image.layers[1]!.digest), 9);
    expect(await damage()).toMatchObject({
      what: `its layer has 9 of ${LAYER.length.toLocaleString("en-US")} bytes, and 1 of 2 layers' files cannot be checked`,
      mend: "pull",
      blobs: [image.layers[1]!.digest],
      snapshots: [image.chainId],
    });
  });

  test("counts a blob without a file as empty", async () => {
    const { damage, image, fileOf } = setUp();
    rmSync(fileOf(image.id));
    expect(await damage()).toMatchObject({ what: `its config has 0 of ${image.config.size} bytes` });
  });

  test("asks for no directories of an image that is not unpacked, whose layers it needs", async () => {
    const { damage, node, image, fileOf } = setUp();
    node.snapshots.delete(image.chainId);
    expect(await damage()).toBeUndefined();
    truncateSync(fileOf(image.layers[0]!.digest));
    expect(await damage()).toMatchObject({ mend: "pull", snapshots: [] });
    expect(node.calls.filter((call) => call.startsWith("layerDirectories"))).toEqual([]);
  });

  test("looks at the layer below where a view fails, and no further than the lowest", async () => {
    const { damage, node, image } = setUpTwo();
    const fail = (): never => {
      throw new ApiError(CODE.unknown, "containerd: failed to stat parent: no such file or directory");
    };
    node.before("layerDirectories", fail);
    expect(await damage()).toMatchObject({ what: "1 of 2 layers' directories are gone" });
    node.before("layerDirectories", fail, fail);
    expect(await damage()).toMatchObject({ what: "2 of 2 layers' directories are gone" });
    const [top, below] = [image.chainId, BASE].map((chainId) => `layerDirectories overlayfs ${chainId}`);
    expect(node.calls.filter((call) => call.startsWith("layerDirectories"))).toEqual([
      top,
      below,
      top,
      below,
    ]);
  });

  test("ends where containerd does not answer", async () => {
    const { damage, node } = setUp();
    node.before("layerDirectories", () => {
      throw gone();
    });
    await expect(damage()).rejects.toThrow("containerd cannot be reached");
  });

  test("adds what is whole to what is known, and nothing that is damaged", async () => {
    const { examined, node, write, file, image } = setUp();
    const other = served("other");
    write(other);
    node.bring(B, other);
    truncateSync(file);
    const found = await examined([A, B], { ...NOTHING_KNOWN, sound: new Set(["sha256:known"]) });
    expect(found.images).toBe(2);
    expect([...found.node.damage.keys()]).toEqual([image.target.digest]);
    expect(found.sound).toEqual(new Set(["sha256:known", other.target.digest]));
  });
});

describe("an image whose files are empty", () => {
  test("is unpacked again from its blobs, and no registry is asked", async () => {
    const { node, run, image, file, unpack } = setUp();
    truncateSync(file);
    node.before("unpack", unpack);
    const ran = await run([A]);
    expect(ran.outcomes).toEqual({ [A]: "present" });
    expect(ran.events).toContainEqual({ type: "examined", images: 1, damaged: 1, ms: 0 });
    expect(messages(ran.events)).toEqual([
      `${A} was damaged on the disk: 1 of 1 layer's files are empty; unpacked again from its layers, which are whole`,
    ]);
    expect(node.changes()).toEqual([
      `removeSnapshot overlayfs ${image.chainId}`,
      expect.stringMatching(/^createLease import-images-collect-/u),
      expect.stringMatching(/^deleteLease import-images-collect-/u),
      expect.stringContaining(`unpack ${image.target.digest} overlayfs`),
      expect.stringContaining("saveRecord"),
    ]);
  });

  test("is unpacked again by a run during which containerd restarts", async () => {
    const { node, run, file, unpack } = setUp();
    truncateSync(file);
    for (const call of ["createLease", "deleteLease", "removeSnapshot"])
      node.before(call, () => {
        throw gone();
      });
    node.before("unpack", unpack);
    expect((await run([A])).outcomes).toEqual({ [A]: "present" });
  });

  test("fails where a container has it, with what to do", async () => {
    const { node, run, image, file } = setUp();
    truncateSync(file);
    node.snapshots.set("container", snapshotOf("container", { parent: image.chainId, isCommitted: false }));
    const ran = await run([A]);
    expect(ran.outcomes).toEqual({ [A]: "failed in verify: damaged" });
    expect(failures(ran.events)).toEqual(["it is damaged: 1 of 1 layer's files are empty"]);
    expect(node.changes()).toEqual([]);
  });

  test("is unpacked again where containerd counts as on top what it has collected", async () => {
    const { node, run, image, file, unpack } = setUp();
    truncateSync(file);
    node.snapshots.set("extract-1", snapshotOf("extract-1", { parent: image.chainId, isCommitted: false }));
    node.rmi(served("other"));
    expect(node.snapshots.has("extract-1")).toBe(false);
    node.before("unpack", unpack);
    const ran = await run([A]);
    expect(ran.outcomes).toEqual({ [A]: "present" });
    expect(node.changes()).toContain(`unlinkSnapshot ${image.id} overlayfs`);
    expect(node.snapshots.get(image.chainId)?.createdAt).toBe("made 2");
  });

  test("fails where a container has taken it while it was looked at", async () => {
    const { node, run, image, file } = setUp();
    truncateSync(file);
    node.before("layerDirectories", () => {
      node.snapshots.set("container", snapshotOf("container", { parent: image.chainId, isCommitted: false }));
    });
    const ran = await run([A]);
    expect(ran.outcomes).toEqual({ [A]: "failed in verify: damaged" });
    expect(failures(ran.events)).toEqual(["it is damaged: 1 of 1 layer's files are empty"]);
    expect(node.changes().filter((call) => /^(?:unpack|pull)/u.test(call))).toEqual([]);
  });

  test("is pulled again where it cannot be unpacked", async () => {
    const { node, run, image, file } = setUp();
    truncateSync(file);
    node.before("unpack", () => {
      throw toolError("ctr: failed to extract layer: gzip: invalid checksum");
    });
    const ran = await run([A]);
    expect(ran.outcomes).toEqual({ [A]: "pulled" });
    // Without a collection, the pull would reuse the file of the blob.
    const changes = node.changes();
    const deleted = changes.indexOf(`deleteBlob ${image.layers[0]?.digest}`);
    expect(changes.slice(deleted, deleted + 4)).toEqual([
      `deleteBlob ${image.layers[0]?.digest}`,
      expect.stringMatching(/^createLease import-images-collect-/u),
      expect.stringMatching(/^deleteLease import-images-collect-/u),
      `pull ${A}`,
    ]);
    expect(messages(ran.events)).toEqual([expect.stringContaining("could not be unpacked again")]);
  });

  test("keeps its blobs where it cannot be unpacked for a reason of the node", async () => {
    const { node, run, file } = setUp();
    truncateSync(file);
    node.before("unpack", () => {
      throw toolError(`ctr: ${TEXTS.disk}`);
    });
    const ran = await run([A]);
    expect(ran.outcomes).toEqual({ [A]: "present" });
    expect(node.changes().filter((call) => call.startsWith("deleteBlob"))).toEqual([]);
    expect(messages(ran.events)).toEqual([
      expect.stringMatching(/it could not be unpacked again: .*no space left on device$/u),
    ]);
  });

  test("keeps its blobs where the run is stopped, which ends the unpacking", async () => {
    const { node, run, file } = setUp();
    truncateSync(file);
    const stop = new AbortController();
    node.before("unpack", (signal) => {
      stop.abort(new Failed(failure("cancelled", "stopped by SIGTERM")));
      signal?.throwIfAborted();
    });
    const ran = await run([A], {}, { signal: stop.signal });
    expect(messages(ran.events)).toEqual([
      expect.stringMatching(/it could not be unpacked again: stopped by SIGTERM$/u),
    ]);
    expect(node.changes().filter((call) => call.startsWith("deleteBlob"))).toEqual([]);
  });

  test("is not looked for in what is known to be written, nor twice in one boot", async () => {
    const { node, run, image, file, disk } = setUp();
    const first = await run([A]);
    expect(typesOf(first.events)).toContain("synced");
    expect(disk()).toEqual({
      sound: new Set([image.target.digest]),
      written: new Map([[image.chainId, node.snapshots.get(image.chainId)?.createdAt]]),
    });
    truncateSync(file);
    node.calls.length = 0;
    const second = await run([A]);
    expect([second.outcomes, typesOf(second.events).includes("examined")]).toEqual([
      { [A]: "present" },
      false,
    ]);
    expect(node.calls.filter((call) => /^(?:layerDirectories|sync)/u.test(call))).toEqual([]);
    const third = await run([A], {}, { disk: { ...disk(), sound: new Set() } });
    expect([third.outcomes, messages(third.events)]).toEqual([{ [A]: "present" }, []]);
  });
});

describe("an image whose directory is gone", () => {
  test.each([
    ["as a view of it tells", true],
    ["below one that is there", false],
  ])("is unpacked again, %s", async (_what, isTop) => {
    const { node, run, directory, image, unpack } = setUp();
    rmSync(directory, { recursive: true });
    if (isTop)
      node.before(`layerDirectories overlayfs`, () => {
        throw new ApiError(CODE.unknown, "containerd: failed to stat parent: no such file or directory");
      });
    node.before("unpack", unpack);
    const ran = await run([A]);
    expect(ran.outcomes).toEqual({ [A]: "present" });
    expect(messages(ran.events)).toEqual([expect.stringContaining("1 of 1 layer's directories are gone")]);
    expect(node.changes()).toContain(`removeSnapshot overlayfs ${image.chainId}`);
  });
});

describe("a blob that is cut", () => {
  test.each([
    ["config", (image: ServedImage) => image.id],
    ["manifest", (image: ServedImage) => image.target.digest],
  ])("is deleted and pulled again: its %s", async (what, digestOf) => {
    const { node, run, image, fileOf } = setUp();
    truncateSync(fileOf(digestOf(image)));
    node.before("pull", () =>
      writeFileSync(
        fileOf(digestOf(image)),
        image.blobs.find(({ digest }) => digest === digestOf(image))?.text ?? "",
      ),
    );
    const ran = await run([A]);
    expect(ran.outcomes).toEqual({ [A]: "pulled" });
    const changes = node.changes();
    const [held, deleted, pulled] = ["hold", `deleteBlob ${digestOf(image)}`, `pull ${A}`].map((change) =>
      changes.findIndex((call) => call.startsWith(change)),
    );
    // Its layers are kept, and are not fetched again.
    expect([held, deleted, pulled]).toEqual([held, deleted, pulled].toSorted((a = 0, b = 0) => a - b));
    expect(held).toBeGreaterThanOrEqual(0);
    expect(messages(ran.events)).toEqual([
      expect.stringMatching(new RegExp(`its ${what} has 0 of \\d+ bytes`, "u")),
    ]);
  });

  test("is deleted while a lease of its image holds the layers that are there", async () => {
    const { node, run, image, write } = setUp(bench(), served("two"));
    const [there, missing] = image.layers;
    node.blobs.delete(missing!.digest);
    rmSync(path.join(node.disk.content!, "blobs", ...image.target.digest.split(":")));
    node.before(`pull ${A}`, () => write(image));
    const ran = await run([A, B]);
    expect(ran.outcomes).toEqual({ [A]: "pulled", [B]: "failed in pull: not-found" });
    const holds = node.changes().filter((call) => call.startsWith("hold"));
    expect(holds).toEqual([
      expect.stringMatching(new RegExp(`^hold import-images-\\S+ ${there!.digest}$`, "u")),
    ]);
    // It ends with its image, although another image is missing and the run keeps all other leases.
    expect([...node.leases.keys()]).toEqual([]);
  });

  test("is as good as whole where it is a layer that is unpacked", async () => {
    const { run, image, fileOf, disk } = setUp();
    await run([A]);
    truncateSync(fileOf(image.layers[0]?.digest ?? ""));
    const ran = await run([A], {}, { disk: { ...disk(), sound: new Set() } });
    expect([ran.outcomes, messages(ran.events)]).toEqual([{ [A]: "present" }, []]);
  });
});

describe("a pull that reuses what is unpacked already", () => {
  /** What nobody has a name for is not examined before the pull. */
  const setUpUnnamed = () => {
    const set = setUp();
    set.node.records.clear();
    return set;
  };
  const examinations = ({ node }: Pick<ReturnType<typeof bench>, "node">): string[] =>
    node.calls.filter((call) => call.startsWith("layerDirectories"));

  test("and was emptied by a power loss is repaired", async () => {
    const { node, run, image, file, unpack } = setUpUnnamed();
    truncateSync(file);
    node.before("unpack", unpack);
    const ran = await run([A]);
    expect(ran.outcomes).toEqual({ [A]: "pulled" });
    expect(messages(ran.events)).toEqual([
      `${A} was damaged on the disk: 1 of 1 layer's files are empty; unpacked again from its layers, which are whole`,
    ]);
    expect(node.changes()).toContain(`removeSnapshot overlayfs ${image.chainId}`);
  });

  test("fails where a container has what is damaged, and fails no other image", async () => {
    const { node, run, serve, image, file } = setUpUnnamed();
    truncateSync(file);
    node.snapshots.set("container", snapshotOf("container", { parent: image.chainId, isCommitted: false }));
    serve(served("other"), B);
    const ran = await run([A, B]);
    expect(ran.outcomes).toEqual({ [A]: "failed in verify: damaged", [B]: "pulled" });
    expect(failures(ran.events)).toEqual(["it is damaged: 1 of 1 layer's files are empty"]);
  });

  test.each<[string, (set: ReturnType<typeof setUpTwo>) => void, string[]]>([
    ["what is new is not compared", ({ file }) => rmSync(file), []],
    [
      "what is old is",
      ({ fileBelow }) => truncateSync(fileBelow),
      [expect.stringContaining("1 of 2 layers' files are empty; unpacked again")],
    ],
  ])("is examined where only a part of it is from before: %s", async (_what, harm, expected) => {
    const set = setUpTwo();
    const { node, run, image, stack, unpack } = set;
    node.records.clear();
    node.snapshots.delete(image.chainId);
    node.leases.set("somebody's", new Set([BASE]));
    harm(set);
    node.before("unpack", unpack);
    const onEvent = ({ type }: RunEvent): void => void (type === "placed" && stack());
    const ran = await run([A], {}, { onEvent });
    expect(ran.outcomes).toEqual({ [A]: "pulled" });
    expect(messages(ran.events)).toEqual(expected);
    expect(examinations(set)).toEqual([`layerDirectories overlayfs ${image.chainId}`]);
  });

  test.each<[string, (set: ReturnType<typeof setUp>) => void]>([
    [
      "is known to be written",
      ({ node, image }) => node.snapshots.set(image.chainId, snapshotOf(image.chainId)),
    ],
    [
      "was made again meanwhile",
      ({ node, image }) => node.before("pull", () => node.snapshots.delete(image.chainId)),
    ],
    [
      "is another image's",
      ({ node, image }) => {
        node.snapshots.delete(image.chainId);
        node.snapshots.set("other", snapshotOf("other"));
      },
    ],
  ])("is not examined where it %s", async (_what, change) => {
    const set = setUpUnnamed();
    change(set);
    const { createdAt } = snapshotOf("");
    const written = new Map([[set.image.chainId, createdAt]]);
    const ran = await set.run([A], {}, { disk: { sound: new Set(), written } });
    expect(ran.outcomes).toEqual({ [A]: "pulled" });
    expect(examinations(set)).toEqual([]);
  });

  test("is examined without the images that were there before", async () => {
    const set = setUp();
    set.serve(served("other"), B);
    expect((await set.run([A, B])).outcomes).toEqual({ [A]: "present", [B]: "pulled" });
    expect(examinations(set)).toEqual([`layerDirectories overlayfs ${set.image.chainId}`]);
  });

  test("is pulled again where somebody has deleted the image meanwhile", async () => {
    const { node, run, image } = setUpUnnamed();
    let isOnce = false;
    const onEvent = ({ type }: RunEvent): void => {
      if (type !== "placed" || isOnce) return;
      isOnce = true;
      node.rmi(image);
    };
    const ran = await run([A], {}, { onEvent });
    expect(ran.outcomes).toEqual({ [A]: "pulled" });
    expect(node.changes().filter((call) => call === `pull ${A}`)).toHaveLength(2);
  });
});

describe("what a run brings", () => {
  const syncs = ({ node }: Pick<ReturnType<typeof bench>, "node">): string[] =>
    node.calls.filter((call) => call.startsWith("sync "));

  test("is written once, before it is proved, and is known to be so", async () => {
    const { node, run, image, disk } = setUp();
    node.rmi(image);
    const ran = await run([A]);
    const types = typesOf(ran.events);
    expect(syncs({ node })).toHaveLength(1);
    expect(types.indexOf("placed")).toBeLessThan(types.indexOf("synced"));
    expect(types.indexOf("synced")).toBeLessThan(types.indexOf("verifying"));
    expect([...disk().written.keys()]).toEqual([image.chainId]);
  });

  test("is not known to be written where that failed, and the next run writes it", async () => {
    const { node, run, image, disk } = setUp();
    node.rmi(image);
    node.before("sync", () => {
      throw toolError("sync: error syncing: Input/output error");
    });
    const ran = await run([A]);
    expect(ran.outcomes).toEqual({ [A]: "pulled" });
    expect(messages(ran.events)).toEqual([expect.stringContaining("may not be on the disk yet")]);
    expect(disk()).toEqual({ sound: new Set([image.target.digest]), written: new Map() });
    expect(typesOf((await run([A])).events)).toContain("synced");
    expect([...disk().written.keys()]).toEqual([image.chainId]);
  });

  test("is not known to be written where somebody made it again after that", async () => {
    const { node, run, image, disk } = setUp();
    node.rmi(image);
    node.before(
      "sync",
      () => void node.snapshots.set(image.chainId, snapshotOf(image.chainId, { createdAt: "later" })),
    );
    await run([A]);
    expect(disk().written).toEqual(new Map());
  });

  test("is not written where the run was stopped", async () => {
    const { node, run, image, disk } = setUp();
    node.rmi(image);
    const stop = new AbortController();
    const reason = new Failed(failure("cancelled", "stopped by SIGTERM"));
    const onEvent = ({ type }: RunEvent): void => void (type === "placed" && stop.abort(reason));
    await run([A], {}, { signal: stop.signal, onEvent });
    expect(syncs({ node })).toEqual([]);
    expect(disk().written).toEqual(NOTHING_KNOWN.written);
  });

  test("is written where it is one of many images", async () => {
    const set = setUp();
    await set.run([A]);
    expect(syncs(set)).toHaveLength(1);
    set.serve(served("other"), B);
    await set.run([A, B]);
    expect(syncs(set)).toHaveLength(2);
  });

  test("is written once for each file system of containerd, which takes time", async () => {
    const set = setUp();
    const { node, root, run, clock } = set;
    node.disk.images = path.join(root, "blobs");
    node.before("sync", () => clock.pass(70));
    const { events } = await run([A]);
    expect(syncs(set)).toEqual([`sync ${path.join(root, "blobs")}`]);
    expect(events).toContainEqual({ type: "synced", ms: 70 });
  });

  test.each([
    ["another device", "/proc", "/"],
    ["what cannot be read", "/nowhere/content", "/nowhere/images"],
  ])(
    "is written to each of two directories on different file systems: %s",
    async (_what, content, images) => {
      const set = setUp();
      Object.assign(set.node.disk, { content, images });
      const sound = new Set([set.image.target.digest]);
      await set.run([A], {}, { disk: { ...NOTHING_KNOWN, sound } });
      expect(syncs(set)).toEqual([`sync ${content}`, `sync ${images}`]);
    },
  );

  test("is not known to be written where containerd reports no directories", async () => {
    const set = setUp();
    delete set.node.disk.content;
    const ran = await set.run([A]);
    expect(ran.outcomes).toEqual({ [A]: "present" });
    expect(typesOf(ran.events)).not.toContain("synced");
    expect(set.disk().written).toEqual(new Map());
  });

  test("is nothing where an image is kept, because its registry does not answer", async () => {
    const set = setUp();
    await set.run([A]);
    set.node.before("pull", () => {
      throw toolError(TEXTS.network);
    });
    const ran = await set.run([wanted(A, { pullPolicy: "implicit-Always" })], {
      retry: { attempts: 1, min_delay: 1, max_delay: 1 },
    });
    expect(ran.outcomes).toEqual({ [A]: "kept" });
    expect(syncs(set)).toHaveLength(1);
  });

  test("is nothing where an image is there that is not unpacked", async () => {
    const set = setUp();
    set.node.snapshots.delete(set.image.chainId);
    expect((await set.run([A])).outcomes).toEqual({ [A]: "present" });
    expect(syncs(set)).toEqual([]);
    expect(set.disk().written).toEqual(new Map());
  });

  test("replaces in what is known what is gone, without what others have brought", async () => {
    const { node, run, image, disk } = setUp();
    node.bring(B, served("other"));
    await run([A], {}, { disk: { sound: new Set(["sha256:gone"]), written: new Map([["gone", "once"]]) } });
    expect(disk().sound).toEqual(new Set([image.target.digest]));
    expect([...disk().written.keys()]).toEqual([image.chainId]);
  });

  test("that is a view which is gone meanwhile costs nothing", async () => {
    const { node, run, image } = setUp();
    node.before("layerDirectories", () => {
      node.snapshots.delete(image.chainId);
      throw notFound("snapshot");
    });
    expect((await run([A])).error).toBeUndefined();
  });
});
