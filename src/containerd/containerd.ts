// The agent's interface to containerd: crictl pulls, ctr tags, unpacks and imports, and the API on the same socket does
// all else. Names are normalized references (core/reference.ts).
import type { Config } from "../config/config.ts";
import { redactor } from "../core/redact.ts";
import { api } from "./api.ts";
import { commandRunner } from "./command.ts";
import { openConnection } from "./connection.ts";
import { crictl } from "./crictl.ts";
import { ctr } from "./ctr.ts";

/** Milliseconds. A worker's disk can write all of its memory in that time. */
const SYNC_TIMEOUT = 300_000;

/** Calls throw ApiError, CommandError or Failed, or the system's error for an archive. Tests use one in memory. */
export type Containerd = ReturnType<typeof realContainerd>;

/** @param signal ends every call and tool */
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
    /** Writes the directory's whole file system from memory to the disk. `sync` is from coreutils. */
    sync: async (directory: string): Promise<void> => {
      await run("sync", ["-f", directory], { timeout: SYNC_TIMEOUT });
    },
    [Symbol.dispose]: connection[Symbol.dispose],
  };
}
