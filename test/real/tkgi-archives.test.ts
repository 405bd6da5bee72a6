// TKGI brings its own images as archives in a folder, and loads them without a pin. Ours imports them at the same time.
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { dockerArchive } from "../rig/archive.ts";
import type { Containerd } from "../rig/containerd.ts";
import { describeEachLine, describeReal } from "../rig/suite.ts";
import { agentFor, type Properties } from "./support/agent.ts";
import { kubeletLine, kubeletTools, startKubeletNode } from "./support/kubelet-node.ts";
import { namesOn, startNode } from "./support/node.ts";

const names = Array.from({ length: 12 }, (_, index) => `registry.k8s.io/core-${index}:v1`);

/** As in `/var/vcap/packages/kubernetes/container-images`: one image a file, some of which share their first layer. */
function writeFolder(parent: string): string {
  const folder = path.join(parent, "container-images");
  mkdirSync(folder);
  for (const [index, name] of names.entries()) {
    const layers = [
      { bytes: 500_000, seed: `base-${index % 3}` },
      { bytes: 200_000, seed: name },
    ];
    const file = `core-${index}.v1.${index % 2 === 0 ? "tgz" : "tar.gz"}`;
    writeFileSync(path.join(folder, file), gzipSync(dockerArchive({ names: [name], layers })));
  }
  return folder;
}

/** What TKGI's job load-images does: unpacks each archive beside itself, then imports one after the other. */
const loadImages = (folder: string, { ctrPath, socket }: Containerd): Promise<unknown> =>
  promisify(execFile)("bash", [
    "-ec",
    `cd "$1"
    gunzip --keep --force *.tgz *.tar.gz
    for image in *.tar; do "$2" --address "$3" --namespace k8s.io images import "$image"; done`,
    "load-images",
    folder,
    ctrPath,
    socket,
  ]);

const patterns = (folder: string): Properties => ({
  archives: [{ path: `${folder}/*.tgz` }, { path: `${folder}/*.tar.gz` }],
  images: [],
});

describe("TKGI's own images, imported beside TKGI's loader", () => {
  describeEachLine("on one node", (line) => {
    test("are all there once, pinned, and the next run imports nothing", async () => {
      await using node = await startNode(line);
      const folder = writeFolder(node.containerd.folder);
      const agent = agentFor(node.containerd);

      const [run] = await Promise.all([agent.run(patterns(folder)), loadImages(folder, node.containerd)]);

      expect(run.exitCode, run.stderr).toBe(0);
      const here = await namesOn(node.containerd);
      for (const name of names) expect(here.get(name), name).toMatchObject({ pinned: node.pins });
      expect(await node.containerd.images()).toHaveLength(names.length);
      expect(existsSync(path.join(folder, "core-0.v1.tar"))).toBe(true);

      const second = await agent.run(patterns(folder));
      expect(second.exitCode, second.stderr).toBe(0);
      expect(second.stdout).not.toContain("importing");
    });
  });

  describeReal(
    "under a kubelet",
    kubeletLine,
    () => {
      test("are all there after a collection, which takes those that the loader alone brought", async () => {
        await using node = await startKubeletNode();
        await node.import([]);
        const folder = writeFolder(node.containerd.folder);
        await loadImages(folder, node.containerd);
        const kubelet = await node.startKubelet();
        await kubelet.collectImages();
        const left = await namesOn(node.containerd);
        expect(names.filter((name) => left.has(name))).toEqual([]);

        const properties = { ...patterns(folder), ...node.list([]) };
        const [run] = await Promise.all([node.agent.run(properties), loadImages(folder, node.containerd)]);
        expect(run.exitCode, run.stderr).toBe(0);
        await kubelet.collectImages();
        const kept = await namesOn(node.containerd);
        expect(names.filter((name) => kept.has(name))).toEqual(names);
      });
    },
    kubeletTools,
  );
});
