import { setTimeout as sleep } from "node:timers/promises";

/** Waits `ms` milliseconds. Rejects with the signal's own reason, which says why, not with a bare AbortError. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (ms > 0) await sleep(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
}
