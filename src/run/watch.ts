// Watches containerd's downloads during pulls. Each look feeds the progress, the detection of stalls, and the lease
// from which a later attempt resumes.
// An attempt stalls only if no download of any candidate moves.
import { Failed } from "../core/failure.ts";
import type { Layer } from "../core/node.ts";
import type { WantedImage } from "../core/plan.ts";
import {
  advance,
  grewSince,
  layerRef,
  progressOf,
  silentFor,
  startMovement,
  sum,
  type Sizes,
} from "../core/transfer.ts";
import { formatDuration } from "../core/units.ts";
import { isSlow, likeliest, searcher, type Candidate, type Search } from "./candidates.ts";
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
/** Bytes. A small image is almost complete before a lease for its parts could be written. */
const LITTLE = 1_000_000;
/** Milliseconds. No look counts as later than this: the machine slept, or containerd did not answer. */
const BLINK = 8_000;
/** containerd's default for the whole node, since 2.1. With fewer downloads, queued ones included, none waits. */
const NODE_WIDE_DOWNLOADS = 3;

interface Attempt extends Watched, Search {
  /** Downloads at the start of the attempt, once known. */
  before?: Sizes;
  /** The candidate that is most likely its own. */
  own?: Candidate | undefined;
}

export function watchPulls(options: WatchOptions): Watch {
  const { clock, crashed } = options;
  const attempts = new Set<Attempt>();
  const whole = new Set(options.whole);
  const stopped = new AbortController();
  const looker = lookerAt(options, attempts, whole);
  let looking: Promise<void> | undefined;
  let nextAt = 0;

  const isPulling = async (): Promise<boolean> => {
    await clock.sleep(FIRST_LOOK, stopped.signal).catch(() => {});
    return attempts.size > 0 && !stopped.signal.aborted;
  };
  const keepLooking = async (): Promise<void> => {
    await looker.begin();
    while (await isPulling()) {
      if (clock.now() < nextAt) continue;
      nextAt = clock.now() + LOOK_EVERY;
      await looker.look();
    }
    looking = undefined;
  };

  return {
    begin: (image, watched) => {
      const attempt: Attempt = {
        ...watched,
        image,
        begunAt: clock.now(),
        movement: startMovement(looker.now()),
        candidates: [],
        askedAt: Number.NEGATIVE_INFINITY,
        finished: new Set(),
      };
      attempts.add(attempt);
      nextAt = 0;
      looking ??= keepLooking().catch(crashed);
      // `stop` rethrows the error. This only prevents an unhandled rejection.
      looking.catch(() => {});
      return () => void attempts.delete(attempt);
    },
    pulled: (id) => void whole.add(id),
    sizeOf: (image) => {
      const own = [...attempts].find((each) => each.image === image)?.own;
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
  const { containerd, clock, untilBack, nodeWideDownloads } = options;
  const search = searcher(options, whole);
  /** Downloads at the last look, if known. */
  let last: Sizes | undefined;
  /** The last look: when it was by the clock, and in milliseconds that count. */
  let [lookedAt, at] = [clock.now(), 0];
  let nodeMovedAt = 0;
  const now = (): number => at + Math.min(clock.now() - lookedAt, BLINK);

  const downloads = async (): Promise<Sizes> =>
    new Map((await containerd.downloads()).map(({ ref, offset }) => [digestIn(ref), offset]));
  const look = async (): Promise<void> => {
    const sizes = await downloads();
    const before = last ?? sizes;
    last = sizes;
    for (const attempt of attempts) attempt.before ??= before;
    await search([...attempts], sizes);
    [at, lookedAt] = [now(), clock.now()];
    if (grewSince(before, sizes) || before.size !== sizes.size) nodeMovedAt = at;
    for (const attempt of attempts) {
      const sample = { downloads: sizes, finished: attempt.finished, at };
      attempt.movement = advance(attempt.movement, attempt.candidates, attempt.before ?? sizes, sample);
    }
    await Promise.all([...attempts].map((attempt) => hold(options, attempt)));
    const isQueueing = nodeWideDownloads && sizes.size >= NODE_WIDE_DOWNLOADS;
    conclude(options, attempts, { sizes, at, queuedUntil: isQueueing ? nodeMovedAt : 0 });
  };
  return {
    now,
    /** Records the downloads that exist before the first attempt. */
    begin: async (): Promise<void> => {
      last = await downloads().catch((error: unknown) => void toFailure(error));
    },
    look: (): Promise<void> =>
      look().catch(async (error: unknown) => {
        // Other errors may be gone at the next look. A containerd that does not come back ends the run.
        if (toFailure(error).class === "runtime") await untilBack().catch(toFailure);
      }),
  };
}

const digestIn = (ref: string): string => ref.slice(ref.indexOf("-") + 1);
const bytesOf = (layers: readonly Layer[]): number => sum(layers.map(({ size }) => size));

/** Holds a moving candidate's documents and missing layers, if losing them would cost more than writing the lease. */
async function hold({ leases, clock }: WatchOptions, attempt: Attempt): Promise<void> {
  const { candidates, finished, movement, image } = attempt;
  const moving = candidates.filter(({ layers }) => layers.some(({ digest }) => movement.active.has(digest)));
  for (const { digest, layers, above } of moving) {
    const missing = layers.filter((layer) => !finished.has(layer.digest));
    const isLittle = bytesOf(missing) < LITTLE && !isSlow(attempt, clock.now());
    // With all layers here, only unpacking is left, and it would wait for a write to the database.
    if (missing.length === 0 || isLittle) continue;
    await leases.hold(image.source.name, [
      ...[digest, ...above].map((id) => ({ type: "content" as const, id })),
      ...missing.map((layer) => ({ type: "ingests" as const, id: layerRef(layer.digest) })),
    ]);
  }
}

interface Seen {
  readonly sizes: Sizes;
  readonly at: number;
  /** When any download on the node last moved, if downloads may be queued; otherwise 0. */
  readonly queuedUntil: number;
}

/** Reports the progress of each attempt, and ends those that stall. */
function conclude({ config, emit }: WatchOptions, attempts: Iterable<Attempt>, seen: Seen): void {
  const { sizes, at, queuedUntil } = seen;
  const taken = new Set<string | undefined>();
  for (const attempt of attempts) {
    const { movement, finished, image, patience, progressed, abort } = attempt;
    const own = likeliest(attempt, taken);
    attempt.own = own;
    taken.add(own?.digest);
    const progress = own && progressOf(own.layers, { downloads: sizes, finished, at });
    if (movement.bytesAt === at) progressed("bytes");
    else if (movement.isComplete) progressed("complete");
    if (progress !== undefined) emit({ type: "progress", image: image.source.name, progress });
    const bound = movement.hasBytes ? config.stall_timeout : patience;
    if (silentFor(movement, queuedUntil, at) < bound) continue;
    const layers = progress && `with ${progress.layersDone} of ${progress.layers} layers done`;
    const message = `no data came for ${formatDuration(bound)}, ${layers ?? "not even the manifest"}`;
    abort.abort(new Failed({ class: "stall", message }));
  }
}
