// The time of an event.

/**
 * Epoch milliseconds as of the program's start, moved on by a monotonic clock: a time of day that nobody can set, so that
 * two of them are always as far apart as what happened between them took.
 */
export const stamp = (): number => Math.round(performance.timeOrigin + performance.now());
