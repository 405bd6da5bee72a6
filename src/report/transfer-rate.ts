// How fast downloads are: the bytes of the last seconds, by name.

interface Mark {
  readonly at: number;
  readonly received: number;
}

export type Rates = ReadonlyMap<string, readonly Mark[]>;

export const noRates: Rates = new Map();

/** Milliseconds over which a rate is taken: long enough to be steady, short enough to show that it fell. */
const WINDOW = 10_000;

/** @param at epoch milliseconds */
export function withMark(rates: Rates, name: string, received: number, at: number): Rates {
  const marks = rates.get(name) ?? [];
  const last = marks.at(-1);
  // An attempt that began anew has fewer bytes than the one before: what was before says nothing about it.
  const earlier = last !== undefined && received < last.received ? [] : marks;
  // One mark from before the window stays, so that the window is always covered.
  const from = earlier.findLastIndex((mark) => mark.at <= at - WINDOW);
  return new Map(rates).set(name, [...earlier.slice(Math.max(from, 0)), { at, received }]);
}

/** Bytes a second; undefined while there is nothing to tell it from. */
export function rateOf(rates: Rates, name: string): number | undefined {
  const marks = rates.get(name) ?? [];
  const [first, last] = [marks[0], marks.at(-1)];
  if (first === undefined || last === undefined || last.at - first.at < 500) return undefined;
  return ((last.received - first.received) / (last.at - first.at)) * 1_000;
}
