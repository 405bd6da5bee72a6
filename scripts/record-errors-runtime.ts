// Faults of containerd itself, of its disk and of the calls: each has a containerd to itself, in this order.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { gzipSync } from "node:zlib";
import type { Site } from "../test/real/faults-catalogue.ts";
import { type Containerd, startContainerd } from "../test/rig/containerd.ts";
import { startFaultProxy } from "../test/rig/fault-proxy.ts";
import { temporaryFolder } from "../test/rig/folder.ts";
import type { LayerSpec } from "../test/rig/layers.ts";
import { type PushedImage, pushImage } from "../test/rig/push.ts";
import { run } from "../test/rig/run.ts";
import { tar } from "../test/rig/tar.ts";
import type { CrictlVersion } from "../test/rig/tools.ts";
import { type Tools, toolsOf } from "./record-errors-tools.ts";

export interface Subject {
  readonly containerd: Containerd;
  readonly crictl: CrictlVersion;
  readonly tools: Tools;
  readonly site: Site;
}

/** Undefined where that line does not fail. */
type Recording = (subject: Subject) => Promise<string | undefined>;

const slowly = async ({ site, containerd }: Subject, id: string): Promise<Slow> => {
  const proxy = site.cleanup.use(await startFaultProxy(site.registry));
  const image = await pushImage(site.registry, `faults/${id}:1`, { layers: [{ bytes: 600_000, seed: id }] });
  await containerd.useHost(proxy.host, { server: `http://${proxy.host}` });
  const { digest } = image.layers[0] ?? { digest: "" };
  proxy.set({ digest, stallAfter: 200_000 });
  return { image, reference: `${proxy.host}/faults/${id}:1`, begun: proxy.served(digest, 200_000) };
};

interface Slow {
  readonly image: PushedImage;
  readonly reference: string;
  readonly begun: Promise<void>;
}

/** In the middle of a pull. */
const during =
  (id: string, act: (subject: Subject, stop: AbortController) => Promise<void> | void): Recording =>
  async (subject) => {
    const slow = await slowly(subject, id);
    const stop = new AbortController();
    const said = subject.tools.pull(slow.reference, undefined, stop.signal);
    await Promise.race([slow.begun, said]);
    await act(subject, stop);
    return said;
  };

/** While containerd is there and does nothing. */
const frozen =
  (act: Recording): Recording =>
  async (subject) => {
    subject.containerd.freeze();
    const said = await act(subject);
    subject.containerd.thaw();
    return said;
  };

/**
 * containerd's own bound, shortened from its 5 minutes. 1.6 has none, and in 2 it ends no pull that the transfer
 * service makes.
 */
async function withoutProgress({ site, crictl, containerd: { line } }: Subject): Promise<string | undefined> {
  if (line !== "1.7") return undefined;
  await using containerd = await startContainerd(line, { crictl });
  const config = path.join(containerd.folder, "config.toml");
  const heading = `[plugins."io.containerd.grpc.v1.cri"]\n`;
  const text = await readFile(config, "utf8");
  await writeFile(config, text.replace(heading, `${heading}image_pull_progress_timeout = "2s"\n`));
  await containerd.restart();
  const tools = toolsOf(containerd);
  return await during("no-progress", () => undefined)({ site, containerd, tools, crictl });
}

/** @param options of the disk that containerd has @param spoil done to it before the pull */
const onDisk =
  (name: string, options: string, layer: LayerSpec, spoil?: (root: string) => Promise<unknown>): Recording =>
  async ({ site, crictl, containerd: { line } }) => {
    using folder = temporaryFolder();
    await run("mount", ["-t", "tmpfs", "-o", options, "tmpfs", folder.path]);
    await using small = await startContainerd(line, { root: folder.path, crictl });
    const { reference } = await pushImage(site.registry, `faults/${name}:1`, { layers: [layer] });
    await small.useHost(site.registry.host, { server: `http://${site.registry.host}` });
    await spoil?.(folder.path);
    const said = await toolsOf(small).pull(reference);
    return said?.replaceAll(folder.path, "/var/lib/containerd");
  };

/** What containerd has open keeps the whole disk from being made so. */
async function makeReadOnly(root: string): Promise<void> {
  const content = path.join(root, "io.containerd.content.v1.content");
  await mkdir(content, { recursive: true });
  await run("mount", ["--bind", content, content]);
  await run("mount", ["-o", "remount,ro,bind", content]);
}

const zeros = gzipSync(tar([{ name: "zeros", content: Buffer.alloc(60_000_000) }]));

/** containerd's own bound for an answer, which older ones do not have. */
async function withoutHeaders({ site, tools, containerd }: Subject): Promise<string | undefined> {
  if (!containerd.line.startsWith("2")) return undefined;
  const proxy = site.cleanup.use(await startFaultProxy(site.registry));
  proxy.set({ hang: true });
  await containerd.useHost(proxy.host, { server: `http://${proxy.host}` });
  return tools.pull(`${proxy.host}/faults/silent:1`);
}

export const runtimeFaults: Readonly<Record<string, Recording>> = {
  // A registry that wants no password is not shown one, so these need the other.
  "bad-auth": ({ tools, site }) =>
    tools.pull(`${site.secured.host}/faults/bad-auth:1`, Buffer.from("useronly").toString("base64")),
  "bad-auth-base64": ({ tools, site }) => tools.pull(`${site.secured.host}/faults/bad-auth:1`, "%%%"),
  "bad-reference": ({ tools }) => tools.pull("registry.example.com/Team/App:1"),
  "crictl-terminated": during("terminated", (_subject, stop) => stop.abort()),
  "pull-without-progress": withoutProgress,
  "disk-full": onDisk("large", "size=48m", { bytes: 60_000_000, seed: "large" }),
  "disk-full-unpacked": onDisk("zeros", "size=48m", { raw: zeros }),
  "disk-without-inodes": onDisk("many", "size=48m,nr_inodes=1k", {
    files: 1200,
    fileBytes: 10,
    seed: "many",
  }),
  "disk-read-only": onDisk("ro", "size=48m", { bytes: 10_000, seed: "ro" }, makeReadOnly),
  "no-response-headers": withoutHeaders,
  "containerd-killed": during("killed", ({ containerd }) => containerd.kill()),
  "containerd-down": ({ tools }) => tools.pull("registry.example.com/team/app:1"),
  "containerd-restarted": async (subject) => {
    await subject.containerd.restart();
    return during("restarted", ({ containerd }) => containerd.restart())(subject);
  },
  "containerd-frozen": frozen(({ tools }) => tools.pull("registry.example.com/team/app:1")),
  "crictl-timeout": frozen(({ tools }) => tools.crictl("--timeout=1s", "version")),
};

/** What ctr says is the same with every crictl. */
export const ctrFaults: Readonly<Record<string, Recording>> = {
  "tag-missing-source": ({ tools }) =>
    tools.ctr(
      "images",
      "tag",
      "--force",
      "registry.example.com/team/app:1",
      "registry.example.com/team/app:2",
    ),
  // Without --force, which the agent always gives; containerd 2 moves the name.
  "tag-existing-target": async ({ tools, site, containerd }) => {
    const image = await pushImage(site.registry, "faults/tagged:1", {
      layers: [{ bytes: 1000, seed: "tagged" }],
    });
    await containerd.crictl("pull", image.reference);
    const tag = (): Promise<string | undefined> =>
      tools.ctr("images", "tag", image.reference, "registry.example.com/team/app:3");
    return (await tag()) ?? tag();
  },
  // What ctr says when it is asked about content that has gone.
  "content-missing": ({ tools }) =>
    tools.ctr("content", "label", `sha256:${"1".repeat(64)}`, "containerd.io/gc.root=x"),
  "containerd-down-ctr": async ({ tools, containerd }) => {
    await containerd.kill();
    const said = await tools.ctr("images", "list", "--quiet");
    await containerd.restart();
    return said;
  },
  "containerd-frozen-ctr": frozen(({ tools }) => tools.ctr("--timeout=1s", "images", "list", "--quiet")),
};
