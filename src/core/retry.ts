// Retry decisions. The mechanism (p-retry, slots, clocks) lives in run/.
import { actionOf, type FailureClass } from "./failure.ts";

/** Times in milliseconds. `attempts` counts the first one. */
export interface RetryPolicy {
  readonly attempts: number;
  readonly min_delay: number;
  readonly max_delay: number;
}

/** What is known of an image when an attempt of it failed. Times in milliseconds. */
export interface Situation {
  /** The one that failed, from 1. */
  readonly attempt: number;
  /** Whether it was the last that the image may have. */
  readonly last: boolean;
  /** Until its registry may be asked again. */
  readonly registryWait: number;
  /** Until the image's own timeout. */
  readonly timeLeft: number;
  /** From 0 to 1. */
  readonly random: number;
}

export type NextAttempt =
  | { readonly kind: "stop" }
  | { readonly kind: "after-runtime" }
  /** `delay` milliseconds, without a slot; 0 where what broke can go on at once. */
  | { readonly kind: "later"; readonly delay: number };

export function nextAttempt(failure: FailureClass, policy: RetryPolicy, situation: Situation): NextAttempt {
  const action = actionOf({ class: failure });
  if (situation.last || action === "stop" || action === "stop-run") return { kind: "stop" };
  if (action === "wait-for-runtime") return { kind: "after-runtime" };
  const { attempt, random, registryWait, timeLeft } = situation;
  const needsNoOwnWait = action === "registry-back-off" || (action === "at-once" && attempt === 1);
  const ownWait = needsNoOwnWait ? 0 : backOff(policy, failure, attempt, random);
  const delay = Math.max(ownWait, registryWait);
  return delay < timeLeft ? { kind: "later", delay } : { kind: "stop" };
}

/** A registry that answers 429 is left alone at least this long (ms): one attempt costs it 5 or 6 requests. */
const RATE_LIMIT_FLOOR = 5_000;

/**
 * Milliseconds to wait after failure `count` (from 1): exponential from the shortest delay with full jitter, so that a
 * fleet which failed together does not return together.
 * @param random from 0 to 1
 */
export function backOff(policy: RetryPolicy, failure: FailureClass, count: number, random: number): number {
  const ceiling = Math.min(policy.max_delay, policy.min_delay * 2 ** (count - 1));
  const floor = failure === "rate-limit" ? Math.min(RATE_LIMIT_FLOOR, policy.max_delay) : 0;
  return Math.round(Math.max(floor, random * ceiling));
}
