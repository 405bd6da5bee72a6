// Downloads as containerd's content store shows them: how far an image is, and whether it still moves.
import * as v from "valibot";
import type { Layer } from "./node.ts";

/** A download that is running, or that failed and was kept. Bytes; `total` is 0 while it is unknown. */
export interface Download {
  /** containerd's key, such as `layer-sha256:…` or `manifest-sha256:…`. */
  readonly ref: string;
  readonly offset: number;
  readonly total: number;
}

/** The content store at one moment. */
export interface Sample {
  /** Bytes so far of every running download, of any image, by digest. */
  readonly downloads: ReadonlyMap<string, number>;
  /** Digests of complete blobs. */
  readonly finished: ReadonlySet<string>;
  /** Milliseconds of a monotonic clock. */
  readonly at: number;
}

export const count = v.pipe(v.number(), v.minValue(0));

/** Progress of one image, whose layers its manifest lists. `received` and `total` in bytes. */
export const progress = v.object({
  received: count,
  total: count,
  layersDone: count,
  layers: count,
  /** One part per layer, so that a shared layer is counted once. Not in status.json, because there are many. */
  parts: v.exactOptional(
    v.pipe(v.array(v.object({ digest: v.string(), size: count, received: count })), v.readonly()),
  ),
});
export type Progress = Readonly<v.InferOutput<typeof progress>>;

/** containerd's key for a layer's download, which exists from the start of the download. */
export const layerRef = (digest: string): string => `layer-${digest}`;

export function progressOf(layers: readonly Layer[], sample: Sample): Progress {
  const parts = layers.map((layer) => ({ ...layer, received: receivedOf(layer, sample) }));
  return {
    received: sum(parts.map(({ received }) => received)),
    total: sum(layers.map(({ size }) => size)),
    layersDone: layers.filter((layer) => sample.finished.has(layer.digest)).length,
    layers: layers.length,
    parts,
  };
}

const receivedOf = ({ digest, size }: Layer, sample: Sample): number =>
  sample.finished.has(digest) ? size : Math.min(sample.downloads.get(digest) ?? 0, size);

export const sum = (numbers: readonly number[]): number =>
  numbers.reduce((total, number) => total + number, 0);

/** Bytes so far, by digest. */
export type Sizes = ReadonlyMap<string, number>;

/** Observations of one attempt so far; immutable, advanced sample by sample. */
export interface Movement {
  /** Downloads that started or grew in this attempt, by digest: the last size, and whether it grew. */
  readonly active: ReadonlyMap<string, { readonly size: number; readonly grew: boolean }>;
  /** Bytes arrived in this attempt: from then on, silence without an open download is unpacking. */
  readonly hasBytes: boolean;
  /** When bytes last arrived. */
  readonly bytesAt: number;
  /** When something last moved, or nothing could. */
  readonly movedAt: number;
  /** All layers of a candidate are on the node. */
  readonly isComplete: boolean;
  /** A download that grew in this attempt is still open. */
  readonly isOpen: boolean;
}

export const startMovement = (at: number): Movement => ({
  active: new Map(),
  hasBytes: false,
  bytesAt: Number.NEGATIVE_INFINITY,
  movedAt: at,
  isComplete: false,
  isOpen: false,
});

export const grewSince = (before: Sizes, now: Sizes): boolean =>
  [...now].some(([digest, size]) => size > (before.get(digest) ?? 0));

/** @param candidates images, one of which is the attempt's. @param before downloads when the attempt started */
export function advance(
  movement: Movement,
  candidates: readonly { readonly layers: readonly Layer[] }[],
  before: Sizes,
  sample: Sample,
): Movement {
  const { downloads: sizes, finished, at } = sample;
  const active = new Map(movement.active);
  let [began, grew, open, openGrew] = [false, false, false, false];
  for (const { digest, size: whole } of candidates.flatMap(({ layers }) => layers)) {
    const size = sizes.get(digest);
    // A download that is gone has completed or failed.
    if (size === undefined) continue;
    const known = active.get(digest)?.size ?? before.get(digest);
    const isNew = known === undefined || size < known;
    const hasGrown = size > (known ?? 0);
    if (hasGrown || isNew) active.set(digest, { size, grew: hasGrown });
    began ||= isNew;
    grew ||= hasGrown;
    const own = active.get(digest);
    // containerd verifies and writes out a full blob, which may take long on a slow disk and is no stall.
    if (own === undefined || size >= whole) continue;
    open = true;
    openGrew ||= own.grew;
  }
  const isComplete = candidates.some(
    ({ layers }) => layers.length > 0 && layers.every(({ digest }) => finished.has(digest)),
  );
  const hasBytes = movement.hasBytes || grew;
  const isStill = !began && !grew && !isComplete && (open || !hasBytes);
  return {
    active,
    hasBytes,
    bytesAt: grew ? at : movement.bytesAt,
    movedAt: isStill ? movement.movedAt : at,
    isComplete,
    isOpen: openGrew,
  };
}

/**
 * Milliseconds without movement that should have happened. A download that never grew may be queued.
 * @param queuedUntil when any download of the node last moved, if downloads queue for each other; else 0
 */
export const silentFor = ({ movedAt, isOpen }: Movement, queuedUntil: number, at: number): number =>
  at - (isOpen ? movedAt : Math.max(movedAt, queuedUntil));
