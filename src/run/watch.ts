// Looks at containerd's downloads while images are pulled. One look feeds the progress that is shown, the detection of
// stalls, and the lease that lets a later attempt go on from what was fetched.
//
// Which image a download belongs to is not told. Every manifest of an attempt's repository that is not whole may be its
// own: it is a candidate, and an attempt has stalled only when nothing of its candidates moves.
import { configOf, isDocument, isFrom, manifestsOf, parseLayers } from "../core/content.ts";
import { CODE, Failed } from "../core/failure.ts";
import type { Blob, Layer } from "../core/node.ts";
import type { WantedImage } from "../core/plan.ts";
import {
  advance,
  grewSince,
  layerRef,
  progressOf,
  silentFor,
  startMovement,
  sum,
  type Movement,
  type Sizes,
} from "../core/transfer.ts";
import { formatDuration } from "../core/units.ts";
import { unlessCode } from "../containerd/connection.ts";
import type { Context } from "./context.ts";
import type { Leases } from "./lease.ts";
import type { UntilBack } from "./ready.ts";
import { toFailure } from "./tool-failure.ts";

export interface WatchOptions extends Pick<Context, "config" | "containerd" | "clock" | "emit"> {
  readonly leases: Pick<Leases, "hold">;
  readonly untilBack: UntilBack;
  readonly nodeWideDownloads: boolean;
  /** Ids of images that are whole, whose manifests are therefore not what is being pulled. */
  readonly whole: Iterable<string>;
  /** Told of a bug of ours. */
  readonly crashed: (bug: unknown) => never;
}

/** An attempt as it is watched. */
export interface Watched {
  /** Ends it when it stalls. */
  readonly abort: AbortController;
  /** Milliseconds in which its first byte has to come. */
  readonly patience: number;
  /** Told at each look: bytes came that may be its own, or all layers of an image that may be its own are here. */
  readonly progressed: (what: "bytes" | "complete") => void;
}

export interface Watch {
  /** @returns how to stop watching the attempt */
  readonly begin: (image: WantedImage, watched: Watched) => () => void;
  /** The image is whole: its manifests are no longer what is being pulled. */
  readonly pulled: (id: string) => void;
  /** Compressed bytes of an image that is being pulled, once its manifest was seen. */
  readonly sizeOf: (image: WantedImage) => number | undefined;
  /** Ends the looking, and waits for a look that is under way. */
  readonly stop: () => Promise<void>;
}

/** Milliseconds: what breaks before the first look is fetched anew, and what is over before costs none. */
const FIRST_LOOK = 250;
const LOOK_EVERY = 500;
/** For what may change unseen: layers that are neither open nor known to be here, and further manifests. */
const ASK_EVERY = 2_000;
/** Bytes, and milliseconds: a small image is mostly here before it is written down that its parts are to be kept. */
const LITTLE = 1_000_000;
const SLOW = 2_000;
/** Nobody looked for so much longer than was meant: the machine slept, which counts against no download. */
const BLINK = 5_000;
/** containerd's default for the whole node, from 2.1. With fewer, those that are queued included, none waits for another. */
const NODE_WIDE_DOWNLOADS = 3;

/** A manifest that may be what an attempt pulls. */
interface Candidate {
  readonly digest: string;
  readonly layers: readonly Layer[];
  /** Digests of the indexes that lead to it. */
  readonly above: readonly string[];
}

interface Attempt extends Watched {
  readonly image: WantedImage;
  readonly begunAt: number;
  /** Downloads as they were when it began, once that is known. */
  before: Sizes | undefined;
  movement: Movement;
  candidates: readonly Candidate[];
  soughtAt: number;
  askedAt: number;
  /** Digests of layers that are here. */
  readonly finished: Set<string>;
}

export function watchPulls(options: WatchOptions): Watch {
  const { clock, config } = options;
  const attempts = new Set<Attempt>();
  const whole = new Set(options.whole);
  const stopped = new AbortController();
  const looker = lookerAt(options, attempts, whole);
  let looking: Promise<void> | undefined;
  let isFresh = false;

  const keepLooking = async (): Promise<void> => {
    const pause = Math.min(FIRST_LOOK, config.stall_timeout / 4);
    let next = clock.now();
    await looker.begin();
    while (attempts.size > 0 && !stopped.signal.aborted) {
      const meant = clock.now() + pause;
      await clock.sleep(pause, stopped.signal).catch(() => {});
      if (clock.now() - meant > BLINK) looker.skip(clock.now() - meant);
      if (stopped.signal.aborted || attempts.size === 0 || (!isFresh && clock.now() < next)) continue;
      isFresh = false;
      next = clock.now() + Math.min(LOOK_EVERY, 2 * pause);
      await looker.look();
    }
    looking = undefined;
  };

  return {
    begin: (image, watched) => {
      const attempt = looker.startOf(image, watched, looking !== undefined);
      attempts.add(attempt);
      isFresh = true;
      looking ??= keepLooking().catch(options.crashed);
      // Whoever stops the looking hears of it.
      looking.catch(() => {});
      return () => void attempts.delete(attempt);
    },
    pulled: (id) => void whole.add(id),
    sizeOf: (image) => {
      const attempt = [...attempts].find((each) => each.image === image);
      const own = attempt && likeliest(attempt, new Set());
      return own && bytesOf(own.layers);
    },
    stop: async () => {
      stopped.abort();
      await looking;
    },
  };
}

/** What one look after the other has seen. */
function lookerAt(options: WatchOptions, attempts: ReadonlySet<Attempt>, whole: ReadonlySet<string>) {
  const { containerd, clock, untilBack } = options;
  const seek = manifestSeeker(options, whole);
  let sizes: Sizes = new Map();
  /** Time in which nobody could look. */
  let skipped = 0;
  const now = (): number => clock.now() - skipped;
  let nodeMovedAt = now();

  const downloads = async (): Promise<Sizes> =>
    new Map((await containerd.downloads()).map(({ ref, offset }) => [digestIn(ref), offset]));
  const look = async (): Promise<void> => {
    const before = sizes;
    sizes = await downloads();
    if (grewSince(before, sizes) || before.size !== sizes.size) nodeMovedAt = now();
    await seek([...attempts]);
    await Promise.all([...attempts].map((attempt) => askForLayers(options, attempt, sizes)));
    const at = now();
    for (const attempt of attempts) {
      const sample = { downloads: sizes, finished: attempt.finished, at };
      attempt.movement = advance(attempt.movement, attempt.candidates, attempt.before ?? sizes, sample);
    }
    await Promise.all([...attempts].map((attempt) => hold(options, attempt)));
    const isQueueing = options.nodeWideDownloads && sizes.size >= NODE_WIDE_DOWNLOADS;
    tellAll(options, attempts, { sizes, at, queuedUntil: isQueueing ? nodeMovedAt : 0 });
  };
  return {
    /** Sees what was there before the first attempt. */
    begin: async (): Promise<void> => {
      sizes = await downloads().catch((error: unknown) => (toFailure(error), sizes));
      for (const attempt of attempts) attempt.before ??= sizes;
    },
    skip: (ms: number): void => void (skipped += ms),
    startOf: (image: WantedImage, watched: Watched, isLooking: boolean): Attempt => ({
      ...watched,
      image,
      begunAt: clock.now(),
      before: isLooking ? sizes : undefined,
      movement: startMovement(now()),
      candidates: [],
      soughtAt: Number.NEGATIVE_INFINITY,
      askedAt: Number.NEGATIVE_INFINITY,
      finished: new Set(),
    }),
    look: async (): Promise<void> => {
      const begun = clock.now();
      try {
        await look();
      } catch (error) {
        // What it does not answer now, it may at the next look; one that answers nothing at all ends the run.
        if (toFailure(error).class !== "runtime") return;
        await untilBack().catch(toFailure);
        skipped += clock.now() - begun;
      }
    },
  };
}

const digestIn = (ref: string): string => ref.slice(ref.indexOf("-") + 1);
const bytesOf = (layers: readonly Layer[]): number => sum(layers.map(({ size }) => size));

/** Finds the candidates of attempts, anew as long as they last: another image of the repository may have left one. */
function manifestSeeker({ containerd, clock }: WatchOptions, whole: ReadonlySet<string>) {
  /** By digest: a manifest never changes. */
  const known = new Map<string, readonly Layer[]>();
  const layersOf = async (manifest: Blob): Promise<readonly Layer[]> => {
    const layers = known.get(manifest.digest) ?? parseLayers(await containerd.read(manifest));
    known.set(manifest.digest, layers);
    return layers;
  };
  return async (attempts: readonly Attempt[]): Promise<void> => {
    const due = attempts.filter(
      ({ movement, soughtAt }) => !movement.hasBytes || clock.now() - soughtAt >= ASK_EVERY,
    );
    if (due.length === 0) return;
    const blobs = await containerd.blobs(
      // One that repositories share is here already, or soon will be: it is not worth what it costs to look for it first.
      due.map(({ image, begunAt }) => ({
        repository: image.source,
        shared: clock.now() - begunAt >= SLOW,
      })),
    );
    for (const attempt of due) {
      attempt.soughtAt = clock.now();
      const documents = blobs.filter((blob) => isDocument(blob) && isFrom(attempt.image.source, blob));
      const open = documents.filter((blob) => {
        const config = configOf(blob);
        return config !== undefined && !whole.has(config);
      });
      const found = await Promise.all(
        open.map(async (manifest): Promise<Candidate[]> => {
          // One that has gone since it was listed, with another attempt that failed, has no layers to show.
          const layers = await layersOf(manifest).catch(unlessCode(CODE.notFound));
          const above = leadingTo(manifest.digest, documents);
          return layers === undefined ? [] : [{ digest: manifest.digest, layers, above }];
        }),
      );
      attempt.candidates = found.flat().filter(mayBe(attempt.image));
    }
  };
}

/** Digests of the indexes that lead to a manifest, through other indexes too. */
function leadingTo(digest: string, documents: readonly Blob[]): string[] {
  const parents = documents.filter((blob) => manifestsOf(blob).includes(digest));
  return parents.flatMap((parent) => [parent.digest, ...leadingTo(parent.digest, documents)]);
}

/** An image that is wanted by its digest is that one. */
const mayBe =
  ({ source }: WantedImage) =>
  ({ digest, above }: Candidate): boolean =>
    source.digest === undefined || [digest, ...above].includes(source.digest);

/** Asks for layers whose downloads have gone, and now and then for those that were over before they could be seen. */
async function askForLayers(
  { containerd, clock }: WatchOptions,
  attempt: Attempt,
  sizes: Sizes,
): Promise<void> {
  const { candidates, finished, movement, askedAt } = attempt;
  const layers = new Set(candidates.flatMap((each) => each.layers.map(({ digest }) => digest)));
  const missing = [...layers].filter((digest) => !finished.has(digest) && !sizes.has(digest));
  const isTime = clock.now() - askedAt >= ASK_EVERY;
  const asked = isTime ? missing : missing.filter((digest) => movement.active.has(digest));
  if (asked.length === 0) return;
  attempt.askedAt = clock.now();
  const blobs = await Promise.all(asked.map((digest) => containerd.blob(digest)));
  for (const blob of blobs) if (blob !== undefined) finished.add(blob.digest);
}

/** Holds what moves, with its documents and layers to come, when losing them would cost more than writing that down. */
async function hold({ leases, clock }: WatchOptions, attempt: Attempt): Promise<void> {
  const { candidates, finished, movement, begunAt, image } = attempt;
  const moving = candidates.filter(({ layers }) => layers.some(({ digest }) => movement.active.has(digest)));
  for (const { digest, layers, above } of moving) {
    const missing = layers.filter((layer) => !finished.has(layer.digest));
    // With all of them here only unpacking is left, which a write to the database would keep waiting.
    if (missing.length === 0 || (bytesOf(missing) < LITTLE && clock.now() - begunAt < SLOW)) continue;
    await leases.hold(image.source.name, [
      ...[digest, ...above].map((id) => ({ type: "content" as const, id })),
      ...missing.map((layer) => ({ type: "ingests" as const, id: layerRef(layer.digest) })),
    ]);
  }
}

/** What moves is most likely the attempt's own: what is no other's, and has most downloads of this attempt. */
function likeliest({ candidates, movement }: Attempt, taken: ReadonlySet<string>): Candidate | undefined {
  const moved = ({ layers }: Candidate): number =>
    layers.filter(({ digest }) => movement.active.has(digest)).length;
  const [first] = candidates.toSorted(
    (a, b) => Number(taken.has(a.digest)) - Number(taken.has(b.digest)) || moved(b) - moved(a),
  );
  return first !== undefined && (candidates.length === 1 || moved(first) > 0) ? first : undefined;
}

interface Seen {
  readonly sizes: Sizes;
  readonly at: number;
  /** When any download of the node moved, where one that never grew may wait for its turn; else 0. */
  readonly queuedUntil: number;
}

function tellAll(options: WatchOptions, attempts: Iterable<Attempt>, seen: Seen): void {
  const taken = new Set<string>();
  for (const attempt of attempts) {
    const own = likeliest(attempt, taken);
    if (own !== undefined) taken.add(own.digest);
    tell(options, attempt, own, seen);
  }
}

function tell(
  { config, emit }: WatchOptions,
  attempt: Attempt,
  own: Candidate | undefined,
  { sizes, at, queuedUntil }: Seen,
): void {
  const { movement, finished, image, patience, progressed, abort } = attempt;
  const progress = own && progressOf(own.layers, { downloads: sizes, finished, at });
  if (movement.bytesAt === at) progressed("bytes");
  else if (movement.isComplete) progressed("complete");
  if (progress !== undefined) emit({ type: "progress", image: image.source.name, progress });
  const bound = movement.hasBytes ? config.stall_timeout : patience;
  if (silentFor(movement, queuedUntil, at) < bound) return;
  const seen =
    progress === undefined
      ? "not even the manifest"
      : `with ${progress.layersDone} of ${progress.layers} layers done`;
  const message = `no data came for ${formatDuration(bound)}, ${seen}`;
  abort.abort(new Failed({ class: "stall", message }));
}
