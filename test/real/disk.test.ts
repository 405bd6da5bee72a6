// A disk that fills, as containerd's root: 64 MB of memory.
import { mkdirSync, statfsSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { dockerArchive } from "../rig/archive.ts";
import { type Containerd, startContainerd } from "../rig/containerd.ts";
import { temporaryFolder } from "../rig/folder.ts";
import { startFaultProxy } from "../rig/fault-proxy.ts";
import { poll } from "../rig/poll.ts";
import { pushImage } from "../rig/push.ts";
import { type Registry, startRegistry } from "../rig/registry.ts";
import { run } from "../rig/run.ts";
import { describeEachLine } from "../rig/suite.ts";
import { type Agent, agentFor } from "./support/agent.ts";
import { heldOn } from "./support/node.ts";
import { imageOf } from "./support/status.ts";

const MB = 1_000_000;

describeEachLine("a small disk", (line) => {
  let cleanup: AsyncDisposableStack;
  let registry: Registry;
  let containerd: Containerd;
  let agent: Agent;
  let root: string;

  beforeEach(async () => {
    cleanup = new AsyncDisposableStack();
    const folder = cleanup.use(temporaryFolder());
    root = path.join(folder.path, "disk");
    mkdirSync(root);
    await run("mount", ["-t", "tmpfs", "-o", "size=64m", "tmpfs", root]);
    registry = cleanup.use(await startRegistry());
    containerd = cleanup.use(await startContainerd(line, { root }));
    agent = agentFor(containerd);
  });
  afterEach(() => cleanup.disposeAsync());

  const push = async (name: string, ...sizes: number[]): Promise<string> => {
    const layers = sizes.map((bytes, at) => ({ bytes, seed: `${name}-${at}` }));
    return (await pushImage(registry, `disk/${name}:1`, { layers })).reference;
  };
  /** A containerd on a disk of its own, of which a part may be another one. */
  const diskFor = async ({ size, inodes, place }: { size?: string; inodes?: number; place?: string }) => {
    const stack = new AsyncDisposableStack();
    const own = path.join(stack.use(temporaryFolder()).path, "disk");
    mkdirSync(own);
    const bounds = `size=64m${inodes === undefined ? "" : `,nr_inodes=${inodes}`}`;
    await run("mount", ["-t", "tmpfs", "-o", bounds, "tmpfs", own]);
    if (place !== undefined) {
      mkdirSync(path.join(own, place));
      await run("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path.join(own, place)]);
    }
    const started = stack.use(await startContainerd(line, { root: own }));
    return { containerd: started, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  };
  /** Fills the disk but for so many bytes. */
  const leave = (bytes: number): void => {
    const { bavail, bsize } = statfsSync(root);
    writeFileSync(path.join(root, "filler"), Buffer.alloc(bavail * bsize - bytes));
  };

  test("is warned of where the kubelet begins to delete images", async () => {
    leave(8 * MB);
    const ended = await agent.run({ images: [{ name: await push("warned", 10_000) }] });

    expect(ended.exitCode).toBe(0);
    expect(agent.status().warnings).toContainEqual(expect.stringContaining("above 85% in use"));
  });

  test("is not filled further than the operator allows", async () => {
    leave(24 * MB);
    const name = await push("refused", 10_000);
    const ended = await agent.run({ images: [{ name }], disk: { min_free_percent: 50 } });

    expect(ended.exitCode).toBe(1);
    expect(imageOf(agent.status(), name)).toMatchObject({
      phase: "failed",
      attempts: 0,
      failure: { class: "disk" },
    });
    expect(ended.stderr).toContain("disk.min_free_percent is 50");
  });

  test("stops the run when it is full, and keeps what was finished", async () => {
    const [small, large, never] = [
      await push("small", 10_000),
      await push("large", MB, 70 * MB),
      await push("never", 10_000),
    ];
    const images = [small, large, never].map((name) => ({ name }));
    const ended = await agent.run({ images, concurrency: 1 });

    expect(ended.exitCode).toBe(1);
    expect(imageOf(agent.status(), small).phase).toBe("pulled");
    expect(imageOf(agent.status(), large)).toMatchObject({
      phase: "failed",
      attempts: 1,
      failure: { class: "disk" },
    });
    expect(imageOf(agent.status(), large).failure?.message).toMatch(/no space left.*free on/u);
    expect(imageOf(agent.status(), never)).toMatchObject({
      phase: "failed",
      attempts: 0,
      failure: { class: "disk" },
    });
    expect((await containerd.images()).flatMap(({ repoTags }) => repoTags)).toEqual([small]);
    expect(await heldOn(containerd)).toEqual([]);
  });

  test("is named, where the other of the two has room", async () => {
    await using large = await diskFor({ size: "512m", place: "io.containerd.snapshotter.v1.overlayfs" });
    const name = await push("content", MB, 70 * MB);
    const ended = await agentFor(large.containerd).run({ images: [{ name }] });

    expect(ended.stderr).toMatch(/no space left.*\((?:.*; )?[\d.]+[kM]?B of 67\.1MB .* free on \S*content/u);
  });

  test("is named, where it is the one for what is unpacked", async () => {
    await using small = await diskFor({ size: "16m", place: "io.containerd.snapshotter.v1.overlayfs" });
    const name = await push("unpacked", 30 * MB);
    const ended = await agentFor(small.containerd).run({ images: [{ name }] });

    expect(ended.stderr).toMatch(
      /no space left.*\((?:.*; )?[\d.]+[kM]?B of 16\.8MB .* free on \S*overlayfs/u,
    );
  });

  test("is said to be out of inodes where it is", async () => {
    await using small = await diskFor({ inodes: 2_000 });
    const layers = [{ files: 3_000, fileBytes: 10, seed: "inodes" }];
    const { reference } = await pushImage(registry, "disk/inodes:1", { layers });
    const ended = await agentFor(small.containerd).run({ images: [{ name: reference }] });

    expect(ended.stderr).toMatch(/no space left.*\((?:.*; )?\d+ of 2000 inodes free on /u);
  });

  test("stops the run also where an archive fills it, which keeps its names", async () => {
    const archive = (seed: string, bytes: number): string => {
      const file = path.join(containerd.folder, "large.tar");
      writeFileSync(file, dockerArchive({ names: ["local.example/large:1"], layers: [{ bytes, seed }] }));
      return file;
    };
    const images = [{ name: await push("never", 10_000) }];
    const archives = [{ path: archive("small", 10_000) }];
    expect((await agent.run({ archives, images: [] })).exitCode).toBe(0);
    const before = (await containerd.records()).get("local.example/large:1")?.digest;
    archive("large", 90 * MB);
    leave(40 * MB);
    const refused = await agent.run({ archives, images, disk: { min_free_percent: 80 } });

    expect(refused.stdout).toContain("disk.min_free_percent is 80: not imported");

    const ended = await agent.run({ archives, images });

    expect(ended.exitCode).toBe(1);
    expect(imageOf(agent.status(), archives[0]!.path)).toMatchObject({
      phase: "failed",
      failure: { class: "disk", message: expect.stringMatching(/no space left.*free on/u) },
    });
    expect(imageOf(agent.status(), images[0]!.name)).toMatchObject({
      phase: "failed",
      attempts: 0,
      failure: { class: "disk" },
    });
    expect((await containerd.records()).get("local.example/large:1")?.digest).toBe(before);
    expect(await heldOn(containerd)).toEqual([]);
    writeFileSync(path.join(root, "room"), Buffer.alloc(30 * MB));
  });

  test("says what the image needs and what there is", async () => {
    const layers = [{ bytes: 40 * MB, seed: "needs" }];
    const { repository } = await pushImage(registry, "disk/needs:1", { layers });
    await using proxy = await startFaultProxy(registry);
    await containerd.useHost(proxy.host, { server: `http://${proxy.host}` });
    proxy.set({ path: /blobs/, bytesPerSecond: 4 * MB });
    const name = `${proxy.host}/${repository}:1`;
    const running = agent.start({ images: [{ name }] });
    await poll("the manifest is seen", () => imageOf(agent.status(), name).progress?.total);
    leave(4 * MB);
    await running.ended;

    expect(imageOf(agent.status(), name).failure?.message).toMatch(
      /the image is 40\.0MB compressed.* free on /u,
    );
  });
});
