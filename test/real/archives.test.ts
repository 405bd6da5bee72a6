// Images without a registry: archives on the VM, imported by the executable into real containerd.
import {
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ArchiveSpec, dockerArchive, ociArchive } from "../rig/archive.ts";
import { startContainerd } from "../rig/containerd.ts";
import { describeEachLine } from "../rig/suite.ts";
import { agentFor, lastLine } from "./support/agent.ts";
import { namesOn, startNode, type TestNode } from "./support/node.ts";

const docker = dockerArchive({
  names: ["local.example/docker:1"],
  layers: [{ bytes: 30_000, seed: "docker" }],
});
const oci = ociArchive({
  names: ["local.example/oci:1", "local.example/oci:stable"],
  layers: [{ bytes: 30_000, seed: "oci" }],
});

describeEachLine("archives", (line) => {
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

  test("bring up a node from nothing, without a registry, and a second run imports nothing", async () => {
    const agent = agentFor(node.containerd);
    const archives = [
      { path: write("docker.tar", docker) },
      { path: write("oci.tar.gz", gzipSync(oci)) },
      { path: write("again.tar.zst", zstdCompressSync(docker)) },
    ];
    const images = [{ name: "local.example/docker:1", retagAs: ["registry.k8s.io/docker:2", "short:3"] }];

    const first = await agent.run({ archives, images });

    expect(first).toMatchObject({ exitCode: 0, stderr: "" });
    const names = await namesOn(node.containerd);
    const wanted = ["docker:1", "oci:1", "oci:stable"].map((name) => `local.example/${name}`);
    for (const name of [...wanted, "registry.k8s.io/docker:2", "docker.io/library/short:3"]) {
      expect(names.get(name), name).toMatchObject({ pinned: node.pins });
    }
    expect(names.get("registry.k8s.io/docker:2")?.id).toBe(names.get("local.example/docker:1")?.id);

    const second = await agent.run({ archives, images });

    expect(second.exitCode).toBe(0);
    expect(second.stdout).not.toContain("importing");
    expect(second.stdout.match(/unchanged/gu)).toHaveLength(3);
  });

  test("are imported again when the file or what it imported has changed", async () => {
    const agent = agentFor(node.containerd);
    const archives = [{ path: write("changing.tar", docker) }];
    await agent.run({ archives, images: [] });
    utimesSync(archives[0]?.path ?? "", new Date(0), new Date(0));

    expect((await agent.run({ archives, images: [] })).stdout).toContain("importing");

    await node.containerd.crictl("rmi", "local.example/docker:1");
    expect((await agent.run({ archives, images: [] })).stdout).toContain("importing");
    expect((await namesOn(node.containerd)).has("local.example/docker:1")).toBe(true);
  });

  test("that are broken, missing or for another platform are clear errors and stop no other", async () => {
    const agent = agentFor(node.containerd);
    const foreign = dockerArchive({
      names: ["local.example/foreign:1"],
      layers: [{ bytes: 10_000, seed: "foreign" }],
      platform: "linux/s390x",
    });
    const paths = {
      truncated: write("truncated.tar", oci.subarray(0, oci.length / 2)),
      damaged: write("damaged.tar.gz", gzipSync(docker).subarray(0, 300)),
      junk: write("junk.tar", Buffer.alloc(5_000, 7)),
      foreign: write("foreign.tar", foreign),
      missing: path.join(node.containerd.folder, "missing.tar"),
      fine: write("fine.tar", docker),
    };
    const archives = Object.values(paths).map((file) => ({ path: file }));

    const run = await agent.run({ archives, images: [] });

    expect(run.exitCode).toBe(1);
    const failures = new Map(agent.status().images.map((image) => [image.name, image.failure]));
    for (const file of [paths.truncated, paths.damaged, paths.junk]) {
      expect(failures.get(file), file).toMatchObject({ class: "transfer", step: "import" });
      expect(failures.get(file)?.message, file).toContain("the archive is damaged");
    }
    expect(failures.get(paths.foreign)?.message).toBe("the archive holds no image for this node's platform");
    expect(failures.get(paths.missing)).toMatchObject({
      class: "not-found",
      message: "the archive does not exist",
    });
    expect((await namesOn(node.containerd)).has("local.example/docker:1")).toBe(true);
  });

  test("that went missing leave what they brought pinned, and one that is not required fails nothing", async () => {
    const agent = agentFor(node.containerd);
    const archive = { path: write("gone.tar", docker), required: false };
    await agent.run({ archives: [archive], images: [] });
    rmSync(archive.path);
    expect(existsSync(archive.path)).toBe(false);

    const run = await agent.run({ archives: [archive], images: [] });

    expect(run.exitCode).toBe(0);
    expect(run.stdout).toContain("the archive does not exist");
    expect((await namesOn(node.containerd)).get("local.example/docker:1")).toMatchObject({
      pinned: node.pins,
    });
  });

  const failuresOf = ({ status }: ReturnType<typeof agentFor>) =>
    new Map(status().images.map((image) => [image.name, image.failure]));

  test("with an index of several platforms of which they hold only this node's", async () => {
    const agent = agentFor(node.containerd);
    const name = "local.example/several:1";
    const spec = {
      names: [name],
      layers: [{ bytes: 10_000, seed: "several" }],
      absent: ["linux/arm64", "linux/s390x"],
    };
    const ours = write("several.tar", ociArchive(spec));
    const others = write(
      "others.tar",
      ociArchive({ ...spec, names: ["local.example/others:1"], platform: "linux/ppc64le" }),
    );

    const run = await agent.run({ archives: [{ path: ours }, { path: others }], images: [] });

    expect(run.exitCode).toBe(1);
    expect(
      [...failuresOf(agent)]
        .filter(([, failure]) => failure !== undefined)
        .map(([file, failure]) => [file, failure?.class]),
    ).toEqual([[others, "platform"]]);
    await node.containerd.ctr("containers", "create", name, "several");
    await node.containerd.ctr("containers", "rm", "several");
    const again = await agent.run({ archives: [{ path: ours }], images: [] });
    expect(again).toMatchObject({ exitCode: 0, stderr: "" });
    expect(again.stdout).not.toContain("importing");
  });

  test("have their short names completed, and leave no short record", async () => {
    const agent = agentFor(node.containerd);
    const spec = { names: ["busybox:1.36", "team/app"], layers: [{ bytes: 10_000, seed: "short" }] };
    const archives = [{ path: write("short.tar", ociArchive(spec)) }];

    expect(await agent.run({ archives, images: [{ name: "busybox:1.36" }] })).toMatchObject({
      exitCode: 0,
      stderr: "",
    });

    const records = await node.containerd.records();
    const names = ["docker.io/library/busybox:1.36", "docker.io/team/app:latest"];
    for (const name of names) expect(records.has(name), name).toBe(true);
    expect([...records.keys()].filter((name) => /^(?:busybox|team)/u.test(name))).toEqual([]);
    expect((await namesOn(node.containerd)).get(names[0]!)).toMatchObject({ pinned: node.pins });
    expect((await agent.run({ archives, images: [] }, "plan")).stdout).toContain("unchanged");
  });

  test("without any name are an error, and leave no record", async () => {
    const agent = agentFor(node.containerd);
    const layers = [{ bytes: 10_000, seed: "nameless" }];
    const paths = {
      docker: write("nameless-docker.tar", dockerArchive({ names: [], layers })),
      oci: write("nameless-oci.tar", ociArchive({ names: [], layers })),
      tag: write(
        "nameless-tag.tar",
        ociArchive({ names: ["1.36"], layers, annotation: "org.opencontainers.image.ref.name" }),
      ),
    };

    const run = await agent.run({
      archives: Object.values(paths).map((file) => ({ path: file })),
      images: [],
    });

    expect(run.exitCode).toBe(1);
    for (const file of Object.values(paths))
      expect(failuresOf(agent).get(file), file).toMatchObject({
        class: "reference",
        message: "the archive names no image",
        next: "save it with a full name, such as registry.example.com/app:1",
      });
    expect(
      [...(await node.containerd.records()).keys()].filter((name) => name.startsWith("import-2")),
    ).toEqual([]);
  });

  // ctr makes the names before it unpacks. Not mended yet: a pod finds such a name, and cannot start from it.
  test("that cannot be unpacked leave no name behind", async () => {
    const agent = agentFor(node.containerd);
    const name = "local.example/unpackable:1";
    const broken = dockerArchive({ names: [name], layers: [{ bytes: 10_000, seed: "unpackable" }] });
    // Within the layer, which is the last file: behind it are the tar's own end and padding.
    broken[broken.length - 5_000]! ^= 0x15;

    const run = await agent.run({ archives: [{ path: write("unpackable.tar", broken) }], images: [] });

    expect(run.exitCode).toBe(1);
    expect((await node.containerd.records()).has(name)).toBe(false);
  });

  test("that cannot be read fail alone, and only where they are required", async () => {
    const agent = agentFor(node.containerd);
    const fine = write("beside.tar", docker);
    const inFolder = (name: string): string => path.join(node.containerd.folder, name);
    mkdirSync(inFolder("directory.tar"));
    symlinkSync(inFolder("loop.tar"), inFolder("loop.tar"));
    const reasons: Record<string, RegExp> = {
      [inFolder("directory.tar")]: /^the archive is not a regular file$/u,
      [path.join(fine, "below.tar")]: /^the archive does not exist$/u,
      [inFolder("loop.tar")]: /^the archive cannot be read \(ELOOP\)$/u,
      [write("archive.tar.xz", Buffer.from("fd377a585a000004", "hex"))]:
        /compressed with xz, which is not supported/u,
      [write("archive.tar.bz2", Buffer.from("425a683931415926", "hex"))]:
        /compressed with bzip2, which is not supported/u,
      [write("empty.tar", Buffer.alloc(0))]: /./u,
    };
    const archives = [...Object.keys(reasons), fine].map((file) => ({ path: file }));
    await node.containerd.crictl("rmi", "local.example/docker:1").catch(() => {});

    const required = await agent.run({ archives, images: [] });

    expect(required.exitCode).toBe(1);
    for (const [file, reason] of Object.entries(reasons))
      expect(failuresOf(agent).get(file)?.message, file).toMatch(reason);
    expect((await namesOn(node.containerd)).has("local.example/docker:1")).toBe(true);

    const optional = await agent.run({
      archives: archives.map((each) => ({ ...each, required: false })),
      images: [],
    });

    expect(optional.exitCode).toBe(0);
    for (const [file, reason] of Object.entries(reasons))
      expect(failuresOf(agent).get(file)?.message, file).toMatch(reason);
  });

  test("that were replaced by one of the same size and time are imported again", async () => {
    const agent = agentFor(node.containerd);
    const [one, other] = ["one", "two"].map((seed) =>
      dockerArchive({ names: ["local.example/replaced:1"], layers: [{ bytes: 10_000, seed }] }),
    );
    const archives = [{ path: write("replaced.tar", one!) }];
    expect((await agent.run({ archives, images: [] })).exitCode).toBe(0);
    const before = (await namesOn(node.containerd)).get("local.example/replaced:1")?.id;
    const { size, atime, mtime } = statSync(archives[0]!.path);
    const replacement = write("replacement.tar", other!);
    utimesSync(replacement, atime, mtime);
    renameSync(replacement, archives[0]!.path);
    expect(statSync(archives[0]!.path)).toMatchObject({ size, mtime });

    expect((await agent.run({ archives, images: [] }, "plan")).stdout).toContain("the file has changed");
    expect((await agent.run({ archives, images: [] })).stdout).toContain("importing");
    expect((await namesOn(node.containerd)).get("local.example/replaced:1")?.id).not.toBe(before);
  });

  test("count in plan and status as they do in a run", async () => {
    const agent = agentFor(node.containerd);
    const name = "local.example/counted:1";
    const archives = [
      {
        path: write(
          "counted.tar",
          dockerArchive({ names: [name], layers: [{ bytes: 10_000, seed: "counted" }] }),
        ),
      },
    ];
    const properties = { archives, images: [] };
    const plan = async () =>
      JSON.parse((await agent.run(properties, "plan", "--json")).stdout) as {
        archives: { path: string; action: string; names: string[] }[];
        images: { name: string; pull: boolean }[];
        unpin: string[];
      };
    const status = async () => {
      const { exitCode, stdout } = await agent.run(properties, "status", "--json");
      return {
        exitCode,
        ...(JSON.parse(stdout) as { now: { name: string; present: boolean; pinned: boolean }[] }),
      };
    };
    const file = archives[0]!.path;
    expect((await plan()).archives).toMatchObject([{ path: file, action: "import" }]);
    expect((await status()).exitCode).toBe(1);
    expect((await agent.run(properties)).exitCode).toBe(0);

    expect(await plan()).toMatchObject({
      archives: [{ path: file, action: "keep", names: [name] }],
      images: [{ name, pull: false }],
      unpin: [],
    });
    expect(await status()).toMatchObject({ exitCode: 0, now: [{ name, present: true, pinned: node.pins }] });
    rmSync(file);
    expect(await plan()).toMatchObject({
      archives: [{ path: file, action: "fail", names: [name] }],
      unpin: [],
    });
    await node.containerd.crictl("rmi", name);
    expect((await status()).exitCode).toBe(1);
  });

  test("are unpacked by CRI's own snapshotter", async () => {
    await using containerd = await startContainerd(line, { snapshotter: "native" });
    const agent = agentFor(containerd);
    const archives = [
      { path: write("native.tar", docker) },
      { path: write("native-oci.tar.gz", gzipSync(oci)) },
    ];

    expect((await agent.run({ archives, images: [] })).exitCode).toBe(0);

    const snapshots = async (snapshotter: string): Promise<string[]> =>
      (await containerd.ctr("snapshots", "--snapshotter", snapshotter, "ls"))
        .split("\n")
        .filter((row) => row.includes("Committed"));
    expect(await snapshots("native")).toHaveLength(2);
    expect(await snapshots("overlayfs")).toEqual([]);
    expect((await agent.run({ archives, images: [] })).stdout.match(/unchanged/gu)).toHaveLength(2);
  });
});

/** What is in an archive, and what it becomes without a change of the file's length. */
const WORDS = [
  ["amd64", "arm64"],
  ["linux", "plan9"],
  ['"layers"', '"lovers"'],
  ["sha256:", "sha512:"],
  ["diff_ids", "diff_idz"],
  ["config.json", "config.yaml"],
  ["RepoTags", "RepoTogs"],
  ['"Layers":["', '"Layers":[["'],
  ["127.0.0.1:1/", "127.0.0.1:0x"],
  ["mutated:", "MUTATED:"],
  ["manifest.v1", "artefact.v1"],
  ["layer.v1.tar+gzip", "layer.v1.tar+zstd"],
] as const;

/** What may become of a file on its way: bytes changed, blocks lost or repeated, its end cut off. Places are parts of its length. */
const mutation = fc.record({
  kind: fc.noBias(fc.constantFrom("word", "word", "byte", "byte", "cut", "remove", "repeat", "zero")),
  at: fc.noBias(fc.integer({ min: 0, max: 999 })),
  word: fc.noBias(fc.constantFrom(...WORDS)),
});
type Mutation = typeof mutation extends fc.Arbitrary<infer Value> ? Value : never;
const BLOCK = 512;

function mutate(bytes: Buffer, { kind, at, word: [from, to] }: Mutation): Buffer {
  const place = Math.floor((bytes.length * at) / 1000);
  const block = place - (place % BLOCK);
  const [before, rest] = [bytes.subarray(0, block), bytes.subarray(block + BLOCK)];
  const one = bytes.subarray(block, block + BLOCK);
  switch (kind) {
    case "word":
      return Buffer.from(bytes.toString("latin1").replaceAll(from, to), "latin1");
    case "byte":
      return Buffer.from(bytes.map((byte, index) => (index === place ? byte ^ 0x15 : byte)));
    case "cut":
      return bytes.subarray(0, place);
    case "remove":
      return Buffer.concat([before, rest]);
    case "repeat":
      return Buffer.concat([before, one, one, rest]);
    case "zero":
      return Buffer.concat([before, Buffer.alloc(one.length), rest]);
  }
}

/** Archives of each kind, damaged before they are compressed or after, in turn. */
const FORMATS: readonly ((spec: ArchiveSpec, change: (bytes: Buffer) => Buffer) => Buffer)[] = [
  (spec, change) => change(dockerArchive(spec)),
  (spec, change) => change(ociArchive(spec)),
  (spec, change) => gzipSync(change(dockerArchive(spec))),
  (spec, change) => zstdCompressSync(change(ociArchive(spec))),
  (spec, change) => change(gzipSync(dockerArchive(spec))),
  (spec, change) => change(zstdCompressSync(ociArchive(spec))),
];

describeEachLine(
  "mutated archives",
  (line) => {
    test("have as many outcomes, each failure with its reason", async () => {
      await using containerd = await startContainerd(line);
      const agent = agentFor(containerd);
      const pid = containerd.pid();
      const mutations = fc.sample(fc.array(mutation, { minLength: 1, maxLength: 2 }), {
        numRuns: 200,
        seed: 20_261_125,
      });
      const paths = mutations.map((changes, index) => {
        // A host where nobody listens, for what is imported and not whole is pulled.
        const spec = { names: [`127.0.0.1:1/mutated:${index}`], layers: [{ bytes: 2_000, seed: index }] };
        const file = path.join(containerd.folder, `mutated-${index}.tar`);
        writeFileSync(
          file,
          FORMATS[index % FORMATS.length]!(spec, (bytes) => changes.reduce(mutate, bytes)),
        );
        return file;
      });
      const outcomes = { imported: 0, failed: 0 };
      while (paths.length > 0) {
        const archives = paths.splice(0, 50).map((file) => ({ path: file }));
        const run = await agent.run({
          archives,
          images: [],
          retry: { attempts: 1, min_delay: "1ms", max_delay: "1ms" },
        });
        expect([0, 1], run.stderr).toContain(run.exitCode);
        const { images } = agent.status();
        for (const { name, phase, failure } of images) {
          expect(["imported", "failed"], name).toContain(phase);
          if (failure === undefined) continue;
          expect(failure.message, name).toMatch(/\w/u);
          // Whatever ctr makes of it: the archive is to blame, and the reader is told so.
          expect(["transfer", "reference", "platform", "not-an-image"], failure.message).toContain(
            failure.class,
          );
        }
        const failed = new Set(images.filter(({ phase }) => phase === "failed").map(({ name }) => name));
        const ends = agent.log().filter(({ event }) => event === "archive-done");
        const imported = new Set(ends.map(({ image }) => image));
        for (const { path: file } of archives) {
          expect(failed.has(file) !== imported.has(file), file).toBe(true);
          outcomes[imported.has(file) ? "imported" : "failed"] += 1;
        }
        if (run.exitCode === 1) expect(lastLine(run.stderr)).toMatch(/^import-images: .+/u);
      }

      expect(outcomes.imported + outcomes.failed).toBe(200);
      expect(Math.min(outcomes.imported, outcomes.failed)).toBeGreaterThan(10);
      expect(containerd.pid()).toBe(pid);
      await containerd.crictl("version");
    });
  },
  { among: ["1.7"] },
);
