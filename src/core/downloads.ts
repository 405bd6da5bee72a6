// The bytes of a whole run. Images of one base share layers, which are loaded once and counted once.
import type { ImageState, Phase } from "./run-state.ts";

export interface Downloads {
  readonly received: number;
  readonly total: number;
  /** Images to come of which nothing is known yet: the total is a lower bound. */
  readonly unknown: number;
}

type Downloading = Pick<ImageState, "name" | "isArchive" | "phase" | "progress" | "size">;

const HAS_ALL = new Set<Phase>(["finishing", "placed", "pulled"]);
const TO_COME = new Set<Phase>(["waiting", "pulling", "retrying"]);

export function downloads(images: Iterable<Downloading>): Downloads {
  const all = [...images];
  const layers = new Map<string, { readonly size: number; readonly received: number }>();
  for (const { phase, progress } of all) {
    for (const { digest, size, received } of progress?.parts ?? []) {
      const now = HAS_ALL.has(phase) ? size : received;
      layers.set(digest, { size, received: Math.max(now, layers.get(digest)?.received ?? 0) });
    }
  }
  // An image that was loaded between two looks has no layers to show, only the size that CRI tells in the end.
  const unseen = all.filter(({ phase, progress }) => HAS_ALL.has(phase) && progress === undefined);
  const whole = sum(unseen.map(({ size }) => size ?? 0));
  return {
    received: whole + sum([...layers.values()].map(({ received }) => received)),
    total: whole + sum([...layers.values()].map(({ size }) => size)),
    unknown: all.filter(
      (image) => TO_COME.has(image.phase) && image.progress === undefined && image.isArchive !== true,
    ).length,
  };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
