// The only module that uses p-limit.
import pLimit from "p-limit";

/** Runs a limited number of functions at once; the others wait in order of arrival. */
export type Slots = <Value>(use: () => Promise<Value>) => Promise<Value>;

export const slots = (count: number): Slots => pLimit(count);
