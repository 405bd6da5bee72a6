// Downloads as seen from containerd's content store: how far an image and the whole run are, and whether it still moves.
import type { ImageState, Phase, Progress } from "./run-state.ts";

/** A blob of an image, from its manifest. */
export interface Layer {
  readonly digest: string;
  readonly size: number;
}

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

/** The bytes of a whole run. Images of one base share layers, which are loaded once and counted once. */
export interface Downloads {
  readonly received: number;
  readonly total: number;
  /** Images to come of which nothing is known yet: the total is a lower bound. */
  readonly unknown: number;
}

const HAS_ALL = new Set<Phase>(["finishing", "placed", "pulled"]);
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
