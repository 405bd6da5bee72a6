import { execFileSync } from "node:child_process";
import { appendFileSync, linkSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { expect, test } from "vitest";
import { tarEntries } from "../../../src/containerd/tar-file.ts";
import { tar } from "../../rig/tar.ts";
import { temporaryFolder } from "../folder.ts";
import { sized } from "./packed.ts";

const folder = temporaryFolder();
const LONG = `${"a-long-name-".repeat(7)}/${"and-another-".repeat(7)}`;

/** What GNU tar makes of a folder with a file of each kind. */
function archive(...options: readonly string[]): Buffer {
  const at = folder.make();
  mkdirSync(path.join(at, path.dirname(LONG)));
  writeFileSync(path.join(at, LONG), Buffer.alloc(700, 1));
  writeFileSync(path.join(at, "empty"), "");
  writeFileSync(path.join(at, "holes"), "x");
  truncateSync(path.join(at, "holes"), 3_000_000);
  linkSync(path.join(at, "empty"), path.join(at, "hard"));
  symlinkSync("empty", path.join(at, "soft"));
  const names = [path.dirname(LONG), "empty", "hard", "soft", "holes"];
  const last = path.join(at, "last");
  writeFileSync(last, Buffer.alloc(512, 2));
  return execFileSync("tar", ["-C", at, "-c", ...options, ...names, "last"], { maxBuffer: 2 ** 24 });
}

interface Read {
  path: string;
  size?: number;
}

/** Lengths of regular files alone. */
async function readFile(file: string): Promise<Read[]> {
  const entries: Read[] = [];
  for await (const { path: name, size, isFile } of tarEntries(file))
    entries.push(isFile ? { path: name, size } : { path: name });
  return entries;
}
const read = (bytes: Buffer): Promise<Read[]> => readFile(folder.write("archive", bytes));

const expected = (holes: Read): Read[] => [
  { path: `${path.dirname(LONG)}/` },
  { path: LONG, size: 700 },
  { path: "empty", size: 0 },
  { path: "hard" },
  { path: "soft" },
  holes,
  { path: "last", size: 512 },
];

test.each(["--format=gnu", "--format=pax", "--format=ustar"])(
  "the files of a tar are told with their lengths, compressed or not: %s",
  async (format) => {
    const bytes = archive(format);
    for (const packed of [bytes, gzipSync(bytes), zstdCompressSync(bytes)])
      expect(await read(packed)).toEqual(expected({ path: "holes", size: 3_000_000 }));
  },
);

test.each([
  ["--format=gnu"],
  ["--format=pax", "--sparse-version=0.1"],
  ["--format=pax", "--sparse-version=1.0"],
])("a sparse file has no length of which the tar tells: %s %s", async (...format) => {
  const entries = await read(archive("--sparse", ...format));
  expect(entries.filter(({ size }) => size !== undefined)).toEqual(
    expected({ path: "holes" }).filter(({ size }) => size !== undefined),
  );
});

test("a tar in the format of old is read", async () => {
  const at = folder.make();
  writeFileSync(path.join(at, "old"), "x");
  expect(await read(execFileSync("tar", ["-C", at, "-c", "--format=v7", "old"]))).toEqual([
    { path: "old", size: 1 },
  ]);
});

test("a tar need not have a mark of its end, also behind a large file", async () => {
  const entries = tar([{ name: "large", content: Buffer.alloc(2 ** 20) }]);
  expect(await read(entries.subarray(0, -1_024))).toEqual([{ path: "large", size: 2 ** 20 }]);
});

test("a large file is passed over", async () => {
  const [bytes, written] = [2 ** 40, "800000000000010000000000"];
  const file = folder.write("large", sized(written));
  truncateSync(file, 512 + bytes);
  appendFileSync(file, tar([{ name: "small" }]));
  expect(await readFile(file)).toEqual([
    { path: "index.json", size: bytes },
    { path: "small", size: 0 },
  ]);
});

test("what is cut off, or no tar, is refused", async () => {
  const bytes = archive("--format=gnu");
  await expect(read(bytes.subarray(0, 400))).rejects.toThrow("end of data");
  const content = tar([
    { name: "a", content: Buffer.alloc(0) },
    { name: "b", content: Buffer.alloc(900, 1) },
  ]);
  for (const length of [1_100, 1_900, 2_047])
    await expect(read(content.subarray(0, length))).rejects.toThrow("end of data");
  await expect(read(Buffer.from("no archive ".repeat(100)))).rejects.toThrow("Invalid tar");
});
