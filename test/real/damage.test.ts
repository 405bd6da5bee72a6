// What is damaged on the disk while containerd's database shows it whole: noticed, told, and mended.
import { readdirSync, rmSync, statSync, truncateSync } from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Containerd, startContainerd } from "../rig/containerd.ts";
import { startFaultProxy, type FaultProxy } from "../rig/fault-proxy.ts";
import { temporaryFolder } from "../rig/folder.ts";
import { lossyDisk, type LossyDisk } from "../rig/power.ts";
import { pushImage, type PushedImage } from "../rig/push.ts";
import { type Registry, startRegistry } from "../rig/registry.ts";
import { describeEachLine } from "../rig/suite.ts";
import { type Agent, agentFor } from "./support/agent.ts";
import { runInBoot } from "./support/boot.ts";
import { imageOf } from "./support/status.ts";

const [FILES, BYTES] = [60, 20_000];
const blobFile = (root: string, digest: string): string =>
  path.join(root, "io.containerd.content.v1.content/blobs", ...digest.split(":"));
const snapshotsIn = (root: string): string =>
  path.join(root, "io.containerd.snapshotter.v1.overlayfs/snapshots");
/** Of all that is unpacked. */
const filesIn = (root: string): string[] =>
  readdirSync(snapshotsIn(root), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
const whole = (root: string): number => filesIn(root).filter((file) => statSync(file).size === BYTES).length;

interface Site extends AsyncDisposable {
  readonly registry: Registry;
  readonly proxy: FaultProxy;
  readonly containerd: Containerd;
  readonly agent: Agent;
}

async function openSite(line: Parameters<typeof startContainerd>[0], root?: string): Promise<Site> {
  await using cleanup = new AsyncDisposableStack();
  const registry = cleanup.use(await startRegistry());
  const proxy = cleanup.use(await startFaultProxy(registry));
  const containerd = cleanup.use(await startContainerd(line, root === undefined ? {} : { root }));
  const moved = cleanup.move();
  return {
    registry,
    proxy,
    containerd,
    agent: agentFor(containerd),
    [Symbol.asyncDispose]: () => moved.disposeAsync(),
  };
}

const push = (registry: Registry, name: string): Promise<PushedImage> =>
  pushImage(registry, `disk/${name}:1`, {
    layers: [1, 2].map((nth) => ({ files: FILES, fileBytes: BYTES, seed: `${name}-${nth}` })),
  });

describeEachLine("damage that the database does not show", (line) => {
  let site: Site;
  let image: PushedImage;
  let name: string;

  beforeEach(async () => {
    site = await openSite(line);
    image = await push(site.registry, "app");
    name = `${site.proxy.host}/${image.repository}:1`;
  });
  afterEach(() => site[Symbol.asyncDispose]());

  /** Done while containerd is away. */
  const damage = async (act: (root: string) => void): Promise<void> => {
    await site.containerd.kill();
    act(site.containerd.root);
    await site.containerd.restart();
  };
  const cut = (digest: string) => (root: string) => truncateSync(blobFile(root, digest));
  const cutFiles = (root: string): void => filesIn(root).forEach((file) => truncateSync(file));

  describe.each([
    ["pinned", true],
    ["not pinned", false],
  ])("of an image that is %s", (_what, pin) => {
    const images = () => [{ name, pin, retagAs: "registry.example.com/app:1" }];
    /** By a run, or by somebody else, so that nothing is known of the disk. */
    const bring = async (by: "a run" | "somebody else"): Promise<void> => {
      expect((await site.agent.run({ images: images() })).exitCode).toBe(0);
      if (by === "somebody else") rmSync(path.join(site.agent.stateDirectory, "disk.json"));
    };

    test.each([
      [
        "the directories are gone",
        "a run" as const,
        (root: string) => rmSync(snapshotsIn(root), { recursive: true }),
        "2 of 2 layers' directories are gone",
      ],
      ["every file is empty", "somebody else" as const, cutFiles, "2 of 2 layers' files are empty"],
    ])("is told and mended without the registry: %s", async (_case, by, act, problem) => {
      await bring(by);
      await damage(act);
      await site.proxy.down();
      const status = await runInBoot(site.agent, "two", { images: images() }, "status");
      const plan = await runInBoot(site.agent, "two", { images: images() }, "plan");
      const run = await runInBoot(site.agent, "two", { images: images() });
      const again = await runInBoot(site.agent, "two", { images: images() }, "status");

      expect([status.exitCode, status.stdout]).toEqual([1, expect.stringContaining(problem)]);
      expect(plan.stdout).toContain(`unpack ${name}: damaged: ${problem}`);
      expect(run.exitCode).toBe(0);
      expect(imageOf(site.agent.status(), name).phase).toBe("present");
      expect(site.agent.status().warnings).toContainEqual(expect.stringContaining(problem));
      expect(whole(site.containerd.root)).toBeGreaterThanOrEqual(2 * FILES);
      expect(again.exitCode).toBe(0);
      await site.containerd.ctr("containers", "create", "registry.example.com/app:1", "one", "/bin/sh");
    });

    test.each([
      ["config", () => image.configDigest],
      ["manifest", () => image.digest],
    ])("is told and pulled again: the %s is cut", async (what, digest) => {
      await bring("a run");
      await damage(cut(digest()));
      const status = await runInBoot(site.agent, "two", { images: images() }, "status");
      const run = await runInBoot(site.agent, "two", { images: images() });

      expect([status.exitCode, status.stdout]).toEqual([
        1,
        expect.stringMatching(new RegExp(`its ${what} has 0 of [\\d,]+ bytes`, "u")),
      ]);
      expect(run.exitCode, run.stderr).toBe(0);
      expect(imageOf(site.agent.status(), name).phase).toBe("pulled");
      expect(statSync(blobFile(site.containerd.root, digest())).size).toBeGreaterThan(0);
      await site.containerd.ctr("containers", "create", "registry.example.com/app:1", "one", "/bin/sh");
    });

    test("is none where a layer is cut that is unpacked", async () => {
      await bring("a run");
      await damage(cut(image.layers[0]!.digest));
      expect((await runInBoot(site.agent, "two", { images: images() }, "status")).exitCode).toBe(0);
      expect((await runInBoot(site.agent, "two", { images: images() })).exitCode).toBe(0);
      expect(imageOf(site.agent.status(), name).phase).toBe("present");
    });

    test("is pulled where a layer is cut and its files are too", async () => {
      await bring("somebody else");
      await damage((root) => {
        cut(image.layers[0]!.digest)(root);
        cutFiles(root);
      });
      const run = await runInBoot(site.agent, "two", { images: images() });
      expect([run.exitCode, imageOf(site.agent.status(), name).phase]).toEqual([0, "pulled"]);
      expect(whole(site.containerd.root)).toBeGreaterThanOrEqual(2 * FILES);
    });
  });

  test("is found by status --deep in what a run wrote, and mended by the next run", async () => {
    const images = [{ name }];
    expect((await site.agent.run({ images })).exitCode).toBe(0);
    expect((await site.agent.run({ images }, "status", "--deep")).exitCode).toBe(0);
    await damage(cutFiles);
    expect((await site.agent.run({ images }, "status")).exitCode).toBe(0);
    expect((await site.agent.run({ images }, "status", "--deep")).exitCode).toBe(1);
    expect((await site.agent.run({ images })).exitCode).toBe(0);
    expect((await site.agent.run({ images }, "status", "--deep")).exitCode).toBe(0);
  });

  test("is mended where an unpacking ended early on top, and was collected since", async () => {
    await site.containerd.crictl("pull", name);
    const listed = (await site.containerd.ctr("snapshots", "ls")).match(/sha256:[0-9a-f]{64}/gu) ?? [];
    for (const [nth, chainId] of [...new Set(listed)].entries()) {
      await site.containerd.ctr("snapshots", "prepare", `extract-${nth} x`, chainId);
      await site.containerd.ctr("snapshots", "label", `extract-${nth} x`, "containerd.io/gc.root=");
    }
    await site.containerd.ctr("leases", "create", "--id", "any");
    await site.containerd.ctr("leases", "rm", "--sync", "any");
    expect(await site.containerd.ctr("snapshots", "ls")).not.toContain("extract-");
    await damage(cutFiles);

    const run = await runInBoot(site.agent, "two", { images: [{ name }] });

    expect([run.exitCode, imageOf(site.agent.status(), name).phase], run.stderr).toEqual([0, "present"]);
    expect(whole(site.containerd.root)).toBe(2 * FILES);
  });

  test("of what a container has fails that image alone, and says what to do; what shares a layer is mended once", async () => {
    const other = await push(site.registry, "other");
    const names = [name, `${site.proxy.host}/${other.repository}:1`];
    const images = names.map((each) => ({ name: each }));
    expect((await site.agent.run({ images })).exitCode).toBe(0);
    await site.containerd.ctr("containers", "create", name, "one", "/bin/sh");
    rmSync(path.join(site.agent.stateDirectory, "disk.json"));
    await damage(cutFiles);
    const run = await runInBoot(site.agent, "two", { images });

    expect(run.exitCode).toBe(1);
    expect(imageOf(site.agent.status(), name)).toMatchObject({
      phase: "failed",
      failure: { class: "damaged" },
    });
    expect(imageOf(site.agent.status(), names[1]!).phase).toBe("present");
  });

  test("leaves nothing of the looking on the node", async () => {
    const images = [{ name }];
    expect((await site.agent.run({ images })).exitCode).toBe(0);
    const before = await site.containerd.ctr("snapshots", "ls");
    expect((await runInBoot(site.agent, "two", { images }, "status")).exitCode).toBe(0);
    expect(await site.containerd.ctr("snapshots", "ls")).toBe(before);
  });
});

describeEachLine("a power loss", (line) => {
  let cleanup: AsyncDisposableStack;
  let disk: LossyDisk;
  let site: Site;
  let images: { readonly name: string }[];
  let pushed: PushedImage[];

  beforeEach(async () => {
    cleanup = new AsyncDisposableStack();
    disk = await lossyDisk(cleanup.use(temporaryFolder()).path);
    site = cleanup.use(await openSite(line, path.join(disk.root, "containerd")));
    pushed = await Promise.all(["one", "two", "three"].map((name) => push(site.registry, name)));
    images = pushed.map(({ repository }) => ({ name: `${site.proxy.host}/${repository}:1` }));
  });
  afterEach(() => cleanup.disposeAsync());

  const lose = async (): Promise<void> => {
    await site.containerd.kill();
    await disk.lose();
    await site.containerd.restart();
  };

  test("right after a run takes nothing", async () => {
    expect((await site.agent.run({ images })).exitCode).toBe(0);
    await disk.copy();
    await lose();

    expect(whole(site.containerd.root)).toBe(6 * FILES);
    const asked = (await site.registry.requests()).length;
    const run = await runInBoot(site.agent, "two", { images });
    expect([run.exitCode, whole(site.containerd.root)]).toEqual([0, 6 * FILES]);
    expect((await site.registry.requests()).slice(asked)).toEqual([]);
  });

  test("in the middle of a run is mended by the next", async () => {
    site.proxy.set({ digest: pushed[2]!.layers[1]!.digest, stallAfter: 1_000 });
    const running = site.agent.start({ images, log_level: "debug" });
    for (const { name } of images.slice(0, 2))
      await site.agent.logged("placed", ({ event, image }) => event === "placed" && image === name);
    await disk.copy();
    running.kill("SIGKILL");
    await running.ended;
    site.proxy.set();
    await lose();

    expect(whole(site.containerd.root)).toBeLessThan(4 * FILES);
    const run = await runInBoot(site.agent, "two", { images });
    expect([run.exitCode, whole(site.containerd.root)], run.stdout + run.stderr).toEqual([0, 6 * FILES]);
  });

  test("after somebody else's pull is mended as well", async () => {
    for (const { name } of images) await site.containerd.crictl("pull", name);
    await disk.copy();
    await lose();

    expect(whole(site.containerd.root)).toBeLessThan(6 * FILES);
    const status = await runInBoot(site.agent, "two", { images }, "status");
    const run = await runInBoot(site.agent, "two", { images });
    expect([status.exitCode, status.stdout]).toEqual([1, expect.stringContaining("files are empty")]);
    expect([run.exitCode, whole(site.containerd.root)]).toEqual([0, 6 * FILES]);
  });
});
