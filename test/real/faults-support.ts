import { setTimeout as delay } from "node:timers/promises";

/** Does something again and again until a run has ended, and gives its end. */
export async function during<Ended>(run: Promise<Ended>, act: () => Promise<void> | void): Promise<Ended> {
  const over = new AbortController();
  const ended = run.finally(() => over.abort());
  while (!over.signal.aborted) {
    await act();
    await delay(100);
  }
  return ended;
}
