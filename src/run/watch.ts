// Looks at containerd's downloads while images are pulled. One look feeds the progress that is shown, the detection of
// stalls, and the lease that lets a later attempt go on from what was fetched.
import { Failed } from "../core/failure.ts";
import { addTraffic, NODE_WIDE_DOWNLOADS, noTraffic, trafficBetween } from "../core/concurrency.ts";
import { configOf, isDocument, isFrom, manifestsOf, parseLayers } from "../core/content.ts";
import type { Blob, Layer } from "../core/node.ts";
import type { WantedImage } from "../core/plan.ts";
import {
  advance,
  layerRef,
  progressOf,
  stalledFor,
  startMovement,
  sum,
  type Download,
  type Movement,
  type Sample,
} from "../core/transfer.ts";
import { formatDuration } from "../core/units.ts";
import type { Context } from "./context.ts";
import type { Lease } from "./lease.ts";
import type { PullSlots } from "./slots.ts";

export interface WatchOptions extends Pick<Context, "config" | "containerd" | "clock" | "emit"> {
  readonly lease: Lease;
  readonly nodeWideDownloads: boolean;
  /** Ids of images that are whole, whose manifests are therefore not what is being pulled. */
  readonly whole: Iterable<string>;
  /** Told of each look. */
  readonly looked: PullSlots["looked"];
}

export interface Watch {
  /**
   * Watches one attempt, and aborts it when it stalls.
   * @param answered told when bytes of a layer come in this attempt; a manifest may be left from an earlier one
   * @returns how to stop watching
   */
  readonly begin: (image: WantedImage, abort: AbortController, answered: () => void) => () => void;
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
/** For layers that are neither open nor known to be here: they may wait for their turn, or be over already. */
const ASK_EVERY = 2_000;
/** Bytes, and milliseconds: a small image is mostly here before it is written down that its parts are to be kept. */
const LITTLE = 1_000_000;
const SLOW = 2_000;
/** A look that comes so much later than it should says nothing of what happened meanwhile. */
const BLINK = 5_000;

interface Attempt {
  readonly image: WantedImage;
  readonly abort: AbortController;
  readonly answered: () => void;
  movement: Movement;
  readonly begunAt: number;
  /** Indexes and manifests, once they are here, and the layers that they list. */
  documents: readonly Blob[];
  layers?: readonly Layer[];
  isHeld: boolean;
  /** Digests of layers that are here. */
  readonly finished: Set<string>;
  /** Digests of layers whose downloads were seen. */
  readonly begun: Set<string>;
  /** When it was last asked for those that are not. */
  askedAt?: number;
}

export function watchPulls(options: WatchOptions): Watch {
  const { clock } = options;
  const attempts = new Set<Attempt>();
  const whole = new Set(options.whole);
  const { begin, look, now } = looker(options, whole);
  const stopped = new AbortController();
  let looking: Promise<void> | undefined;
  let fresh = false;

  const keepLooking = async (): Promise<void> => {
    const quarter = options.config.stall_timeout / 4;
    begin();
    for (let next = clock.now(); attempts.size > 0 && !stopped.signal.aborted;) {
      await clock.sleep(Math.min(FIRST_LOOK, quarter), stopped.signal).catch(() => {});
      if (stopped.signal.aborted || attempts.size === 0 || (!fresh && clock.now() < next)) continue;
      fresh = false;
      next = clock.now() + Math.min(LOOK_EVERY, quarter);
      await look(attempts);
    }
    looking = undefined;
  };

  return {
    begin: (image, abort, answered) => {
      const attempt: Attempt = {
        image,
        abort,
        answered,
        movement: startMovement(now()),
        begunAt: clock.now(),
        documents: [],
        isHeld: false,
        finished: new Set(),
        begun: new Set(),
      };
      attempts.add(attempt);
      fresh = true;
      looking ??= keepLooking();
      return () => void attempts.delete(attempt);
    },
    pulled: (id) => void whole.add(id),
    sizeOf: (image) => {
      const { layers } = [...attempts].find((attempt) => attempt.image === image) ?? {};
      return layers && bytesOf(layers);
    },
    stop: async () => {
      stopped.abort();
      await looking;
    },
  };
}

/** One look at all attempts under way. */
function looker(options: WatchOptions, whole: ReadonlySet<string>) {
  const { config, containerd, clock } = options;
  let seen: readonly Download[] = [];
  let seenAt = clock.now();
  let received = noTraffic;
  let queued = options.nodeWideDownloads;
  /** Time in which nobody looked: the machine slept, or we did. It counts against no download, nor containerd. */
  let skipped = 0;
  const now = (): number => clock.now() - skipped;
  let answeredAt = now();
  let lookedAt = clock.now();
  /** Nobody looked while there was nothing to see. */
  const begin = (): void => {
    answeredAt = now();
    lookedAt = clock.now();
  };
  const look = async (attempts: ReadonlySet<Attempt>): Promise<void> => {
    const late = clock.now() - lookedAt - LOOK_EVERY;
    lookedAt = clock.now();
    if (late > BLINK) skipped += late;
    try {
      const downloads = await containerd.downloads();
      const open = byDigest(downloads);
      const { together, ...traffic } = trafficBetween(seen, downloads, clock.now() - seenAt);
      const moved =
        open.size >= NODE_WIDE_DOWNLOADS && (traffic.bytes > 0 || downloads.length !== seen.length);
      // The operator may have lifted it.
      queued &&= together <= NODE_WIDE_DOWNLOADS;
      received = addTraffic(received, traffic);
      options.looked({ ...received, queued });
      [seen, seenAt] = [downloads, clock.now()];
      await seekManifests(options, [...attempts], whole);
      await Promise.all([...attempts].map((attempt) => askForLayers(options, attempt, open)));
      await Promise.all([...attempts].map((attempt) => hold(options.lease, attempt, clock.now())));
      answeredAt = now();
      for (const attempt of attempts)
        observe(options, attempt, moved, { downloads: open, finished: attempt.finished, at: answeredAt });
    } catch {
      // containerd may be restarting; the attempts find out by themselves, unless it is frozen.
      const patience = config.containerd.ready_timeout;
      if (now() - answeredAt > patience) attempts.forEach(({ abort }) => abort.abort(frozen(patience)));
    }
  };
  return { begin, look, now };
}

const bytesOf = (layers: readonly Layer[]): number => sum(layers.map(({ size }) => size));

type Open = ReadonlyMap<string, number>;

const byDigest = (downloads: readonly Download[]): Open =>
  new Map(downloads.map(({ ref, offset }) => [ref.slice(ref.indexOf("-") + 1), offset]));

/** Finds the manifests of attempts that have just begun, and in them the layers. */
async function seekManifests(
  { containerd, clock }: WatchOptions,
  attempts: readonly Attempt[],
  whole: ReadonlySet<string>,
): Promise<void> {
  const unknown = attempts.filter(({ layers }) => layers === undefined);
  if (unknown.length === 0) return;
  const blobs = await containerd.blobs(
    // One that repositories share is here already, or soon will be: it is not worth what it costs to look for it first.
    unknown.map(({ image, begunAt }) => ({
      repository: image.source,
      shared: clock.now() - begunAt >= SLOW,
    })),
  );
  for (const attempt of unknown) {
    attempt.documents = documentsOf(attempt.image, blobs, whole);
    // One that has gone since it was listed, with another attempt that failed, has no layers to show.
    const read = await Promise.all(
      attempt.documents.map((document) => containerd.read(document).then(parseLayers, () => [])),
    );
    const layers = read.flat();
    if (layers.length > 0)
      attempt.layers = [...new Map(layers.map((layer) => [layer.digest, layer])).values()];
  }
}

/** Asks for layers whose downloads have gone, and now and then for those that were over before they could be seen. */
async function askForLayers(
  { containerd, clock }: WatchOptions,
  attempt: Attempt,
  open: Open,
): Promise<void> {
  const { layers = [], finished, begun, askedAt } = attempt;
  const missing = layers.filter(({ digest }) => !finished.has(digest) && !open.has(digest));
  const isTime = askedAt === undefined || clock.now() - askedAt >= ASK_EVERY;
  const asked = isTime ? missing : missing.filter(({ digest }) => begun.has(digest));
  if (asked.length === 0) return;
  attempt.askedAt = clock.now();
  const blobs = await Promise.all(asked.map(({ digest }) => containerd.blob(digest)));
  for (const blob of blobs) if (blob !== undefined) finished.add(blob.digest);
}

/** Holds an attempt's documents and layers to come, when losing them would cost more than writing that down. */
async function hold(lease: Lease, attempt: Attempt, now: number): Promise<void> {
  const { layers = [], finished, documents, isHeld, begunAt } = attempt;
  const missing = layers.filter(({ digest }) => !finished.has(digest));
  // With all of them here only unpacking is left, which a write to the database would keep waiting.
  if (isHeld || missing.length === 0 || (bytesOf(missing) < LITTLE && now - begunAt < SLOW)) return;
  attempt.isHeld = true;
  await lease.hold([
    ...documents.map(({ digest }) => ({ type: "content" as const, id: digest })),
    ...missing.map(({ digest }) => ({ type: "ingests" as const, id: layerRef(digest) })),
  ]);
}

/** Indexes and manifests of an image's repository that belong to no image that is whole. */
function documentsOf({ source }: WantedImage, blobs: readonly Blob[], whole: ReadonlySet<string>): Blob[] {
  const documents = blobs.filter((blob) => isDocument(blob) && isFrom(source, blob));
  const isWhole = (manifest: Blob): boolean => whole.has(configOf(manifest) ?? "");
  const settled = new Set(documents.filter(isWhole).map(({ digest }) => digest));
  return documents.filter(
    (blob) => !settled.has(blob.digest) && !manifestsOf(blob).some((digest) => settled.has(digest)),
  );
}

function observe(
  { config, emit, nodeWideDownloads }: WatchOptions,
  attempt: Attempt,
  moved: boolean,
  sample: Sample,
): void {
  const { layers, image } = attempt;
  attempt.movement = advance(attempt.movement, layers, moved, sample);
  for (const { digest } of layers ?? []) if (sample.downloads.has(digest)) attempt.begun.add(digest);
  if ([...attempt.movement.open.values()].some(({ grew }) => grew)) attempt.answered();
  if (layers !== undefined)
    emit({ type: "progress", image: image.source.name, progress: progressOf(layers, sample) });
  if (stalledFor(attempt.movement, nodeWideDownloads, sample.at) >= config.stall_timeout)
    attempt.abort.abort(stalled(config.stall_timeout, layers, sample));
}

function stalled(timeout: number, layers: readonly Layer[] | undefined, sample: Sample): Failed {
  const quiet = `no byte came for ${formatDuration(timeout)}`;
  const { layersDone, layers: count } = progressOf(layers ?? [], sample);
  const seen = layers === undefined ? "not even a manifest" : `with ${layersDone} of ${count} layers done`;
  return new Failed({ class: "stall", message: `${quiet}, ${seen}` });
}

const frozen = (patience: number): Failed =>
  new Failed({
    class: "runtime",
    message: `containerd did not answer for ${formatDuration(patience)}`,
  });
