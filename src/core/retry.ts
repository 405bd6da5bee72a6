// Retry decisions. The mechanism (p-retry, slots, clocks) lives in run/; here is only what to do next.
import { actionOf, type FailureClass } from "./failure.ts";

/** Times in milliseconds. `attempts` counts the first one. */
export interface RetryPolicy {
  readonly attempts: number;
  readonly minDelay: number;
  readonly maxDelay: number;
}

/** What is known of an image when an attempt of it failed. Times in milliseconds. */
export interface Situation {
  /** Whether this was the last attempt that it may have. */
  readonly last: boolean;
  /** Whether this round already went on from a partial layer; a second time in a row the link is too bad for it. */
  readonly resumed: boolean;
  /** From 1. */
  readonly round: number;
  /** Until its registry may be asked again. */
  readonly registryWait: number;
  /** Until the image's own timeout. */
  readonly timeLeft: number;
  /** From 0 to 1. */
  readonly random: number;
}

export type NextAttempt =
  | { readonly kind: "stop" }
  /** In the same slot: containerd has the partial layer for about 50 ms more. */
  | { readonly kind: "at-once" }
  | { readonly kind: "after-runtime" }
  | { readonly kind: "later"; readonly delay: number };

export function nextAttempt(failure: FailureClass, policy: RetryPolicy, situation: Situation): NextAttempt {
  const action = actionOf(failure);
  if (situation.last || action === "stop" || action === "stop-run") return { kind: "stop" };
  if (action === "wait-for-runtime") return { kind: "after-runtime" };
  if (action === "at-once" && !situation.resumed) return { kind: "at-once" };
  const ownWait =
    action === "registry-back-off" ? 0 : backOff(policy, failure, situation.round, situation.random);
  const delay = Math.max(ownWait, situation.registryWait);
  return delay < situation.timeLeft ? { kind: "later", delay } : { kind: "stop" };
}

/** A registry that answers 429 is left alone at least this long (ms): one attempt costs it 5 or 6 requests. */
const RATE_LIMIT_FLOOR = 5_000;

/**
 * Milliseconds to wait after round `round` (from 1): exponential with full jitter, so that a fleet which failed
 * together does not return together.
 * @param random from 0 to 1
 */
export function backOff(policy: RetryPolicy, failure: FailureClass, round: number, random: number): number {
  const ceiling = Math.min(policy.maxDelay, policy.minDelay * 2 ** round);
  const floor = failure === "rate-limit" ? Math.min(RATE_LIMIT_FLOOR, policy.maxDelay) : 0;
  return Math.round(Math.max(floor, random * ceiling));
}
