// What the agent needs of a node's containerd: crictl pulls, ctr tags and imports, and all else goes through the API on
// the same socket. Names are normalised references, as core/reference.ts makes them.
import type { Config } from "../config/config.ts";
import { redactor } from "../core/redact.ts";
import { api } from "./api.ts";
import { commandRunner } from "./command.ts";
import { openConnection } from "./connection.ts";
import { crictl } from "./crictl.ts";
import { ctr } from "./ctr.ts";

/** Milliseconds: a disk of a worker writes all of its memory in that time. */
const SYNC_TIMEOUT = 300_000;

/** Every call throws ApiError or CommandError. Tests have one in memory. */
export type Containerd = ReturnType<typeof realContainerd>;

/** @param signal ends every call and tool that is under way, whatever it was started for */
export function realContainerd(
  { containerd, credentials, allow_credentials_in_argv }: Config,
  signal: AbortSignal,
) {
  const connection = openConnection(containerd, signal);
  const run = commandRunner(redactor(credentials), signal);
  return {
    ...api(connection),
    ...crictl(run, containerd, allow_credentials_in_argv),
    ...ctr(run, containerd),
    /** Writes what its file system has in memory, all of it. From coreutils. */
    sync: async (directory: string): Promise<void> => {
      await run("sync", ["-f", directory], { timeout: SYNC_TIMEOUT });
    },
    [Symbol.dispose]: connection[Symbol.dispose],
  };
}
