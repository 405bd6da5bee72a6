// Images without a registry: archives on the VM, imported by the executable into real containerd.
import { existsSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import path from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { dockerArchive, ociArchive } from "../rig/archive.ts";
import { describeEachLine } from "../rig/suite.ts";
import { agentFor } from "./support/agent.ts";
import { namesOn, startNode, type TestNode } from "./support/node.ts";

const docker = dockerArchive({
  names: ["local.example/docker:1"],
  layers: [{ bytes: 30_000, seed: "docker" }],
});
const oci = ociArchive({
  names: ["local.example/oci:1", "local.example/oci:stable"],
  layers: [{ bytes: 30_000, seed: "oci" }],
});

describeEachLine(
  "archives",
  (line) => {
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

    test("are imported again when the file or what it brought has changed", async () => {
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
      expect(failures.get(paths.foreign)?.message).toBe(
        "the archive holds no image for this node's platform",
      );
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
  },
  { among: ["1.6.20", "2"] },
);
