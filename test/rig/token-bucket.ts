import { setTimeout as delay } from "node:timers/promises";

/** A rate that one transfer has, or several share. */
export interface TokenBucket {
  /** How many bytes to hand out at once: about a twentieth of a second's worth, so that pauses are few. */
  readonly slice: number;
  take(bytes: number): Promise<void>;
}

const catchUp = 100;

export function tokenBucket(bytesPerSecond: number): TokenBucket {
  let paidUntil = 0;
  return {
    slice: Math.min(65_536, Math.max(256, Math.ceil(bytesPerSecond / 20))),
    take: async (bytes) => {
      // Time is what is handed out: each slice moves the moment until which the rate is used up. Timers fire late:
      // a little of the time that went unused may be caught up with.
      const now = performance.now();
      paidUntil = Math.max(paidUntil, now - catchUp) + (bytes / bytesPerSecond) * 1000;
      if (paidUntil - now > 1) await delay(paidUntil - now);
    },
  };
}

/** None where there is no limit. */
export function bucketsFor(bytesPerSecond: number | undefined): TokenBucket[] {
  return bytesPerSecond === undefined ? [] : [tokenBucket(bytesPerSecond)];
}
