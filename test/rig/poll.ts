import { setTimeout as delay } from "node:timers/promises";

/** Waits until a probe gives something; fails after the bound, saying what was waited for and the last error. */
export async function poll<T>(
  what: string,
  probe: () => Promise<T | undefined> | T | undefined,
  { bound = 20_000, every = 20 }: { bound?: number; every?: number } = {},
): Promise<T> {
  const end = performance.now() + bound;
  let failure: unknown;
  while (performance.now() < end) {
    try {
      const value = await probe();
      if (value !== undefined) return value;
    } catch (error) {
      failure = error;
    }
    await delay(every);
  }
  throw new Error(`gave up after ${bound} ms waiting until ${what}`, { cause: failure });
}
