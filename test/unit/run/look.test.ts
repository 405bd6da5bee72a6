import { describe, expect, test } from "vitest";
import { judge } from "../../../src/core/judge.ts";
import { directoriesOf, type Layer } from "../../../src/core/node.ts";
import { isPinned, pinName, pinRecord } from "../../../src/core/pins.ts";
import { ApiError } from "../../../src/containerd/connection.ts";
import { CODE } from "../../../src/core/failure.ts";
import { lookAtImage, lookAtNode } from "../../../src/run/look.ts";
import { gone, inMemoryContainerd, notFound, toolError } from "../containerd/in-memory.ts";
import { LINUX, served } from "../containerd/served-image.ts";
import { reference, wanted } from "../samples.ts";

const A = "r.one/a:1";
const [ONE, TWO] = [served("one", { index: true }), served("two")];
const throws = (error: Error) => (): never => {
  throw error;
};

describe("a look at the node", () => {
  test("is a handful of lists, and the documents of the names that were asked for", async () => {
    const node = inMemoryContainerd();
    node.bring(A, ONE);
    node.bring("r.two/b:1", TWO);
    const seen = await lookAtNode(node.containerd, LINUX, [A, "nobody:1"]);
    expect(node.calls.map((call) => call.split(" ", 1).join("")).toSorted()).toEqual([
      "blobs",
      "contentDirectory",
      "criImages",
      "imageDirectory",
      "read",
      "read",
      "records",
      "snapshots",
    ]);
    expect([...seen.documents.keys()]).toEqual([ONE.target.digest, ONE.id]);
    expect(judge(seen, A)).toEqual({ is: "usable", target: ONE.target, id: ONE.id });
    expect(seen.cri.get("r.two/b:1")?.[0]?.id).toBe(TWO.id);
  });

  test.each([
    ["has gone since it was listed", notFound(ONE.id)],
    ["is shorter on the disk than it should be", new ApiError(CODE.unknown, "containerd: unexpected EOF")],
  ])("takes an image for damaged whose config %s", async (_what, error) => {
    const node = inMemoryContainerd();
    node.bring(A, ONE);
    node.before(`read ${ONE.id}`, throws(error));
    expect(judge(await lookAtNode(node.containerd, LINUX, [A]), A)).toEqual({
      is: "damaged",
      why: "damaged: its config cannot be read",
    });
  });

  test("reads every index on the way to the manifest, and takes what is too large to be read for no image", async () => {
    const nested = served("nested", { index: "nested" });
    const node = inMemoryContainerd();
    node.bring(A, nested);
    expect(judge(await lookAtNode(node.containerd, LINUX, [A]), A)).toMatchObject({ id: nested.id });
    const containerd = { ...node.containerd, read: async () => undefined };
    expect(judge(await lookAtNode(containerd, LINUX, [A]), A)).toMatchObject({ is: "not-an-image" });
  });

  test("fails with what a list or a config failed with", async () => {
    for (const call of ["records", "blobs", "criImages", "snapshots", "read"]) {
      const node = inMemoryContainerd();
      node.bring(A, ONE);
      node.before(call, throws(toolError(`${call} failed`)));
      await expect(lookAtNode(node.containerd, LINUX, [A])).rejects.toThrow(`${call} failed`);
    }
  });

  test.each([
    ["CRI's directory is named after", "/var/lib/containerd/io.containerd.snapshotter.v1.zfs", "zfs"],
    [
      "the directory is named after, with a slash at its end",
      "/x/io.containerd.snapshotter.v1.devmapper/",
      "devmapper",
    ],
    ["most was unpacked with, where CRI does not tell", undefined, "native"],
    ["most was unpacked with, where the directory tells nothing", "/data", "native"],
  ])("uses the snapshotter that %s", async (_what, directory, snapshotter) => {
    const node = inMemoryContainerd();
    node.bring(A, ONE);
    for (const digest of ["sha256:x", "sha256:y"])
      node.blobs.set(digest, {
        digest,
        size: 1,
        text: "",
        labels: { "containerd.io/gc.ref.snapshot.native": "chain" },
      });
    const containerd = { ...node.containerd, imageDirectory: async () => directory };
    expect((await lookAtNode(containerd, LINUX, [A])).snapshotter).toBe(snapshotter);
  });

  test("knows in which directories containerd keeps images", async () => {
    const node = inMemoryContainerd();
    node.disk.content = "/content";
    const containerd = { ...node.containerd, imageDirectory: async () => "/images" };
    expect(directoriesOf(await lookAtNode(containerd, LINUX, []))).toEqual(["/content", "/images"]);
  });

  test("fails where a document cannot be read because containerd has gone", async () => {
    const node = inMemoryContainerd();
    node.bring(A, ONE);
    node.before("read", throws(gone()));
    await expect(lookAtNode(node.containerd, LINUX, [A])).rejects.toMatchObject({ code: CODE.unavailable });
  });

  test("reads sixteen documents at once", async () => {
    const node = inMemoryContainerd();
    const names = Array.from({ length: 40 }, (_, nth) => `r.one/i${nth}:1`);
    for (const name of names) node.bring(name, served(name));
    let [open, most] = [0, 0];
    const read = async (blob: Layer): Promise<string | undefined> => {
      most = Math.max(most, (open += 1));
      await new Promise((resolve) => setImmediate(resolve));
      open -= 1;
      return node.containerd.read(blob);
    };
    await lookAtNode({ ...node.containerd, read }, LINUX, names);
    expect(most).toBe(16);
  });

  test("takes the usual snapshotter on an empty node, and where CRI cannot tell", async () => {
    const node = inMemoryContainerd();
    node.before("imageDirectory", throws(toolError("no")));
    const seen = await lookAtNode(node.containerd, LINUX, []);
    expect([seen.snapshotter, seen.imageDirectory]).toEqual(["overlayfs", undefined]);
  });
});

describe("a look at an image that was pulled", () => {
  const image = wanted(A, { furtherNames: [reference("x.y/z:1")] });

  test("sees what the pull named, beside its pin and further names as they were, without a list", async () => {
    const node = inMemoryContainerd();
    node.records.set(pinName(ONE.target), pinRecord(ONE.target));
    node.record(`x.y/z@${ONE.target.digest}`, ONE);
    const before = await lookAtNode(node.containerd, LINUX, [A]);
    node.bring(A, ONE);
    node.bring("r.two/b:1", TWO);
    const calls = node.calls.length;
    const after = await lookAtImage(node.containerd, image, before);
    expect(judge(after, A)).toEqual({ is: "usable", target: ONE.target, id: ONE.id });
    expect(isPinned(after, ONE.target)).toBe(true);
    expect([...after.records.keys()].toSorted()).toEqual(
      [A, `r.one/a@${ONE.target.digest}`, `x.y/z@${ONE.target.digest}`, pinName(ONE.target)].toSorted(),
    );
    expect(node.calls).toContain(`snapshot overlayfs ${ONE.chainId}`);
    expect(node.calls.slice(calls).filter((call) => /^(?:records|blobs|snapshots)/u.test(call))).toEqual([]);
  });

  test("finds all layers of an image that is not unpacked", async () => {
    const node = inMemoryContainerd();
    const before = await lookAtNode(node.containerd, LINUX, [A]);
    node.bring(A, ONE);
    node.snapshots.clear();
    expect(judge(await lookAtImage(node.containerd, image, before), A)).toMatchObject({ is: "usable" });
    node.blobs.delete(ONE.layers[0]?.digest ?? "");
    expect(judge(await lookAtImage(node.containerd, image, before), A)).toMatchObject({ is: "damaged" });
  });

  test("finds nothing where its name is gone again, and asks for no snapshot", async () => {
    const node = inMemoryContainerd();
    const before = await lookAtNode(node.containerd, LINUX, [A]);
    const calls = node.calls.length;
    expect(judge(await lookAtImage(node.containerd, image, before), A)).toMatchObject({ is: "absent" });
    expect(node.calls.slice(calls).filter((call) => /napshot/u.test(call))).toEqual([]);
  });
});
