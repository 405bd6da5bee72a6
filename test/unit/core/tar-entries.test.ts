import { execFileSync } from "node:child_process";
import { linkSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { tarEntries, type TarEntry } from "../../../src/core/tar-entries.ts";
import { temporaryFolder } from "../folder.ts";

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

async function* inChunks(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(bytes: Buffer, size: number): Promise<TarEntry[]> {
  const entries: TarEntry[] = [];
  for await (const entry of tarEntries(inChunks(bytes, size))) entries.push(entry);
  return entries;
}

const expected = (holes: TarEntry): TarEntry[] => [
  { path: `${path.dirname(LONG)}/` },
  { path: LONG, size: 700 },
  { path: "empty", size: 0 },
  { path: "hard" },
  { path: "soft" },
  holes,
  { path: "last", size: 512 },
];

test.each(["--format=gnu", "--format=pax", "--format=ustar"])(
  "the files of a tar are told with their lengths, in chunks of any size: %s",
  async (format) => {
    const bytes = archive(format);
    for (const size of [100, 512, 5_000, bytes.length])
      expect(await read(bytes, size)).toEqual(expected({ path: "holes", size: 3_000_000 }));
  },
);

test.each([
  ["--format=gnu"],
  ["--format=pax", "--sparse-version=0.1"],
  ["--format=pax", "--sparse-version=1.0"],
])("a sparse file has no length of which the tar tells: %s %s", async (...format) => {
  const entries = await read(archive("--sparse", ...format), 1_000);
  expect(entries.filter(({ size }) => size !== undefined)).toEqual(
    expected({ path: "holes" }).filter(({ size }) => size !== undefined),
  );
});

test("what is cut off, or no tar, is refused", async () => {
  const bytes = archive("--format=gnu");
  await expect(read(bytes.subarray(0, 20_000), 1_000)).rejects.toThrow("cut off");
  await expect(read(Buffer.from("no archive ".repeat(100)), 1_000)).rejects.toThrow("no tar");
});
