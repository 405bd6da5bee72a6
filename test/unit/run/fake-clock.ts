// A clock on which waiting takes no time: when nothing else goes on, it turns to the moment at which the next sleeper wakes.
import type { Clock } from "../../../src/run/clock.ts";

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
  /** Time passes for its sake, and not only when it passes anyway. */
  readonly turns: boolean;
}

export interface FakeClock extends Clock {
  /** Time goes by while nobody waits. */
  readonly pass: (ms: number) => void;
  /** As `after`, but the clock does not turn to it while somebody is busy with files, which takes no time. */
  readonly eventually: Clock["after"];
}

/** @param random what chance gives each time */
export function fakeClock(random: number | (() => number) = 1): FakeClock {
  let now = 1_000_000;
  let turning = false;
  const sleepers = new Set<Sleeper>();
  const turn = (): void => {
    turning = [...sleepers].some(({ turns }) => turns);
    if (!turning) return;
    setImmediate(turn);
    const next = [...sleepers].reduce((first, sleeper) => (sleeper.at < first.at ? sleeper : first));
    sleepers.delete(next);
    now = Math.max(now, next.at);
    next.wake();
  };
  const wait = (ms: number, wake: () => void, turns: boolean): Disposable => {
    const sleeper = { at: now + ms, wake, turns };
    sleepers.add(sleeper);
    if (turns && !turning) setImmediate(turn);
    turning ||= turns;
    return { [Symbol.dispose]: () => void sleepers.delete(sleeper) };
  };
  const after: Clock["after"] = (ms, wake) => wait(ms, wake, true);
  return {
    now: () => now,
    date: () => new Date(now),
    random: typeof random === "number" ? () => random : random,
    pass: (ms) => void (now += ms),
    after,
    eventually: (ms, wake) => wait(ms, wake, false),
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      if (ms <= 0) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      using _sleeper = after(ms, resolve);
      const onAbort = (): void => resolve();
      signal?.addEventListener("abort", onAbort, { once: true });
      await promise;
      signal?.removeEventListener("abort", onAbort);
      signal?.throwIfAborted();
    },
  };
}
