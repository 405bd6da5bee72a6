import { setTimeout as sleep } from "node:timers/promises";

/**
 * Milliseconds after the pulls began at which a question is asked whose answer none of them needs: by then they wait for
 * the network, and a call of a tool takes the CPU from nobody.
 */
export const UNHURRIED = 1_000;

/** Waits `ms` milliseconds. Rejects with the signal's own reason, which says why, not with a bare AbortError. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (ms > 0) await sleep(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
}
