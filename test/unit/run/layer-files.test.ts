import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { compareFiles } from "../../../src/run/layer-files.ts";
import { tar, type TarEntry } from "../../rig/tar.ts";
import { temporaryFolder } from "../folder.ts";

const folder = temporaryFolder();
const content = Buffer.alloc(1_000, 1);
const ENTRIES: readonly TarEntry[] = [
  { name: "a/", directory: true },
  { name: "a/one", content },
  { name: "./two", content: content.subarray(0, 1) },
  { name: "empty" },
];

let count = 0;
const layer = (entries: readonly TarEntry[], pack = (bytes: Buffer): Buffer => bytes): string =>
  folder.write(`layer-${(count += 1)}`, pack(tar(entries)));
/** As containerd unpacks it: what deletes is none of its files. */
function unpacked(entries: readonly TarEntry[]): string {
  const at = folder.make();
  execFileSync("tar", ["-C", at, "-x", "--exclude=.wh.*", "-f", layer(entries)]);
  return at;
}

describe("the files of a layer", () => {
  test.each([
    ["plain", (bytes: Buffer) => bytes],
    ["gzip", (bytes: Buffer) => gzipSync(bytes)],
    ["zstd", (bytes: Buffer) => zstdCompressSync(bytes)],
  ])("are whole where each has its length: %s", async (_what, pack) => {
    expect(await compareFiles(layer(ENTRIES, pack), [unpacked(ENTRIES)])).toBe("whole");
  });

  test.each([
    ["empty", (at: string) => truncateSync(path.join(at, "a/one"))],
    ["cut", (at: string) => truncateSync(path.join(at, "a/one"), 5)],
    ["missing", (at: string) => rmSync(path.join(at, "two"))],
    ["missing", (at: string) => rmSync(path.join(at, "a"), { recursive: true })],
  ])("are told to be %s", async (state, damage) => {
    const at = unpacked(ENTRIES);
    damage(at);
    expect(await compareFiles(layer(ENTRIES), [at])).toBe(state);
  });

  test("are not looked at where the layer itself cannot be read", async () => {
    const at = unpacked(ENTRIES);
    expect(await compareFiles(path.join(folder.path, "none"), [at])).toBe("unknown");
    expect(await compareFiles(folder.write("cut", gzipSync(tar(ENTRIES)).subarray(0, 60)), [at])).toBe(
      "unknown",
    );
    expect(await compareFiles(folder.write("no", "no archive ".repeat(90)), [at])).toBe("unknown");
  });

  test("are those of the last entry of a name, and none is what deletes, or was replaced", async () => {
    const entries = [
      { name: "twice", content },
      { name: "twice", content: content.subarray(0, 7) },
      { name: ".wh.gone", content: Buffer.alloc(0) },
      { name: "was-a-file", content },
      { name: "was-a-file", linkTo: "twice" },
      { name: "was-longer", content },
      { name: "was-longer", type: "1", linkTo: "twice" },
    ];
    expect(await compareFiles(layer(entries), [unpacked(entries)])).toBe("whole");
  });

  test("are found through links of directories, in this layer and below", async () => {
    const below = folder.make();
    mkdirSync(path.join(below, "usr/lib"), { recursive: true });
    symlinkSync("usr/lib", path.join(below, "lib"));
    symlinkSync("/lib", path.join(below, "abs"));
    const own = folder.make();
    mkdirSync(path.join(own, "usr/lib"), { recursive: true });
    writeFileSync(path.join(own, "usr/lib/x"), content);
    const entries = [
      { name: "lib/x", content },
      { name: "abs/x", content },
    ];
    expect(await compareFiles(layer(entries), [own, below])).toBe("whole");
    symlinkSync("loop", path.join(own, "loop"));
    expect(await compareFiles(layer([{ name: "loop/x", content }]), [own, below])).toBe("missing");
  });

  test.each([
    [40, "whole"],
    [41, "missing"],
  ])("are found behind as many links as Linux follows: behind %d they are %s", async (links, state) => {
    const [own, below] = [folder.make(), folder.make()];
    for (let nth = 1; nth <= links; nth += 1) symlinkSync(`link-${nth - 1}`, path.join(below, `link-${nth}`));
    mkdirSync(path.join(own, "link-0"));
    writeFileSync(path.join(own, "link-0/x"), content);
    expect(await compareFiles(layer([{ name: `link-${links}/x`, content }]), [own, below])).toBe(state);
  });

  test("are not what a link below of the same name points to", async () => {
    const [own, below] = [folder.make(), folder.make()];
    writeFileSync(path.join(own, "y"), content);
    symlinkSync("y", path.join(below, "x"));
    expect(await compareFiles(layer([{ name: "x", content }]), [own, below])).toBe("missing");
  });
});
