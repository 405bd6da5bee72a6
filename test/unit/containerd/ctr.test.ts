import { gzipSync, zstdCompressSync } from "node:zlib";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import type { CommandOptions } from "../../../src/containerd/command.ts";
import { ctr as tagsAndImports } from "../../../src/containerd/ctr.ts";
import { temporaryFolder } from "../folder.ts";

const GLOBAL = ["--address=/c.sock", "--namespace=k8s.io"];

/** A ctr that answers everything with one text. */
function ctr(answer = "") {
  const calls: { readonly args: readonly string[]; readonly options: CommandOptions }[] = [];
  const run = async (tool: string, args: readonly string[], options: CommandOptions): Promise<string> => {
    expect(tool).toBe("/x/ctr");
    calls.push({ args, options });
    return answer;
  };
  const client = tagsAndImports(run, { ctr: "/x/ctr", socket: "/c.sock" });
  return { calls, client };
}

test("a tag gives all names in one call, and moves those that exist", async () => {
  const { client, calls } = ctr();
  await client.tag("a.b/c:1", ["x.y/z:1", "x.y/z:2"]);
  const args = [...GLOBAL, "--timeout=30s", "images", "tag", "--force", "a.b/c:1", "x.y/z:1", "x.y/z:2"];
  // ctr is written in Go, and so takes less CPU.
  const options = { timeout: 30_000, env: { GOMAXPROCS: "1", GOGC: "400" } };
  expect(calls).toEqual([{ args, options }]);
});

test("a tag gives thousands of names in several calls, each of which has its own time", async () => {
  const { client, calls } = ctr();
  const names = Array.from({ length: 1_200 }, (_, nth) => `x.y/z:${nth}`);
  await client.tag("a.b/c:1", names);
  const given = calls.map(({ args }) => args.slice(args.indexOf("a.b/c:1") + 1));
  expect(given.map(({ length }) => length)).toEqual([200, 200, 200, 200, 200, 200]);
  expect(given.flat()).toEqual(names);
});

test("an image is unpacked with the snapshotter that CRI uses, by its target's digest", async () => {
  const { client, calls } = ctr();
  await client.unpack("sha256:1", "zfs", { timeout: 5 });
  const args = [...GLOBAL, "snapshots", "unpack", "--snapshotter=zfs", "sha256:1"];
  expect(calls).toEqual([{ args, options: { timeout: 5 } }]);
});

describe("an archive", () => {
  const folder = temporaryFolder();
  const options = {
    signal: new AbortController().signal,
    timeout: 99,
    local: false,
    platform: "linux/amd64",
    snapshotter: "zfs",
  };
  const FLAGS = ["--platform=linux/amd64", "--snapshotter=zfs"];
  const SAID = [
    "unpacking docker.io/library/a:1 (sha256:00)...done",
    "unpacking b.c/d:2 (sha256:11)...done",
    "done unpacking e.f/g:3 (sha256:22)",
  ].join("\n");
  const archive = (name: string, content: Uint8Array): string => {
    const file = path.join(folder.path, name);
    writeFileSync(file, content);
    return file;
  };

  test("is imported by its path, and tells the names that it brought", async () => {
    const { client, calls } = ctr(SAID);
    const file = archive("plain.tar", Buffer.from("a tar"));
    expect(await client.importArchive(file, options)).toEqual([
      ["docker.io/library/a:1", "sha256:00"],
      ["b.c/d:2", "sha256:11"],
    ]);
    expect(calls[0]?.args).toEqual([...GLOBAL, "images", "import", ...FLAGS, file]);
    expect(calls[0]?.options).toMatchObject({ timeout: 99 });
    expect(calls[0]?.options).not.toHaveProperty("input");
    // It reads the archive, and may need the CPUs.
    expect(calls[0]?.options).not.toHaveProperty("env");
  });

  test("is imported without the transfer service where that is asked for", async () => {
    const { client, calls } = ctr(SAID);
    const file = archive("plain.tar", Buffer.from("a tar"));
    await client.importArchive(file, { ...options, local: true });
    expect(calls[0]?.args).toEqual([...GLOBAL, "images", "import", ...FLAGS, "--local", file]);
  });

  test.each([
    ["gzip", gzipSync("a tar")],
    ["zstd", zstdCompressSync("a tar")],
  ])("that is compressed with %s is unpacked on the way", async (name, content) => {
    const { client, calls } = ctr(SAID);
    await client.importArchive(archive(`${name}.tar`, content), options);
    expect(calls[0]?.args.at(-1)).toBe("-");
    const input = calls[0]?.options.input;
    expect(input === undefined ? "nothing was fed" : await text(input)).toBe("a tar");
  });

  test("that brings nothing names nothing", async () => {
    expect(await ctr("").client.importArchive(archive("none.tar", Buffer.from("a tar")), options)).toEqual(
      [],
    );
  });
});
