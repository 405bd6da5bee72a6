// The only module that knows p-limit.
import pLimit, { type LimitFunction } from "p-limit";
import { lowered, nextLevel, type Level, type Pace, type Traffic } from "../core/concurrency.ts";
import type { Context } from "./context.ts";

/** Runs at most so many functions at once; the others wait in the order in which they came. */
export type Slots = <Value>(use: () => Promise<Value>) => Promise<Value>;

export const slots = (count: number): Slots => pLimit(count);

/** Slots for pulls. Their number follows what is measured, unless the operator has given it. */
export interface PullSlots {
  readonly take: Slots;
  /** Told at each look. */
  readonly looked: (seen: Traffic & Pick<Pace, "queued">) => void;
  readonly pulled: () => void;
  /**
   * Told of a 429.
   * @param begun when the pull that met it began, by the clock
   * @returns whether fewer pulls at once are the answer to it, so that the registry need not be left alone
   */
  readonly refused: (begun: number) => boolean;
}

export function pullSlots(
  { config, clock, machine, emit }: Pick<Context, "config" | "clock" | "machine" | "emit">,
  start: Level,
): PullSlots {
  const limit = pLimit(start.images);
  if (config.concurrency !== "auto")
    return { take: limit, looked: () => {}, pulled: () => {}, refused: () => false };
  let level = start;
  let images = 0;
  let loweredAt = Number.NEGATIVE_INFINITY;
  const set = (next: Level, why: string): void => {
    if (next.images !== level.images) emit({ type: "concurrency", images: next.images, why });
    level = next;
    limit.concurrency = next.images;
  };
  return {
    take: limit,
    looked: (seen) => {
      const pace = { ...seen, at: clock.now(), images, busy: machine.busy(), full: isFull(limit) };
      const next = nextLevel(level, pace);
      set(next, whyOf(level, next));
    },
    pulled: () => void (images += 1),
    refused: (begun) => {
      // Pulls that began before it was lowered are refused together.
      if (begun < loweredAt) return true;
      const next = lowered(level, clock.now());
      if (next === level) return false;
      loweredAt = clock.now();
      set(next, "a registry answers 429");
      return true;
    },
  };
}

const isFull = ({ activeCount, concurrency, pendingCount }: LimitFunction): boolean =>
  activeCount >= concurrency && pendingCount > 0;

function whyOf(level: Level, next: Level): string {
  if (next.images > level.images) return "to see whether more bring more";
  return level.trial === undefined ? "the CPUs are busy" : "more did not bring more";
}
