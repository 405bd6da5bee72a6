// crictl and ctr, called as the agent calls them, and all that they print to stderr when they fail.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import type { Containerd } from "../test/rig/containerd.ts";

export interface Tools {
  /** What crictl says when this cannot be pulled; undefined when it could be. */
  pull(reference: string, auth?: string, signal?: AbortSignal): Promise<string | undefined>;
  crictl(...args: string[]): Promise<string | undefined>;
  ctr(...args: string[]): Promise<string | undefined>;
}

async function saidBy(
  file: string,
  args: readonly string[],
  { env, signal }: { env?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<string | undefined> {
  const child = spawn(file, args, {
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  signal?.addEventListener("abort", () => child.kill("SIGTERM"), { once: true });
  const [said] = await Promise.all([text(child.stderr), once(child, "close")]);
  return child.exitCode === 0 ? undefined : said;
}

export function toolsOf({ crictlPath, ctrPath, socket }: Containerd): Tools {
  const endpoint = `unix://${socket}`;
  const forCrictl = ["--config=/dev/null", `--runtime-endpoint=${endpoint}`, `--image-endpoint=${endpoint}`];
  return {
    pull: (reference, auth, signal) =>
      saidBy(crictlPath, [...forCrictl, "--timeout=30s", "pull", reference], {
        ...(auth !== undefined && { env: { CRICTL_AUTH: auth } }),
        ...(signal && { signal }),
      }),
    crictl: (...args) => saidBy(crictlPath, [...forCrictl, ...args]),
    ctr: (...args) => saidBy(ctrPath, [`--address=${socket}`, "--namespace=k8s.io", ...args]),
  };
}
