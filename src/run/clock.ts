// The only source of time and randomness in a run.
import { setTimeout as sleep } from "node:timers/promises";

export interface Clock {
  /** Whole milliseconds of a monotonic clock: changes to the system time do not affect it. */
  readonly now: () => number;
  readonly date: () => Date;
  /** Rejects with the signal's own reason, which says why, instead of a bare AbortError. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Calls `act` once after `ms` milliseconds, unless disposed before. */
  readonly after: (ms: number, act: () => void) => Disposable;
  /** From 0 to 1. */
  readonly random: () => number;
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
