import { chmod, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Containerd } from "../rig/containerd.ts";
import type { Command } from "./measure.ts";
import type { StagedImage } from "./stage.ts";

export interface Runtime {
  crictl: string;
  ctr: string;
  socket: string;
  crictlConfig: string;
  /** In the file system that has its images. */
  folder: string;
}

export function runtimeOf({ crictlPath, ctrPath, socket, folder }: Containerd): Runtime {
  return { crictl: crictlPath, ctr: ctrPath, socket, crictlConfig: path.join(folder, "crictl.yaml"), folder };
}

export interface Contender {
  name: string;
  /** Starts with the status.json of an earlier run; only in cases where that matters. */
  remembers?: boolean;
  command(runtime: Runtime, images: readonly StagedImage[], folder: string): Promise<Command>;
}

// What the BOSH agent gives to a hook.
const hookPath = "/usr/sbin:/usr/bin:/sbin:/bin";

function environment(runtime: Runtime): Record<string, string> {
  // The two settings stand for what TKGI's worker has in place of them.
  return { PATH: hookPath, CONTAINERD_ADDRESS: runtime.socket, CRI_CONFIG_FILE: runtime.crictlConfig };
}

/** Whether a contender writes to the disk what it has pulled, as the agent does. */
interface Ending {
  synced: boolean;
}

const named = (name: string, { synced }: Ending): string => (synced ? `${name}, sync -f` : name);
const ending = ({ folder }: Runtime, { synced }: Ending): string[] => (synced ? [`sync -f ${folder}`] : []);

async function script(folder: string, name: string, lines: readonly string[]): Promise<string> {
  const file = path.join(folder, name);
  await writeFile(file, [...lines, ""].join("\n"));
  await chmod(file, 0o755);
  return file;
}

/** What the bash release renders: one image after the other, and the first failure ends it. */
const bash = (end: Ending): Contender => ({
  name: named("bash", end),
  command: async (runtime, images, folder) => {
    const lines = images.flatMap(({ reference, retagAs }) => [
      `echo "Pulling ${reference}"`,
      `${runtime.crictl} --runtime-endpoint unix://${runtime.socket} pull ${reference}`,
      retagAs === undefined
        ? `echo "No other name for ${reference}"`
        : `${runtime.ctr} --namespace=k8s.io image tag ${reference} ${retagAs}`,
    ]);
    const file = await script(folder, "post-start", [
      "#!/bin/bash",
      "set -ex",
      ...lines,
      ...ending(runtime, end),
    ]);
    return { file, args: [], env: environment(runtime) };
  },
});

/** The obvious improvement on it, with nothing but xargs. */
const xargs = (parallel: number, end: Ending): Contender => ({
  name: named(`xargs -P${parallel}`, end),
  command: async (runtime, images, folder) => {
    const list = path.join(folder, "images");
    const pull = `${runtime.crictl} --runtime-endpoint unix://${runtime.socket} pull "$1"`;
    const tag = `[ "$2" = - ] || ${runtime.ctr} --namespace=k8s.io image tag "$1" "$2"`;
    const one = await script(folder, "one", ["#!/bin/sh", "set -e", pull, tag]);
    await writeFile(list, images.map(({ reference, retagAs = "-" }) => `${reference} ${retagAs}\n`).join(""));
    const pulls = `xargs -a ${list} -P ${parallel} -n 2 ${one}`;
    const file = await script(folder, "all", ["#!/bin/sh", "set -e", pulls, ...ending(runtime, end)]);
    return { file, args: [], env: environment(runtime) };
  },
});

function agent(executable: string, remembers: boolean): Contender {
  return {
    name: remembers ? "import-images, sizes known" : "import-images",
    remembers,
    command: (runtime, images, folder) => agentRun(executable, runtime, images, folder),
  };
}

/** @param settings properties beside the images and the runtime */
export async function agentRun(
  executable: string,
  { crictl, ctr, socket }: Runtime,
  images: readonly Pick<StagedImage, "reference" | "retagAs">[],
  folder: string,
  settings: object = {},
): Promise<Command> {
  const config = path.join(folder, "config.json");
  const listed = images.map(({ reference: name, retagAs }) => ({ name, ...(retagAs && { retagAs }) }));
  await writeFile(
    config,
    JSON.stringify({ images: listed, containerd: { crictl, ctr, socket }, ...settings }),
  );
  return {
    file: executable,
    args: ["run", "--config", config],
    env: { PATH: hookPath, IMPORT_IMAGES_LOG_DIR: folder, IMPORT_IMAGES_STATE_DIR: folder },
  };
}

/**
 * @param parallel pulls at once, for an xargs each
 * @param endings of bash and each xargs
 */
export function contenders(
  executable: string,
  parallel: readonly number[],
  endings: readonly Ending[],
): readonly Contender[] {
  const others = endings.flatMap((end) => [bash(end), ...parallel.map((count) => xargs(count, end))]);
  return [...others, agent(executable, false), agent(executable, true)];
}
