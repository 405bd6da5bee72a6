// Download totals of a run.
import type { ImageState, Phase } from "./run-state.ts";
import { sum } from "./transfer.ts";

/** In bytes. A layer that several images share is downloaded once and counted once. */
export interface Downloads {
  readonly received: number;
  readonly total: number;
  /** Number of unfinished images of unknown size. Unless it is 0, `total` is a lower bound. */
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
  // An image that was pulled between two looks has no layer progress, only the size that CRI reports at the end.
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
