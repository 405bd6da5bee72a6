// What every step of a run has at hand.
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config/config.ts";
import type { Containerd } from "../containerd/containerd.ts";
import type { Platform } from "../core/node.ts";
import type { Emit } from "../core/events.ts";
import type { Stopper } from "./stopper.ts";

export interface Clock {
  /** Whole milliseconds of a monotonic clock: nobody can set it. */
  readonly now: () => number;
  readonly date: () => Date;
  /** Rejects with the signal's own reason, which says why, not with a bare AbortError. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Acts once, after so many milliseconds, unless it is disposed before. */
  readonly after: (ms: number, act: () => void) => Disposable;
  /** From 0 to 1. */
  readonly random: () => number;
}

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

export const realClock: Clock = {
  now: () => Math.round(performance.now()),
  date: () => new Date(),
  sleep: async (ms, signal) => {
    signal?.throwIfAborted();
    if (ms <= 0) return;
    await sleep(ms, undefined, signal && { signal }).catch(() => signal?.throwIfAborted());
  },
  after: (ms, act) => {
    const timer = setTimeout(act, ms);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
  random: Math.random,
};
