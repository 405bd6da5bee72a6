// How long to wait before the next attempt.
import type { FailureClass } from "./failure.ts";

/** Times in milliseconds. `attempts` includes the first one. */
export interface RetryPolicy {
  readonly attempts: number;
  readonly min_delay: number;
  readonly max_delay: number;
}

/** Shortest delay after a 429, in milliseconds: one attempt costs the registry 5 or 6 requests. */
const RATE_LIMIT_FLOOR = 5_000;

/**
 * Milliseconds to wait after failure `count` (from 1): exponential from `min_delay` with full jitter, so that a fleet
 * that failed together does not return together.
 * @param random from 0 to 1
 */
export function backOff(policy: RetryPolicy, failure: FailureClass, count: number, random: number): number {
  const ceiling = Math.min(policy.max_delay, policy.min_delay * 2 ** (count - 1));
  const floor = failure === "rate-limit" ? Math.min(RATE_LIMIT_FLOOR, policy.max_delay) : 0;
  return Math.round(Math.max(floor, random * ceiling));
}
