// The last bound: after it every tool is ended, so that a run is over within 10 s of its signal or deadline even when
// containerd answers nothing.
import { LONGEST_MS } from "../core/units.ts";

/** Milliseconds for tags, pins and verification of what was finished; ending a tool may take 3 s more. */
const WRAP_UP = 6_000;

/**
 * @param stop the operator's signal
 * @param deadline milliseconds
 */
export function lifetime(stop: AbortSignal, deadline: number): Disposable & { readonly signal: AbortSignal } {
  const end = new AbortController();
  const timers = [setTimeout(() => end.abort(), Math.min(deadline + WRAP_UP, LONGEST_MS))];
  const onStop = (): void => void timers.push(setTimeout(() => end.abort(), WRAP_UP));
  stop.addEventListener("abort", onStop, { once: true });
  return {
    signal: end.signal,
    [Symbol.dispose]: () => {
      stop.removeEventListener("abort", onStop);
      timers.forEach(clearTimeout);
    },
  };
}
