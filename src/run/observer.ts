// Looks at containerd's content store while images are pulled. One observation feeds three uses: the progress that is
// shown, the detection of stalls, and the hold on finished layers that lets a later attempt go on from them.
import { setTimeout as sleep } from "node:timers/promises";
import { isFrom, isManifest, layersOf, partsOf } from "../core/manifest.ts";
import type { WantedImage } from "../core/plan.ts";
import type { Emit } from "../core/run-state.ts";
import {
  advance,
  progressOf,
  stalledFor,
  startMovement,
  type Layer,
  type Movement,
  type Sample,
} from "../core/transfer.ts";
import { formatDuration } from "../core/units.ts";
import type { Blob, ContentStore } from "../runtime/image-runtime.ts";
import type { Holds } from "./holds.ts";
import { Interruption } from "./interruption.ts";

export interface ObserverOptions {
  readonly content: Pick<ContentStore, "ingests" | "blobs" | "read">;
  readonly holds: Holds;
  readonly emit: Emit;
  /** Milliseconds without a byte after which an attempt is ended. */
  readonly stallTimeout: number;
  /** Milliseconds between two looks. */
  readonly interval: number;
  /** Milliseconds after which a containerd that does not answer the observer counts as lost. */
  readonly patience: number;
  readonly nodeWideLimit: boolean;
  /** Ids of images that are complete, whose manifests are therefore not what is being pulled. */
  readonly complete: Iterable<string>;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

export interface Observer {
  /** Watches one attempt, and aborts it when it stalls. @returns how to stop watching */
  readonly watch: (image: WantedImage, abort: AbortController) => () => void;
  /** The image is complete: its manifests are no longer what is being pulled. */
  readonly pulled: (id: string) => void;
  /** Nothing is left to do for the image: what was held for it is released. */
  readonly done: (image: WantedImage) => void;
  /** Compressed bytes of the image, once its manifest was seen. */
  readonly sizeOf: (image: WantedImage) => number | undefined;
  readonly stop: () => void;
}

/** containerd's default for the whole node, from 2.1. With fewer of them, those that are queued included, none waits for another. */
const DOWNLOADS = 3;

/**
 * Milliseconds. An attempt that is over before costs no look, no hold and no release, each of them calls of ctr that take
 * CPU from unpacking; one that breaks before loses at most this much of a download.
 */
const FIRST_LOOK = 3_000;

interface Attempt {
  readonly image: WantedImage;
  readonly abort: AbortController;
  readonly since: number;
  movement: Movement;
  size?: number;
}

export function observer(options: ObserverOptions): Observer {
  const attempts = new Set<Attempt>();
  const complete = new Set(options.complete);
  const unfinished = new Map<string, Set<string>>();
  const look = looker(options, complete, (attempt) => attempts.has(attempt));
  const stopped = new AbortController();
  let loop: Promise<void> | undefined;

  const keepLooking = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      await sleep(nextLook(attempts, options), undefined, { signal: stopped.signal }).catch(() => {});
      const due = [...attempts].filter((attempt) => options.now() - attempt.since >= firstLook(options));
      if (due.length > 0 && !stopped.signal.aborted) await look(due);
    }
  };

  return {
    watch: (image, abort) => {
      const since = options.now();
      const attempt = { image, abort, since, movement: startMovement(since) };
      attempts.add(attempt);
      unfinished.getOrInsertComputed(ownerOf(image), () => new Set()).add(image.source.name);
      loop ??= keepLooking();
      return () => attempts.delete(attempt);
    },
    pulled: (id) => void complete.add(id),
    done: (image) => {
      const others = unfinished.get(ownerOf(image));
      others?.delete(image.source.name);
      if (others?.size === 0) options.holds.release(ownerOf(image));
    },
    sizeOf: (image) => [...attempts].find((attempt) => attempt.image === image)?.size,
    stop: () => stopped.abort(),
  };
}

/** Tags of one repository cannot be told apart while they are pulled, so they share what is held. */
const ownerOf = (image: WantedImage): string => `${image.source.domain}/${image.source.path}`;

const firstLook = ({ interval }: ObserverOptions): number => Math.min(FIRST_LOOK, interval);

/** Milliseconds. */
function nextLook(attempts: ReadonlySet<Attempt>, options: ObserverOptions): number {
  const first = firstLook(options);
  const fresh = [...attempts].map(({ since }) => since + first - options.now()).filter((wait) => wait > 0);
  return Math.min(attempts.size === 0 ? first : options.interval, ...fresh);
}

/**
 * One look at all attempts that are due.
 * @param goesOn whether an attempt is still being watched: nothing is held for one that ended meanwhile
 */
function looker(
  options: ObserverOptions,
  complete: ReadonlySet<string>,
  goesOn: (attempt: Attempt) => boolean,
): (due: Attempt[]) => Promise<void> {
  /** By manifest, of the images that were in work at the last look. */
  let layerCache = new Map<string, Layer[]>();
  let last: Sample | undefined;
  let answeredAt = options.now();

  /** Undefined when it has gone since it was listed, as happens where another attempt has just failed. */
  const readLayers = async ({ digest }: Blob): Promise<Layer[] | undefined> =>
    layerCache.get(digest) ?? options.content.read(digest).then(layersOf, () => undefined);

  const observe = async (due: readonly Attempt[]): Promise<void> => {
    const sources = due.map((attempt) => attempt.image.source);
    const sized = [...layerCache.values()].flat().map((layer) => layer.digest);
    const [ingests, blobs] = await Promise.all([
      options.content.ingests(),
      options.content.blobs(sources, sized),
    ]);
    const sample = toSample(ingests, blobs, options.now());
    const moved = sample.ingests.size >= DOWNLOADS && (last === undefined || hasMoved(last, sample));
    last = sample;
    const seen = new Map<string, Layer[]>();
    for (const attempt of due) {
      const manifests = manifestsFor(attempt.image, blobs, complete);
      for (const manifest of manifests) {
        const found = await readLayers(manifest);
        if (found !== undefined) seen.set(manifest.digest, found);
      }
      const layers = manifests.flatMap(({ digest }) => seen.get(digest) ?? []);
      // With all of them here only unpacking is left, which a label would keep waiting: it is a write that is synced.
      if (goesOn(attempt) && layers.some(({ digest }) => !sample.finished.has(digest)))
        await Promise.all(manifests.map(({ digest }) => options.holds.hold(ownerOf(attempt.image), digest)));
      judge(options, attempt, layers.length === 0 ? undefined : layers, moved, sample);
    }
    layerCache = seen;
  };

  return async (due) => {
    try {
      await observe(due);
      answeredAt = options.now();
    } catch {
      // containerd may be restarting; the attempts find out by themselves, unless it is frozen.
      if (options.now() - answeredAt > options.patience)
        due.forEach((attempt) => attempt.abort.abort(lost(options)));
    }
  };
}

function judge(
  options: ObserverOptions,
  attempt: Attempt,
  layers: readonly Layer[] | undefined,
  moved: boolean,
  sample: Sample,
): void {
  attempt.movement = advance(attempt.movement, layers, moved, sample);
  const image = attempt.image.source.name;
  if (layers !== undefined) {
    const progress = progressOf(layers, sample);
    if (progress.total !== undefined) attempt.size = progress.total;
    options.emit({ type: "progress", image, progress });
  }
  if (stalledFor(attempt.movement, options.nodeWideLimit, sample.at) >= options.stallTimeout) {
    attempt.abort.abort(stalled(options.stallTimeout, layers, sample));
  }
}

function toSample(
  ingests: readonly { ref: string; size: number }[],
  blobs: readonly Blob[],
  at: number,
): Sample {
  const byDigest = ingests.map(({ ref, size }) => [ref.slice(ref.indexOf("-") + 1), size] as const);
  return { ingests: new Map(byDigest), finished: new Set(blobs.map((blob) => blob.digest)), at };
}

const hasMoved = (last: Sample, sample: Sample): boolean =>
  sample.finished.size !== last.finished.size ||
  sample.ingests.size !== last.ingests.size ||
  [...sample.ingests].some(([digest, size]) => size !== last.ingests.get(digest));

/** Manifests and indexes of an image's repository that belong to no complete image. */
function manifestsFor(image: WantedImage, blobs: readonly Blob[], complete: ReadonlySet<string>): Blob[] {
  const manifests = blobs.filter((blob) => isManifest(blob.labels) && isFrom(image.source, blob.labels));
  const settled = new Set(
    manifests
      .filter(({ labels }) => partsOf(labels).some((part) => complete.has(part)))
      .map(({ digest }) => digest),
  );
  return manifests.filter(
    ({ digest, labels }) => !settled.has(digest) && !partsOf(labels).some((part) => settled.has(part)),
  );
}

function stalled(timeout: number, layers: readonly Layer[] | undefined, sample: Sample): Interruption {
  const quiet = `no byte came for ${formatDuration(timeout)}`;
  if (layers === undefined)
    return new Interruption({ class: "stall", message: `${quiet}, not even a manifest` });
  const { layersDone, layers: count } = progressOf(layers, sample);
  return new Interruption({
    class: "stall",
    message: `${quiet}, with ${layersDone} of ${count} layers done`,
  });
}

const lost = ({ patience }: ObserverOptions): Interruption =>
  new Interruption({
    class: "runtime",
    message: `containerd did not answer for ${formatDuration(patience)}`,
  });
