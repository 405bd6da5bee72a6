// What every step of a run depends on.
import type { Config } from "../config/config.ts";
import type { Containerd } from "../containerd/containerd.ts";
import type { Platform } from "../core/node.ts";
import type { Emit } from "../core/events.ts";
import type { Clock } from "./clock.ts";
import type { Stopper } from "./stopper.ts";

/** Usage of the file system of a directory. Blocks have `bsize` bytes; `device` identifies the file system. */
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
  /** Rejects if the directory cannot be read. */
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
