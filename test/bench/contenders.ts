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
}

export function runtimeOf({ crictlPath, ctrPath, socket, folder }: Containerd): Runtime {
  return { crictl: crictlPath, ctr: ctrPath, socket, crictlConfig: path.join(folder, "crictl.yaml") };
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

/** What the bash release renders: one image after the other, and the first failure ends it. */
const bash: Contender = {
  name: "bash",
  command: async (runtime, images, folder) => {
    const script = path.join(folder, "post-start");
    const lines = images.flatMap(({ reference, retagAs }) => [
      `echo "Pulling ${reference}"`,
      `${runtime.crictl} --runtime-endpoint unix://${runtime.socket} pull ${reference}`,
      retagAs === undefined
        ? `echo "No other name for ${reference}"`
        : `${runtime.ctr} --namespace=k8s.io image tag ${reference} ${retagAs}`,
    ]);
    await writeFile(script, ["#!/bin/bash", "set -ex", ...lines, ""].join("\n"));
    await chmod(script, 0o755);
    return { file: script, args: [], env: environment(runtime) };
  },
};

/** The obvious improvement on it, with nothing but xargs. */
function xargs(parallel: number): Contender {
  return {
    name: `xargs -P${parallel}`,
    command: async (runtime, images, folder) => {
      const one = path.join(folder, "one");
      const list = path.join(folder, "images");
      const pull = `${runtime.crictl} --runtime-endpoint unix://${runtime.socket} pull "$1"`;
      const tag = `[ "$2" = - ] || ${runtime.ctr} --namespace=k8s.io image tag "$1" "$2"`;
      await writeFile(one, ["#!/bin/sh", "set -e", pull, tag, ""].join("\n"));
      await chmod(one, 0o755);
      await writeFile(
        list,
        images.map(({ reference, retagAs = "-" }) => `${reference} ${retagAs}\n`).join(""),
      );
      const args = ["-a", list, "-P", String(parallel), "-n", "2", one];
      return { file: "/usr/bin/xargs", args, env: environment(runtime) };
    },
  };
}

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

/** @param parallel pulls at once, for an xargs each */
export function contenders(executable: string, parallel: readonly number[]): readonly Contender[] {
  return [bash, ...parallel.map(xargs), agent(executable, false), agent(executable, true)];
}
