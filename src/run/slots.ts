// The only module that knows p-limit.
import pLimit from "p-limit";

/** Runs at most so many functions at once; the others wait in the order in which they came. */
export type Slots = <Value>(use: () => Promise<Value>) => Promise<Value>;

export const slots = (count: number): Slots => pLimit(count);
