// The agent's own calls of crictl and ctr, on a door that keeps what the tools say instead of judging it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import type { RunCommand } from "../src/runtime/command.ts";
import { containerdRuntime } from "../src/runtime/containerd.ts";
import type { Containerd } from "../test/rig/containerd.ts";

/** A tool did not succeed; the message is all of its stderr. */
class Said extends Error {}

export interface Tools {
  /** What crictl says when this cannot be pulled; undefined when it could be. */
  pull(reference: string, auth?: string, signal?: AbortSignal): Promise<string | undefined>;
  /** What ctr says to the agent's tag. */
  tag(source: string, target: string): Promise<string | undefined>;
  run(file: string, args: readonly string[]): Promise<string | undefined>;
}

const run: RunCommand = async (file, args, { env, signal }) => {
  const child = spawn(file, args, {
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  signal?.addEventListener("abort", () => child.kill("SIGTERM"), { once: true });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  if (child.exitCode === 0) return stdout;
  throw new Said(stderr);
};

export function toolsOf({ crictlPath, ctrPath, socket }: Containerd): Tools {
  const runtime = containerdRuntime(run, {
    containerd: { crictl: crictlPath, ctr: ctrPath, socket, namespace: "k8s.io", readyTimeout: 0 },
    allowCredentialsInArgv: false,
  });
  return {
    pull: (reference, auth, signal = new AbortController().signal) =>
      saidBy(
        runtime.pull(reference, {
          signal,
          timeout: 0,
          ...(auth !== undefined && { credential: { auth, password: "" } }),
        }),
      ),
    tag: (source, target) => saidBy(runtime.tag(source, [target], { local: false })),
    run: (file, args) => saidBy(run(file, args, { timeout: 0 })),
  };
}

async function saidBy(call: Promise<unknown>): Promise<string | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    if (error instanceof Said) return error.message;
    throw error;
  }
}
