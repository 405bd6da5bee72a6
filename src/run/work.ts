// The work on the images: each is pulled if it has to be, named, pinned. One failure never stops another, except that
// a full disk or a lost runtime leaves nothing to try.
import type { Failure, FailureClass } from "../core/failure.ts";
import {
  longestFirst,
  type Listing,
  type NodeState,
  type PlannedPull,
  type SizeOf,
  type WantedImage,
} from "../core/plan.ts";
import type { RetryPolicy } from "../core/retry.ts";
import type { Emit, Step } from "../core/run-state.ts";
import type { ImageRuntime } from "../runtime/image-runtime.ts";
import type { DiskGuard } from "./disk.ts";
import { FinishFailed, finishImage } from "./finish.ts";
import type { Observer } from "./observer.ts";
import { Interruption } from "./interruption.ts";
import { commandFailure } from "./tool-failure.ts";
import type { Pull } from "./pull.ts";
import { slots } from "./slots.ts";
import type { Stopper } from "./stopper.ts";
import type { Expected } from "./verify.ts";

export interface WorkOptions {
  readonly pulls: readonly PlannedPull[];
  readonly present: Listing;
  /** The node with its labels, which are read while the first pulls are under way. Rejects with an Interruption. */
  readonly node: Promise<NodeState>;
  readonly pinning: boolean;
  readonly local: boolean;
  readonly runtime: Pick<ImageRuntime, "tag" | "pin">;
  readonly pull: Pull;
  readonly retry: RetryPolicy;
  readonly observer: Pick<Observer, "pulled" | "done">;
  readonly disk: Pick<DiskGuard, "describe">;
  readonly stop: Stopper;
  /** Names that came from archives in this run. */
  readonly imported: ReadonlySet<string>;
  readonly sizeOf: SizeOf;
  readonly emit: Emit;
}

/** Tags and pins at once; beside pulls, whose slots they do not take. containerd's database has a single writer. */
const FINISHING = 4;
/** Attempts to look up an implicit `:latest` of an image that is here: nobody asked for it, so nobody waits for it. */
const FRESHNESS_ATTEMPTS = 2;

/** @returns the images that should now be right, to be verified */
export async function workOff(options: WorkOptions): Promise<Expected[]> {
  const finishing = slots(FINISHING);
  const ordered = longestFirst(options.pulls, options.sizeOf);
  const obtained = new Map<string, Promise<Obtained | undefined>>();
  // Those that share a digest last: they wait for the one that is pulled.
  const inTurn = ordered.toSorted((a, b) => Number(isShared(a)) - Number(isShared(b)));
  const results = await Promise.all(
    inTurn.map(async (planned): Promise<Expected[]> => {
      const obtaining = share(options, planned, obtained).then(
        (shared) => shared ?? obtain(options, planned),
      );
      obtained.set(planned.image.source.name, obtaining);
      const outcome = await obtaining;
      const expected =
        outcome === undefined ? [] : await finishing(() => finish(options, planned.image, outcome));
      // Last, because it is one more call of a tool, and nobody waits for it.
      options.observer.done(planned.image);
      return expected;
    }),
  );
  return results.flat();
}

const isShared = ({ decision }: PlannedPull): boolean => decision.action === "share";

/** Gives the image the name of one with the same digest; undefined where that is not to be or cannot be done. */
async function share(
  { present, node, runtime, emit }: WorkOptions,
  { image, decision }: PlannedPull,
  obtained: ReadonlyMap<string, Promise<Obtained | undefined>>,
): Promise<Obtained | undefined> {
  if (decision.action !== "share") return undefined;
  const { sameAs } = decision;
  const id = present.get(sameAs)?.id ?? (await obtained.get(sameAs))?.id;
  const name = image.source.name;
  if (id === undefined) return undefined;
  try {
    // By then nothing carries a pin any more that is not wanted, and that a tag would hand on.
    await node;
    await runtime.tag(sameAs, [name], { local: false });
  } catch {
    // Whatever is wrong with the other name or the labels, a pull does not need them.
    return undefined;
  }
  emit({ type: "tagged", image: name, target: name, moved: false });
  return { id, how: "pulled" };
}

interface Obtained {
  readonly id: string;
  readonly how: Expected["how"];
}

/** The image's id, pulled or not; undefined when it failed. */
async function obtain(options: WorkOptions, { image, decision }: PlannedPull): Promise<Obtained | undefined> {
  const present = options.present.get(image.source.name);
  if (decision.action === "keep" && present !== undefined) {
    return { id: present.id, how: options.imported.has(image.source.name) ? "imported" : "present" };
  }
  const optional = image.pullPolicy === "implicit-Always" && present !== undefined;
  const { attempts } = options.retry;
  const pulled = await options.pull(image, optional ? Math.min(attempts, FRESHNESS_ATTEMPTS) : attempts);
  if (pulled.ok) {
    options.observer.pulled(pulled.id);
    return { id: pulled.id, how: "pulled" };
  }
  if (optional && UNREACHABLE.has(pulled.failure.class))
    return keep(options, image, present.id, pulled.failure);
  await fail(options, image, "pull", pulled.failure);
  return undefined;
}

/** The registry could not be asked, as opposed to what it answered. */
const UNREACHABLE = new Set<FailureClass>([
  "network",
  "server",
  "rate-limit",
  "transfer",
  "stall",
  "timeout",
]);

function keep({ emit }: WorkOptions, image: WantedImage, id: string, failure: Failure): Obtained {
  const message = `${image.source.name} is kept as it is: its registry could not be asked for a newer one (${failure.class}: ${failure.message})`;
  emit({ type: "warning", message });
  return { id, how: "kept" };
}

async function finish(options: WorkOptions, image: WantedImage, { id, how }: Obtained): Promise<Expected[]> {
  try {
    await finishImage({ ...options, node: await options.node }, image, id, how === "pulled");
    options.emit({ type: "placed", image: image.source.name });
    return [{ image, id, how }];
  } catch (error) {
    const [step, failure] = finishFailure(error);
    await fail(options, image, step, failure);
    return [];
  }
}

function finishFailure(error: unknown): readonly [Step, Failure] {
  if (error instanceof FinishFailed) return [error.step, commandFailure(error.cause)];
  // The labels of the node could not be read.
  if (error instanceof Interruption) return ["pin", { class: error.class, message: error.message }];
  throw error;
}

async function fail(
  { emit, stop, disk }: WorkOptions,
  image: WantedImage,
  step: Step,
  failure: Failure,
): Promise<void> {
  const full = failure.class === "disk" && !stop.signal.aborted;
  const room = full ? await disk.describe() : "";
  const message = full ? `${failure.message} (${room})` : failure.message;
  emit({ type: "image-failed", image: image.source.name, step, failure: { class: failure.class, message } });
  if (full) stop.diskFull(room);
}
