// What every step of a run has at hand.
import type { Config } from "../config/config.ts";
import type { Containerd } from "../containerd/containerd.ts";
import type { Platform } from "../core/node.ts";
import type { Emit } from "../core/events.ts";
import type { Clock } from "./clock.ts";
import type { Stopper } from "./stopper.ts";

/** How full the file system of a directory is. Blocks have `bsize` bytes; `device` tells one file system from another. */
export interface DiskUsage {
  readonly device: number;
  readonly bsize: number;
  readonly blocks: number;
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
}

export interface Machine {
  readonly platform: Platform;
  /** Rejects for a directory that cannot be seen. */
  readonly usage: (directory: string) => Promise<DiskUsage>;
}

export interface Context {
  readonly config: Config;
  readonly containerd: Containerd;
  readonly machine: Machine;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly stop: Stopper;
}
