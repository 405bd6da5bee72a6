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

/** What one attempt has shown so far; a value, advanced sample by sample. */
export interface Movement {
  /** Downloads in progress, by digest: the last size, when it last grew, and whether it grew in this attempt at all. */
  readonly open: ReadonlyMap<
    string,
    { readonly size: number; readonly since: number; readonly grew: boolean }
  >;
  /** Whether this attempt was seen downloading: from then on, silence without an open download is unpacking. */
  readonly begun: boolean;
  /** Since when there is nothing to see of this image: its reference is being resolved, or it is queued. */
  readonly idleSince: number;
  /** When any download of the node last moved. */
  readonly nodeSince: number;
}

export const startMovement = (at: number): Movement => ({
  open: new Map(),
  begun: false,
  idleSince: at,
  nodeSince: at,
});

/**
 * @param layers of this image; undefined while its manifest is unknown
 * @param nodeMoved whether any download of the node grew since the last sample
 */
export function advance(
  movement: Movement,
  layers: readonly Layer[] | undefined,
  nodeMoved: boolean,
  sample: Sample,
): Movement {
  const open = new Map(
    (layers ?? []).flatMap((layer) => {
      const size = sample.downloads.get(layer.digest);
      // A full blob is being checked and written out, which may take long on a slow disk and is no stall.
      if (size === undefined || size >= layer.size) return [];
      const last = movement.open.get(layer.digest);
      if (last !== undefined && size <= last.size) return [[layer.digest, last] as const];
      return [[layer.digest, { size, since: sample.at, grew: last !== undefined }] as const];
    }),
  );
  const begun = movement.begun || open.size > 0;
  const complete = layers?.every((layer) => sample.finished.has(layer.digest)) ?? false;
  return {
    open,
    begun,
    idleSince: begun || complete ? sample.at : movement.idleSince,
    nodeSince: nodeMoved ? sample.at : movement.nodeSince,
  };
}

/**
 * Milliseconds for which the image has been waiting for bytes that should come. Behind containerd 2.1's node-wide
 * limit a download that never grew may only be queued, and then counts from the last movement of the whole node.
 */
export function stalledFor(movement: Movement, nodeWideLimit: boolean, at: number): number {
  const queuedUntil = nodeWideLimit ? movement.nodeSince : 0;
  const waits = [...movement.open.values()].map(
    ({ since, grew }) => at - (grew ? since : Math.max(since, queuedUntil)),
  );
  return Math.max(0, at - Math.max(movement.idleSince, queuedUntil), ...waits);
}
