import { spread } from "./statistics.ts";

interface Outcome {
  present: number;
  wanted: number;
  exitCode: number;
}

/**
 * What a contender left undone in its runs, or "": the time of one that failed says nothing.
 * @param images with those that nobody can pull; they alone may make a contender end with a code other than 0
 */
export function failureOf(samples: readonly Outcome[], images: number): string {
  const { min, max } = spread(samples.map(({ present, wanted }) => wanted - present));
  const wanted = samples[0]?.wanted ?? 0;
  if (max > 0) return `failed: ${min === max ? max : `${min} to ${max}`} of ${wanted} images`;
  const codes = new Set(samples.map(({ exitCode }) => exitCode).filter((code) => code !== 0));
  return codes.size === 0 || wanted < images ? "" : `failed: exit code ${[...codes].join(", ")}`;
}
