// Watches containerd's downloads during pulls. Each look feeds the progress, the detection of stalls, and the lease
// from which a later attempt resumes.
//
// containerd does not tell to which image a download belongs. Every manifest from an attempt's repository is a
// candidate, unless its image is complete. An attempt stalls only if no download of any candidate moves.
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
  /** IDs of complete images. Their manifests are not what is being pulled. */
  readonly whole: Iterable<string>;
  /** Ends the run because of a bug. */
  readonly crashed: (bug: unknown) => never;
}

export interface Watched {
  /** Ends the attempt when it stalls. */
  readonly abort: AbortController;
  /** Milliseconds to wait for the first byte. */
  readonly patience: number;
  /** Called at each look at which a candidate has received bytes, or all layers of a candidate are on the node. */
  readonly progressed: (what: "bytes" | "complete") => void;
}

export interface Watch {
  /** @returns a function that stops watching the attempt */
  readonly begin: (image: WantedImage, watched: Watched) => () => void;
  /** The image with this ID is complete. */
  readonly pulled: (id: string) => void;
  /** Compressed size in bytes of an image that is being pulled, once its manifest is known. */
  readonly sizeOf: (image: WantedImage) => number | undefined;
  /** Stops watching, and waits for a look that is under way. @throws a bug */
  readonly stop: () => Promise<void>;
}

/** Milliseconds. A pull that ends before the first look costs no call; a download that breaks before it starts over. */
const FIRST_LOOK = 250;
const LOOK_EVERY = 500;
/** Milliseconds between searches for what may change unseen: manifests, and layers neither downloading nor finished. */
const ASK_EVERY = 2_000;
/** Bytes and milliseconds. A small image is almost complete before a lease for its parts could be written. */
const LITTLE = 1_000_000;
const SLOW = 2_000;
/** Milliseconds. No look counts as later than this: the machine slept, or containerd did not answer. */
const BLINK = 8_000;
/** containerd's default for the whole node, since 2.1. With fewer downloads, queued ones included, none waits. */
const NODE_WIDE_DOWNLOADS = 3;

/** A manifest that an attempt may be pulling. */
interface Candidate {
  readonly digest: string;
  readonly layers: readonly Layer[];
  /** Digests of the indexes that refer to it, directly or not. */
  readonly above: readonly string[];
}

interface Attempt extends Watched {
  readonly image: WantedImage;
  readonly begunAt: number;
  /** Downloads at the start of the attempt, once known. */
  before: Sizes | undefined;
  movement: Movement;
  candidates: readonly Candidate[];
  soughtAt: number;
  askedAt: number;
  /** Digests of layers that are on the node. */
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
      await clock.sleep(pause, stopped.signal).catch(() => {});
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
      // `stop` rethrows the error. This only prevents an unhandled rejection.
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

/** Takes looks, and remembers what they saw. */
function lookerAt(options: WatchOptions, attempts: ReadonlySet<Attempt>, whole: ReadonlySet<string>) {
  const { containerd, clock, untilBack } = options;
  const seek = manifestSeeker(options, whole);
  let sizes: Sizes = new Map();
  /** Milliseconds that count for no attempt. */
  let skipped = 0;
  let seenAt = clock.now();
  const now = (): number => clock.now() - skipped;
  let nodeMovedAt = now();

  const downloads = async (): Promise<Sizes> =>
    new Map((await containerd.downloads()).map(({ ref, offset }) => [digestIn(ref), offset]));
  const look = async (): Promise<void> => {
    const before = sizes;
    sizes = await downloads();
    const isMoving = grewSince(before, sizes) || before.size !== sizes.size;
    await seek([...attempts]);
    await Promise.all([...attempts].map((attempt) => askForLayers(options, attempt, sizes)));
    skipped += Math.max(0, clock.now() - seenAt - BLINK);
    seenAt = clock.now();
    const at = now();
    if (isMoving) nodeMovedAt = at;
    for (const attempt of attempts) {
      const sample = { downloads: sizes, finished: attempt.finished, at };
      attempt.movement = advance(attempt.movement, attempt.candidates, attempt.before ?? sizes, sample);
    }
    await Promise.all([...attempts].map((attempt) => hold(options, attempt)));
    const isQueueing = options.nodeWideDownloads && sizes.size >= NODE_WIDE_DOWNLOADS;
    reportAll(options, attempts, { sizes, at, queuedUntil: isQueueing ? nodeMovedAt : 0 });
  };
  return {
    /** Records the downloads that exist before the first attempt. */
    begin: async (): Promise<void> => {
      sizes = await downloads().catch((error: unknown) => (toFailure(error), sizes));
      for (const attempt of attempts) attempt.before ??= sizes;
      seenAt = clock.now();
    },
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
      try {
        await look();
      } catch (error) {
        // Other errors may be gone at the next look. A containerd that does not come back ends the run.
        if (toFailure(error).class === "runtime") await untilBack().catch(toFailure);
      }
    },
  };
}

const digestIn = (ref: string): string => ref.slice(ref.indexOf("-") + 1);
const bytesOf = (layers: readonly Layer[]): number => sum(layers.map(({ size }) => size));

/** Finds candidates, repeatedly: those found first may be leftovers of another image in the repository. */
function manifestSeeker({ containerd, clock }: WatchOptions, whole: ReadonlySet<string>) {
  /** By digest. A manifest never changes. */
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
      // A blob that repositories share is on the node already, or soon will be: not worth a costly search at first.
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
          // The manifest may be gone since it was listed, with another attempt that failed.
          const layers = await layersOf(manifest).catch(unlessCode(CODE.notFound));
          const above = indexesAbove(manifest.digest, documents);
          return layers === undefined ? [] : [{ digest: manifest.digest, layers, above }];
        }),
      );
      attempt.candidates = found.flat().filter(mayBe(attempt.image));
    }
  };
}

/** Digests of the indexes that refer to a manifest, directly or through other indexes. */
function indexesAbove(digest: string, documents: readonly Blob[]): string[] {
  const parents = documents.filter((blob) => manifestsOf(blob).includes(digest));
  return parents.flatMap((parent) => [parent.digest, ...indexesAbove(parent.digest, documents)]);
}

/** An image that is wanted by digest has no other candidate. */
const mayBe =
  ({ source }: WantedImage) =>
  ({ digest, above }: Candidate): boolean =>
    source.digest === undefined || [digest, ...above].includes(source.digest);

/** Looks for layers whose downloads are gone, and at intervals for those that may have finished between two looks. */
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

/** Holds a moving candidate's documents and missing layers, if losing them would cost more than writing the lease. */
async function hold({ leases, clock }: WatchOptions, attempt: Attempt): Promise<void> {
  const { candidates, finished, movement, begunAt, image } = attempt;
  const moving = candidates.filter(({ layers }) => layers.some(({ digest }) => movement.active.has(digest)));
  for (const { digest, layers, above } of moving) {
    const missing = layers.filter((layer) => !finished.has(layer.digest));
    // With all layers here, only unpacking is left, and it would wait for a write to the database.
    if (missing.length === 0 || (bytesOf(missing) < LITTLE && clock.now() - begunAt < SLOW)) continue;
    await leases.hold(image.source.name, [
      ...[digest, ...above].map((id) => ({ type: "content" as const, id })),
      ...missing.map((layer) => ({ type: "ingests" as const, id: layerRef(layer.digest) })),
    ]);
  }
}

/** The candidate that is most likely the attempt's own: not another attempt's, and with the most active downloads. */
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
  /** When any download on the node last moved, if downloads may be queued; otherwise 0. */
  readonly queuedUntil: number;
}

function reportAll(options: WatchOptions, attempts: Iterable<Attempt>, seen: Seen): void {
  const taken = new Set<string>();
  for (const attempt of attempts) {
    const own = likeliest(attempt, taken);
    if (own !== undefined) taken.add(own.digest);
    report(options, attempt, own, seen);
  }
}

function report(
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
