// Downloads as seen from containerd's content store: how far an image is, and whether it still moves.
import * as v from "valibot";
import type { Layer } from "./node.ts";

/** A download in progress, or one that broke and is kept. Bytes; `total` is 0 while it is not known. */
export interface Download {
  /** `layer-sha256:…`, `manifest-sha256:…`; containerd's key for the blob. */
  readonly ref: string;
  readonly offset: number;
  readonly total: number;
}

/** What the content store shows at one moment. */
export interface Sample {
  /** Bytes so far of every download in progress, by digest; of all images. */
  readonly downloads: ReadonlyMap<string, number>;
  /** Digests of finished blobs. */
  readonly finished: ReadonlySet<string>;
  /** Milliseconds of a monotonic clock. */
  readonly at: number;
}

export const count = v.pipe(v.number(), v.minValue(0));

/** Bytes and layers of one image's download, from its manifest. */
export const progress = v.object({
  received: count,
  total: count,
  layersDone: count,
  layers: count,
  /** Each layer by itself, so that one that several images share is counted once. They are many, and in no file. */
  parts: v.exactOptional(
    v.pipe(v.array(v.object({ digest: v.string(), size: count, received: count })), v.readonly()),
  ),
});
export type Progress = Readonly<v.InferOutput<typeof progress>>;

/** containerd's key for the download of a layer, which it has from the moment that the download begins. */
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

/** Bytes so far of downloads, by digest. */
export type Sizes = ReadonlyMap<string, number>;

/** What one attempt has shown so far; a value, advanced sample by sample. */
export interface Movement {
  /** Downloads that began or grew in this attempt: the last size, and whether it grew. */
  readonly active: ReadonlyMap<string, { readonly size: number; readonly grew: boolean }>;
  /** Whether bytes came in this attempt: from then on, silence without an open download is unpacking. */
  readonly hasBytes: boolean;
  /** When bytes came last. */
  readonly bytesAt: number;
  /** When something moved last, or nothing could. */
  readonly movedAt: number;
  /** Whether all layers of an image that may be the attempt's own are here. */
  readonly isComplete: boolean;
  /** Whether a download that grew in this attempt is open. */
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

/** Whether a download grew, or began with bytes. */
export const grewSince = (before: Sizes, now: Sizes): boolean =>
  [...now].some(([digest, size]) => size > (before.get(digest) ?? 0));

/**
 * @param candidates images of which one is the attempt's own
 * @param before downloads as they were when the attempt began
 */
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
    const [size, last] = [sizes.get(digest), active.get(digest)];
    // One that has gone is complete, or broke.
    if (size === undefined) continue;
    const known = last?.size ?? before.get(digest);
    const isNew = known === undefined || size < known;
    const hasGrown = size > (known ?? 0);
    if (hasGrown || isNew) active.set(digest, { size, grew: hasGrown || (!isNew && last?.grew === true) });
    began ||= isNew;
    grew ||= hasGrown;
    // A full blob is being checked and written out, which may take long on a slow disk and is no stall.
    if (size >= whole || !active.has(digest)) continue;
    open = true;
    openGrew ||= active.get(digest)?.grew === true;
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
 * Milliseconds for which nothing has moved that should. A download that never grew may only be queued.
 * @param queuedUntil when any download of the node moved, where they wait for each other; else 0
 */
export const silentFor = ({ movedAt, isOpen }: Movement, queuedUntil: number, at: number): number =>
  at - (isOpen ? movedAt : Math.max(movedAt, queuedUntil));
