// A run on a node whose disk is not what containerd's database shows: blobs and layers in a folder, all else in memory.
import { mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { ApiError } from "../../../src/containerd/connection.ts";
import type { RunEvent } from "../../../src/core/events.ts";
import { CODE, Failed } from "../../../src/core/failure.ts";
import { NOTHING_KNOWN } from "../../../src/core/written.ts";
import { tar } from "../../rig/tar.ts";
import { gone, notFound, toolError } from "../containerd/in-memory.ts";
import { served, type ServedImage } from "../containerd/served-image.ts";
import { failure, snapshotOf } from "../samples.ts";
import { temporaryFolder } from "../folder.ts";
import { bench, typesOf } from "./bench.ts";

const folder = temporaryFolder();
const A = "r.one/a:1";
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
  for (const { digest, text } of image.blobs) writeFileSync(fileOf(digest), text === "" ? LAYER : text);
  unpack();
  node.disk.content = root;
  node.disk.layers.set(image.chainId, [directory]);
  node.bring(A, image);
  node.registry.set(A, image);
  node.calls.length = 0;
  return { ...bed, image, fileOf, file, directory, unpack };
}

const messages = (events: Awaited<ReturnType<ReturnType<typeof bench>["run"]>>["events"]): string[] =>
  events.flatMap((event) => (event.type === "warning" ? event.message : []));

describe("an image whose files are empty", () => {
  test("is unpacked again from its blobs, and no registry is asked", async () => {
    const { node, run, image, file, unpack } = setUp();
    truncateSync(file);
    node.before("unpack", unpack);
    const ran = await run([A]);
    expect(ran.outcomes).toEqual({ [A]: "present" });
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
    expect(node.changes().filter((call) => call.startsWith("unpack"))).toEqual([]);
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

  test("is as good as whole where it is a layer that is unpacked", async () => {
    const { run, image, fileOf, disk } = setUp();
    await run([A]);
    truncateSync(fileOf(image.layers[0]?.digest ?? ""));
    const ran = await run([A], {}, { disk: { ...disk(), sound: new Set() } });
    expect([ran.outcomes, messages(ran.events)]).toEqual([{ [A]: "present" }, []]);
  });
});

describe("what a run brings", () => {
  test("is written once, before it is proved, and is known to be so", async () => {
    const { node, run, image, disk } = setUp();
    node.rmi(image);
    const ran = await run([A]);
    const types = typesOf(ran.events);
    expect(node.calls.filter((call) => call.startsWith("sync "))).toHaveLength(1);
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
    expect(node.calls.filter((call) => call.startsWith("sync "))).toEqual([]);
    expect(disk().written).toEqual(NOTHING_KNOWN.written);
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
