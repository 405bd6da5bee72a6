// A clock on which waiting takes no time: when nothing else goes on, it turns to the moment at which the next sleeper wakes.
import type { Clock } from "../../../src/run/context.ts";

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

export interface FakeClock extends Clock {
  /** Time goes by while nobody waits. */
  readonly pass: (ms: number) => void;
}

export function fakeClock(random = 1): FakeClock {
  let now = 1_000_000;
  let turning = false;
  const sleepers = new Set<Sleeper>();
  const turn = (): void => {
    turning = sleepers.size > 0;
    if (!turning) return;
    const next = [...sleepers].reduce((first, sleeper) => (sleeper.at < first.at ? sleeper : first));
    sleepers.delete(next);
    now = Math.max(now, next.at);
    next.wake();
    setImmediate(turn);
  };
  return {
    now: () => now,
    date: () => new Date(now),
    random: () => random,
    pass: (ms) => void (now += ms),
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      if (ms <= 0) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      const sleeper = { at: now + ms, wake: resolve };
      sleepers.add(sleeper);
      if (!turning) setImmediate(turn);
      turning = true;
      const onAbort = (): void => resolve();
      signal?.addEventListener("abort", onAbort, { once: true });
      await promise;
      sleepers.delete(sleeper);
      signal?.removeEventListener("abort", onAbort);
      signal?.throwIfAborted();
    },
  };
}
