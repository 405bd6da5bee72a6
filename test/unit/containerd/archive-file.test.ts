import { writeFileSync } from "node:fs";
import path from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { readArchive } from "../../../src/containerd/archive-file.ts";
import { dockerArchive, ociArchive } from "../../rig/archive.ts";
import { tar, type TarEntry } from "../../rig/tar.ts";
import { temporaryFolder } from "../folder.ts";
import { packed, saved, sized } from "./packed.ts";
import { served } from "./served-image.ts";

const folder = temporaryFolder();
const APP = "docker.io/library/app:1";
const [ONE, TWO] = [served("one"), served("two", { index: true })];
const OCI = packed({ [APP]: ONE });
const HELD = [{ name: APP, digests: [ONE.target.digest], ids: [ONE.id] }];
let count = 0;

const read = (content: Buffer, signal = new AbortController().signal) => {
  const file = path.join(folder.path, `${(count += 1)}.tar`);
  writeFileSync(file, content);
  return readArchive(file, signal);
};
/** Which readers have to pass over. */
const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);
const half = OCI.length >> 1;

/** The sum stands before the length, at the end. */
const wrongSum = (zipped: Buffer): Buffer => {
  zipped[zipped.length - 8]! ^= 1;
  return zipped;
};

describe("what an archive holds is read from it", () => {
  test.each([
    ["an OCI archive", OCI],
    ["with gzip", gzipSync(OCI)],
    ["with zstd", zstdCompressSync(OCI)],
    [
      "with zstd in several frames",
      Buffer.concat([zstdCompressSync(OCI.subarray(0, half)), zstdCompressSync(OCI.subarray(half))]),
    ],
    ["with zstd behind a frame to skip", Buffer.concat([skippable, zstdCompressSync(OCI), skippable])],
    ["behind a large file", tar([{ name: "large", content: Buffer.alloc(2_000_000) }, ...files(OCI, "")])],
    ["with a size to base 256", Buffer.concat([sized("800000000000000000000200"), Buffer.alloc(512), OCI])],
    ["with a directory that has a large size", Buffer.concat([sized("303030313030303030303000", "5"), OCI])],
    ["with anything behind its end", Buffer.concat([OCI, Buffer.alloc(700, 1)])],
    ["with anything behind its end, with gzip", gzipSync(Buffer.concat([OCI, Buffer.alloc(700, 1)]))],
    ["with zeros behind its end", Buffer.concat([OCI, Buffer.alloc(1_000_000)])],
    ["with less than a block behind its end", Buffer.concat([OCI, Buffer.alloc(100, 1)])],
    [
      "with less than a block behind its end, with gzip",
      gzipSync(Buffer.concat([OCI, Buffer.alloc(100, 1)])),
    ],
    ["with anything in place of its end", Buffer.concat([OCI.subarray(0, -1_024), Buffer.alloc(700, 1)])],
    [
      "with anything in place of its end, behind a large file",
      Buffer.concat([
        tar([...files(OCI, ""), { name: "large", content: Buffer.alloc(2_000_000) }]).subarray(0, -1_024),
        Buffer.alloc(700, 1),
      ]),
    ],
    ["with paths from ./ on", tar([{ name: "./", directory: true }, ...files(OCI, "./")])],
  ])("%s", async (_what, content) => {
    expect(await read(content)).toEqual(HELD);
  });

  test("a docker archive, of which only the configs are known", async () => {
    expect(await read(saved({ [APP]: ONE }))).toEqual([{ name: APP, digests: [], ids: [ONE.id] }]);
  });

  test("a damaged one, up to where it is damaged", async () => {
    const list = [{ Config: "c.json", RepoTags: [APP], Layers: [] }];
    const damaged = tar([
      { name: "manifest.json", content: Buffer.from(JSON.stringify(list)) },
      { name: "c.json", content: Buffer.from(ONE.config.text) },
    ]);
    damaged[1_024]! ^= 1;
    for (const content of [damaged, gzipSync(damaged)])
      expect(await read(content)).toEqual([{ name: APP, digests: [], ids: [] }]);
  });

  test("an index, with the configs below it", async () => {
    expect(await read(packed({ [APP]: TWO }))).toEqual([
      { name: APP, digests: [TWO.target.digest], ids: expect.arrayContaining([TWO.id]) as string[] },
    ]);
  });

  test("real ones, with layers, names in several ways and long paths", async () => {
    const layers = [{ bytes: 1_500_000, seed: "a" }];
    const names = ["local.example/a:1", "busybox:1"];
    for (const content of [
      dockerArchive({ names, layers }),
      ociArchive({ names, layers }),
      gzipSync(ociArchive({ names, layers })),
    ])
      expect(await read(content)).toMatchObject(names.map((name) => ({ name })));
  });

  test("also where a path is too long for a header, or its size stands before it", async () => {
    const text = JSON.stringify([{ Config: "c.json", RepoTags: [APP], Layers: [] }]);
    const long = "manifest.json";
    const extended = (record: string): string => `${record.length + 4} ${record}\n`;
    const entries = tar([
      { name: "p", type: "x", content: Buffer.from(extended(`path=${long}`)) },
      { name: "elsewhere", content: Buffer.from(text) },
      { name: "././@LongLink", type: "L", content: Buffer.from("c.json\0") },
      { name: "cut", content: Buffer.from(ONE.config.text) },
    ]);
    expect(await read(entries)).toEqual([{ name: APP, digests: [], ids: [ONE.id] }]);
  });
});

describe("a document of an archive", () => {
  const MEGABYTE = 2 ** 20;
  const documentOf = (bytes: number, begin = "{}"): Buffer => Buffer.from(begin.padEnd(bytes));
  /** Of a docker archive with these entries, of which `c` is the config. */
  const readWith = (entries: readonly TarEntry[]) => {
    const list = JSON.stringify([{ Config: "c", RepoTags: [APP] }]);
    return read(zstdCompressSync(tar([...entries, { name: "manifest.json", content: Buffer.from(list) }])));
  };
  const [KNOWN, UNKNOWN] = [[{ name: APP, ids: [expect.any(String)] }], [{ name: APP, ids: [] }]];

  test.each([
    ["of a megabyte is read", MEGABYTE, KNOWN],
    ["of more is not read", MEGABYTE + 1, UNKNOWN],
  ])("%s", async (_what, bytes, expected) => {
    expect(await readWith([{ name: "c", content: documentOf(bytes) }])).toMatchObject(expected);
  });

  test("of much more is read where it lists what the archive holds", async () => {
    const [layout, index, ...blobs] = files(OCI, "");
    const content = Buffer.concat([index!.content, Buffer.alloc(MEGABYTE, " ")]);
    expect(await read(tar([layout!, { name: "index.json", content }, ...blobs]))).toEqual(HELD);
  });

  test.each([
    ["is not read behind 128 MB of others", "{}", UNKNOWN],
    ["is read behind any amount of what is none", "no", KNOWN],
  ])("%s", async (_what, begin, expected) => {
    const others = Array.from({ length: 128 }, (_, nth) => ({
      name: `${nth}`,
      content: documentOf(MEGABYTE, begin),
    }));
    expect(await readWith([...others, { name: "c", content: documentOf(2) }])).toMatchObject(expected);
  });
});

describe("what is no archive is told for what it is", () => {
  const compressed = (how: string): RegExp =>
    new RegExp(`^the archive is compressed with ${how}, which is not supported$`, "u");
  const file = (name: string, value: unknown = {}): { name: string; content: Buffer } => ({
    name,
    content: Buffer.from(JSON.stringify(value)),
  });
  test.each<[string, Buffer, string, RegExp]>([
    ["xz", Buffer.from("fd377a585a000004", "hex"), "transfer", compressed("xz")],
    ["bzip2", Buffer.from("425a683931415926", "hex"), "transfer", compressed("bzip2")],
    ["lz4", Buffer.from("04224d186440a700", "hex"), "transfer", compressed("lz4")],
    ["old lz4", Buffer.from("02214c1864000000", "hex"), "transfer", compressed("lz4")],
    [
      "a zstd window of 1 GiB",
      Buffer.from("28b52ffd00a029000068656c6c6f", "hex"),
      "transfer",
      compressed("a zstd window of more than 128 MiB"),
    ],
    [
      "a folder of skopeo's",
      tar([file("manifest.json", { schemaVersion: 2, config: {}, layers: [] }), file("version")]),
      "not-an-image",
      /skopeo copy made for dir:/u,
    ],
    [
      "a root file system",
      tar([{ name: "etc/", directory: true }, file("etc/x"), file("usr/lib/y")]),
      "not-an-image",
      /root file system of a container/u,
    ],
    [
      "a layout below a folder",
      tar(files(OCI, "image/")),
      "not-an-image",
      /in the folder image, and not at its top/u,
    ],
    [
      "a docker archive below a folder",
      tar([file("a/manifest.json", [])]),
      "not-an-image",
      /in the folder a/u,
    ],
    [
      "a tar of something else",
      tar([file("readme.md"), file("license")]),
      "transfer",
      /damaged, or is not a docker or OCI archive/u,
    ],
    ["nothing", Buffer.alloc(0), "transfer", /damaged/u],
    ["noise", Buffer.alloc(5_000, 7), "transfer", /invalid tar header/u],
    ["cut off", OCI.subarray(0, 600), "transfer", /ends in the middle/u],
    [
      "gzip of the wrong sum",
      wrongSum(gzipSync(Buffer.concat([OCI, Buffer.alloc(700, 1)]))),
      "transfer",
      /damaged/u,
    ],
    ["cut off under gzip", gzipSync(OCI).subarray(0, 300), "transfer", /damaged/u],
    [
      "cut off within a large file",
      dockerArchive({ names: [APP], layers: [{ bytes: 2_000_000, seed: "x" }] }).subarray(0, 1_000_000),
      "transfer",
      /ends in the middle/u,
    ],
    [
      "a size that is no number",
      Buffer.concat([sized("810000000000000000000200"), OCI]),
      "transfer",
      /damaged/u,
    ],
    ["lists that are no lists", tar([file("manifest.json", ["x"])]), "transfer", /damaged/u],
    ["no name", packed({}), "reference", /names no image/u],
    [
      "a tag alone",
      packed({ "1.36": ONE }, "org.opencontainers.image.ref.name"),
      "reference",
      /names no image/u,
    ],
    [
      "docker without names",
      tar([file("manifest.json", [{ Config: "c", RepoTags: null, Layers: [] }])]),
      "reference",
      /names no image/u,
    ],
  ])("%s", async (_what, content, failureClass, message) => {
    expect(await read(content)).toMatchObject({
      class: failureClass,
      message: expect.stringMatching(message) as string,
    });
  });

  test("a file that does not exist, by the system's error", async () => {
    const signal = new AbortController().signal;
    await expect(readArchive(path.join(folder.path, "none"), signal)).rejects.toThrow("ENOENT");
  });

  test("and a run that ends meanwhile ends the reading", async () => {
    const reason = new Error("stopped");
    await expect(read(gzipSync(OCI), AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});

/** Of an archive of small files, below a folder. */
function files(archive: Buffer, folderName: string): { name: string; content: Buffer }[] {
  const found: { name: string; content: Buffer }[] = [];
  for (let at = 0; archive[at] !== 0;) {
    const name = archive.toString("utf8", at, archive.indexOf(0, at));
    const size = Number.parseInt(archive.toString("latin1", at + 124, at + 135), 8);
    found.push({ name: `${folderName}${name}`, content: archive.subarray(at + 512, at + 512 + size) });
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return found;
}
