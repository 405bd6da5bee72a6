// The bytes of a whole run: what its images have fetched, and have to fetch.
import type { ImageState, Phase } from "./run-state.ts";
import { sum } from "./transfer.ts";

/** The bytes of a whole run. Images of one base share layers, which are loaded once and counted once. */
export interface Downloads {
  readonly received: number;
  readonly total: number;
  /** Images to come of which nothing is known yet: the total is a lower bound. */
  readonly unknown: number;
}

const HAS_ALL = new Set<Phase>(["tagging", "unverified", "pulled"]);
const TO_COME = new Set<Phase>(["waiting", "pulling", "retrying"]);

export function downloads(images: Iterable<ImageState>): Downloads {
  const all = [...images];
  const layers = new Map<string, { readonly size: number; readonly received: number }>();
  for (const { phase, progress } of all) {
    for (const { digest, size, received } of progress?.parts ?? []) {
      const now = HAS_ALL.has(phase) ? size : received;
      layers.set(digest, { size, received: Math.max(now, layers.get(digest)?.received ?? 0) });
    }
  }
  // An image that was loaded between two looks has no layers to show, only the size that CRI tells in the end.
  const whole = sum(
    all.map((image) => (image.phase === "pulled" && image.progress === undefined ? image.size : 0)),
  );
  return {
    received: whole + sum([...layers.values()].map(({ received }) => received)),
    total: whole + sum([...layers.values()].map(({ size }) => size)),
    unknown: all.filter(
      (image) => TO_COME.has(image.phase) && image.progress === undefined && image.isArchive !== true,
    ).length,
  };
}
