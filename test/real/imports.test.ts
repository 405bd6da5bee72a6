// An import is a transaction: what fails, is killed or is damaged leaves each name with what it led to before.
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { configDigest, dockerArchive, ociArchive } from "../rig/archive.ts";
import { poll } from "../rig/poll.ts";
import { describeEachLine } from "../rig/suite.ts";
import { tar } from "../rig/tar.ts";
import { agentFor } from "./support/agent.ts";
import { heldOn, namesOn, pushTo, startNode, type TestNode } from "./support/node.ts";

const NAMES = ["one", "two", "three"].map((name) => `local.example/${name}:1`);
const [APP = ""] = NAMES;
/** A byte within the last layer, behind which are only the tar's own end and padding. */
const damaged = (archive: Buffer): Buffer => {
  archive[archive.length - 5_000]! ^= 0x15;
  return archive;
};
const layersOf = (seed: string, bytes = 10_000) => [{ bytes, seed }];

describeEachLine("imports", (line) => {
  let node: TestNode;

  beforeAll(async () => {
    node = await startNode(line);
  });
  afterAll(async () => node[Symbol.asyncDispose]());

  const write = (name: string, content: Buffer): string => {
    const file = path.join(node.containerd.folder, name);
    writeFileSync(file, content);
    return file;
  };
  const digests = async (names: readonly string[] = NAMES): Promise<(string | undefined)[]> => {
    const records = await node.containerd.records();
    return names.map((name) => records.get(name)?.digest);
  };
  const ofOne = (seed: string): Buffer => dockerArchive({ names: [APP], layers: layersOf(seed) });

  test("of a damaged archive leave the name, its pin and its image as they were, and ask no registry", async () => {
    const agent = agentFor(node.containerd);
    const file = write("replaced.tar", ofOne("v1"));
    const archives = [{ path: file, required: false }];
    expect((await agent.run({ archives, images: [] })).exitCode).toBe(0);
    const before = await digests([APP]);
    write("replaced.tar", damaged(ofOne("v2")));

    const alone = await agent.run({ archives, images: [] });
    const other = await pushTo(node.registry, "imports/other:1");
    const images = [{ name: other.reference }, { name: APP, pullPolicy: "IfNotPresent" }];
    const beside = await agent.run({ archives, images });

    expect([alone.exitCode, beside.exitCode]).toEqual([0, 0]);
    expect(alone.stdout).toContain(`FAILED ${file} in import (transfer)`);
    expect(await digests([APP])).toEqual(before);
    expect((await namesOn(node.containerd)).get(APP)).toMatchObject({ pinned: node.pins });
    expect(agent.log().filter(({ event, image }) => event === "attempt-started" && image === APP)).toEqual(
      [],
    );
    expect(agent.log().filter(({ event }) => event === "unpinned")).toEqual([]);
    await node.containerd.ctr("containers", "create", APP, "after");
    await node.containerd.ctr("containers", "rm", "after");
  });

  test("beyond image_timeout are begun once, and end as that", async () => {
    const agent = agentFor(node.containerd);
    const file = write("slow.tar", ofOne("slow"));
    const [ctr, count] = [
      path.join(node.containerd.folder, "ctr-slow"),
      path.join(node.containerd.folder, "count"),
    ];
    const real = node.containerd.ctrPath;
    writeFileSync(
      ctr,
      `#!/bin/sh\ncase "$*" in *import*) echo x >> ${count}; exec sleep 60;; esac\nexec ${real} "$@"\n`,
    );
    chmodSync(ctr, 0o755);
    const run = await agent.run({
      archives: [{ path: file }],
      images: [],
      image_timeout: "2s",
      stall_timeout: "1s",
      containerd: { ctr },
    });

    expect([run.exitCode, readFileSync(count, "utf8")]).toEqual([1, "x\n"]);
    expect(run.stderr).toContain("not imported in time (image_timeout)");
  });

  test("of each file that a pattern matches, as they are at each run; no match is told", async () => {
    const agent = agentFor(node.containerd);
    const folder = path.join(node.containerd.folder, "pattern");
    mkdirSync(path.join(folder, "folder.tgz"), { recursive: true });
    const names = ["b", "a"].map((name) => `local.example/pattern-${name}:1`);
    for (const [nth, name] of names.entries())
      write(`pattern/${nth}.tgz`, gzipSync(dockerArchive({ names: [name], layers: layersOf(name) })));
    write("pattern/2.tar", ofOne("not matched"));
    const archives = [{ path: `${folder}/*.tgz` }, { path: `${folder}/*.tar.gz` }];

    const run = await agent.run({ archives, images: [] });

    expect(run.exitCode).toBe(0);
    expect(agent.status().images.map(({ name }) => name)).toEqual(names);
    expect(agent.status().warnings).toEqual([`archives: no file matches the pattern: ${folder}/*.tar.gz`]);
    expect((await agent.run({ archives, images: [] }, "plan")).stdout.match(/unchanged/gu)).toHaveLength(2);
    const must = await agent.run({ archives: [{ path: `${folder}/*.x`, required: true }], images: [] });
    expect([must.exitCode, must.stderr]).toEqual([1, expect.stringContaining("no file matches the pattern")]);
  });

  test("of zstd in several frames, also behind one to skip", async () => {
    const agent = agentFor(node.containerd);
    const archive = ociArchive({ names: ["local.example/frames:1"], layers: layersOf("frames", 200_000) });
    const frames = [archive.subarray(0, 100_000), archive.subarray(100_000)].map((part) =>
      zstdCompressSync(part),
    );
    const skip = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);
    const file = write("frames.tar.zst", Buffer.concat([skip, ...frames]));

    expect(await agent.run({ archives: [{ path: file }], images: [] })).toMatchObject({
      exitCode: 0,
      stderr: "",
    });
    expect((await digests(["local.example/frames:1"]))[0]).toBeDefined();
  });

  test("of what is no archive say what it is, and store nothing of it", async () => {
    const agent = agentFor(node.containerd);
    const blobs = async (): Promise<string[]> =>
      (await node.containerd.ctr("content", "ls", "-q")).split("\n");
    const files: Record<string, [Buffer, RegExp]> = {
      "root.tar": [
        tar([
          { name: "etc/", directory: true },
          { name: "usr/bin/x", content: Buffer.from("x") },
        ]),
        /root file system/u,
      ],
      "dir.tar": [
        tar([{ name: "manifest.json", content: Buffer.from('{"schemaVersion":2,"config":{}}') }]),
        /skopeo copy made for dir:/u,
      ],
      "x.tar.lz4": [Buffer.from("04224d186440a700", "hex"), /compressed with lz4/u],
      "x.tar.xz": [Buffer.from("fd377a585a000004", "hex"), /compressed with xz/u],
      "x.tar.bz2": [Buffer.from("425a683931415926", "hex"), /compressed with bzip2/u],
      "window.tar.zst": [Buffer.from("28b52ffd00a029000068656c6c6f", "hex"), /window of more than 128 MiB/u],
    };
    const archives = Object.entries(files).map(([name, [content]]) => ({ path: write(name, content) }));
    const before = await blobs();

    expect((await agent.run({ archives, images: [] })).exitCode).toBe(1);
    const messages = new Map(
      agent.status().images.map(({ name, failure }) => [path.basename(name), failure?.message]),
    );
    for (const [name, [, message]] of Object.entries(files))
      expect(messages.get(name), name).toMatch(message);
    // What earlier tests left may be collected meanwhile.
    expect((await blobs()).filter((digest) => !before.includes(digest))).toEqual([]);
  });
});

/** So few that the test is over in half of its time on a busy machine. */
const KILLED = Number(process.env["IMPORT_IMAGES_KILLS"] ?? 8);

describeEachLine(
  "imports that are killed",
  (line) => {
    test(
      "at any moment leave all names with one generation of images, which works",
      async () => {
        await using node = await startNode(line);
        const { containerd } = node;
        const agent = agentFor(containerd);
        const file = path.join(containerd.folder, "killed.tar");
        const properties = { archives: [{ path: file }], images: [] };
        const layers = (name: string, generation: number) => layersOf(`${name} ${generation}`, 300_000);
        const content = (generation: number): Buffer =>
          dockerArchive(...NAMES.map((name) => ({ names: [name], layers: layers(name, generation) })));
        const configs = (generation: number): string[] =>
          NAMES.map((name) => configDigest("linux/amd64", layers(name, generation)));
        const configOn = async (digest: string | undefined): Promise<string> => {
          const text = await containerd.ctr("content", "get", digest ?? "");
          return (JSON.parse(text) as { config: { digest: string } }).config.digest;
        };
        const configsOn = async (): Promise<string[]> => {
          const records = await containerd.records();
          return Promise.all(NAMES.map((name) => configOn(records.get(name)?.digest)));
        };
        const work = async (): Promise<void> => {
          for (const name of NAMES) {
            await containerd.ctr("containers", "create", name, "probe");
            await containerd.ctr("containers", "rm", "probe");
          }
        };
        const isBegun = (): true | undefined =>
          readFileSync(path.join(agent.stateDirectory, "archives.json"), "utf8").includes('"begun"') ||
          undefined;
        writeFileSync(file, content(0));
        let last = await agent.run(properties);
        expect(last.exitCode).toBe(0);
        let before = await configsOn();
        let mended = 0;

        for (let round = 1; round <= KILLED; round += 1) {
          const place = `round ${round}`;
          const logged = agent.log().length;
          writeFileSync(file, content(round));
          const running = agent.start(properties);
          if (round === 1) await poll("an import that is begun", isBegun, { bound: 30_000 });
          else await sleep((last.seconds * 1_000 * ((round * 3) % KILLED)) / KILLED);
          running.kill("SIGKILL");
          await running.ended;
          const isDone = agent
            .log()
            .slice(logged)
            .some(({ event }) => event === "archive-done");
          const isDamaged = round % 2 === 0;
          if (isDamaged) writeFileSync(file, damaged(content(round + 1_000)));

          const next = await agent.run(properties);

          const after = await configsOn();
          expect(next.exitCode, place).toBe(isDamaged ? 1 : 0);
          expect(isDamaged && !isDone ? [before, configs(round)] : [configs(round)], place).toContainEqual(
            after,
          );
          if (next.stdout.includes("the last run ended while it imported")) mended += 1;
          await work();
          before = after;
          if (!isDamaged) last = next;
        }
        expect(mended).toBeGreaterThan(0);
        expect(await heldOn(containerd)).toEqual([]);
      },
      Math.max(120_000, KILLED * 10_000),
    );
  },
  { among: ["1.7", "2"] },
);
