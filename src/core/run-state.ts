// A run as data: what happens is an event, and every view of it (status.json, table, bars, exit code) is made from
// the state that the events add up to.
import * as v from "valibot";
import { FAILURE_CLASSES, nextStep, type Failure } from "./failure.ts";
import type { PlannedImage } from "./plan.ts";

const STEPS = ["import", "pull", "tag", "pin", "verify"] as const;
export type Step = (typeof STEPS)[number];

const PHASES = [
  /** Not begun. */
  "waiting",
  "pulling",
  /** Between two attempts. */
  "retrying",
  /** Tags and pins. */
  "finishing",
  /** Named and pinned; it is read back through CRI when all are. */
  "placed",
  /** Ends: was there and is right; pulled anew; came from an archive; present, but its registry could not be asked for
   * a newer one; failed. */
  "present",
  "pulled",
  "imported",
  "kept",
  "failed",
] as const;
export type Phase = (typeof PHASES)[number];

// The state as status.json has it, which is read by what it says here.

const count = v.pipe(v.number(), v.minValue(0));
/** Epoch milliseconds. */
const time = v.pipe(
  v.string(),
  v.toDate(),
  v.transform((date) => date.getTime()),
);
const list = <Item extends v.GenericSchema>(item: Item) => v.pipe(v.array(item), v.readonly());

/** Bytes and layers of one image's download, as far as its manifest is known. */
const progress = v.object({
  received: count,
  total: v.exactOptional(count),
  layersDone: count,
  layers: v.exactOptional(count),
  /** Each layer by itself, so that one that several images share is counted once. They are many, and in no file. */
  parts: v.exactOptional(list(v.object({ digest: v.string(), size: count, received: count }))),
});
export type Progress = Readonly<v.InferOutput<typeof progress>>;

const stepFailure = v.object({
  // Another version may know more of them.
  class: v.fallback(v.picklist(FAILURE_CLASSES), "unknown"),
  message: v.string(),
  step: v.picklist(STEPS),
  next: v.string(),
});
export type StepFailure = Readonly<v.InferOutput<typeof stepFailure>>;

const imageState = v.object({
  name: v.string(),
  /** It stands for what an archive holds, until that is open; its name is the path. */
  isArchive: v.exactOptional(v.boolean()),
  /** Source and further names. */
  names: list(v.string()),
  required: v.boolean(),
  phase: v.picklist(PHASES),
  attempts: count,
  /** Of the first attempt, and of the last tag or pin or the failure. */
  startedAt: v.exactOptional(time),
  endedAt: v.exactOptional(time),
  progress: v.exactOptional(progress),
  /** Of the next attempt. */
  retryAt: v.exactOptional(time),
  /** Digests of the configuration and of the target, as CRI tells them after the run. */
  id: v.exactOptional(v.string()),
  digest: v.exactOptional(v.string()),
  size: v.exactOptional(count),
  pinned: v.exactOptional(v.boolean()),
  /** The last failure; it stays when a later attempt succeeds, so that a flaky registry is seen. */
  failure: v.exactOptional(stepFailure),
});
export type ImageState = Readonly<v.InferOutput<typeof imageState>>;
export type Verified = Pick<ImageState, "digest"> & Required<Pick<ImageState, "id" | "size" | "pinned">>;

export const runState = v.object({
  run: v.string(),
  version: v.string(),
  pid: v.number(),
  startedAt: time,
  endedAt: v.exactOptional(time),
  phase: v.picklist(["waiting-for-lock", "waiting-for-runtime", "importing", "verifying", "ended"]),
  exitCode: v.exactOptional(v.number()),
  /** Why the run ended before its work was done. */
  stopped: v.exactOptional(v.string()),
  containerd: v.exactOptional(v.string()),
  concurrency: v.exactOptional(count),
  /** In the order of the list; an archive is known by its path until it is open. */
  images: list(imageState),
  unpinned: list(v.string()),
  warnings: list(v.string()),
});
export type RunState = Readonly<v.InferOutput<typeof runState>> & {
  /** The phase that a wait interrupted, and that goes on after it. */
  readonly interrupted?: "importing" | "verifying";
};

type Listed = Pick<ImageState, "name" | "isArchive" | "names" | "required">;

interface Events {
  "run-started": { images: readonly Listed[] };
  waiting: { phase: "waiting-for-lock" | "waiting-for-runtime"; why: string };
  "runtime-ready": { containerd: string; concurrency: number };
  /** From now on, so many are pulled at once. */
  concurrency: { images: number; why: string };
  /** It answers again, after a wait in the middle of the run. */
  "runtime-back": object;
  planned: { images: readonly PlannedImage[] };
  "attempt-started": { image: string; attempt: number };
  /** `retryIn`: milliseconds until the next attempt; unset when there is none. */
  "attempt-failed": { image: string; attempt: number; failure: Failure; retryIn?: number };
  progress: { image: string; progress: Progress };
  pulled: { image: string; attempt: number };
  /** An archive is on the node, under these names; it was there already unless `imported`. */
  "archive-done": { image: string; names: readonly string[]; imported: boolean };
  tagged: { image: string; target: string; moved: boolean };
  pinned: { image: string; digest: string };
  placed: { image: string };
  unpinned: { name: string };
  "image-done": {
    image: string;
    phase: "present" | "pulled" | "imported" | "kept";
    verified: Verified;
  };
  "image-failed": { image: string; step: Step; failure: Failure };
  warning: { message: string };
  /** Worth knowing, and nothing wrong. */
  note: { message: string };
  verifying: object;
  /** A bug of ours; its stack, redacted, is for the log and for nobody's screen. */
  "internal-error": { stack: string };
  "run-ended": { exitCode: number; stopped?: string };
}
export type EventType = keyof Events;
/** What happened: its type, and what is to be told of it. */
export type RunEvent<Type extends EventType = EventType> = {
  readonly [Each in EventType]: { readonly type: Each } & Readonly<Events[Each]>;
}[Type];

/** Milliseconds that it took; undefined for what has not begun, or not ended. */
export const lasted = (one: Partial<Pick<ImageState, "startedAt" | "endedAt">> = {}): number | undefined =>
  one.startedAt === undefined || one.endedAt === undefined ? undefined : one.endedAt - one.startedAt;

/** Hands an event to whoever watches the run. */
export type Emit = (event: RunEvent) => void;

export const startState = (run: string, version: string, pid: number, at: number): RunState => ({
  run,
  version,
  pid,
  startedAt: at,
  phase: "waiting-for-lock",
  images: [],
  unpinned: [],
  warnings: [],
});

export const imageOf = ({ images }: RunState, name: string): ImageState | undefined =>
  images.find((image) => image.name === name);

/** @param at epoch milliseconds at which the event happened */
export function applyEvent(state: RunState, event: RunEvent, at: number): RunState {
  switch (event.type) {
    case "run-started":
      return { ...state, images: event.images.map(waiting) };
    case "waiting": {
      const { phase } = state;
      const interrupted = phase === "importing" || phase === "verifying" ? { interrupted: phase } : {};
      return { ...state, ...interrupted, phase: event.phase };
    }
    case "runtime-back":
      return { ...state, phase: state.interrupted ?? state.phase };
    case "runtime-ready":
      return { ...state, phase: "importing", containerd: event.containerd, concurrency: event.concurrency };
    case "concurrency":
      return { ...state, concurrency: event.images };
    case "archive-done":
      return { ...state, images: openArchive(state.images, event.image, event.names) };
    case "verifying":
      return { ...state, phase: "verifying" };
    case "unpinned":
      return { ...state, unpinned: [...state.unpinned, event.name] };
    case "warning":
      return { ...state, warnings: [...state.warnings, event.message] };
    case "run-ended": {
      const { type: _, ...ending } = event;
      return { ...state, ...ending, phase: "ended", endedAt: at };
    }
    case "planned":
    case "tagged":
    case "pinned":
    case "note":
    case "internal-error":
      return state;
    default: {
      const index = state.images.findIndex(({ name }) => name === event.image);
      const image = state.images[index];
      if (image === undefined) return state;
      return { ...state, images: state.images.with(index, applyToImage(image, event, at)) };
    }
  }
}

/** In place of an archive stand the images that it holds, unless the list names them too. */
function openArchive(
  images: RunState["images"],
  archive: string,
  names: readonly string[],
): RunState["images"] {
  const required = images.find(({ name }) => name === archive)?.required ?? true;
  const others = images.filter(({ name }) => name !== archive);
  const known = new Set(others.flatMap((image) => image.names));
  const held = [...new Set(names).difference(known)];
  return [...others, ...held.map((name) => waiting({ name, names: [name], required }))];
}

const waiting = (image: Listed): ImageState => ({ ...image, phase: "waiting", attempts: 0 });

type ImageEvent = RunEvent<
  "attempt-started" | "attempt-failed" | "progress" | "pulled" | "placed" | "image-done" | "image-failed"
>;

function applyToImage(image: ImageState, event: ImageEvent, at: number): ImageState {
  switch (event.type) {
    case "attempt-started": {
      const { retryAt: _, ...rest } = image;
      return { ...rest, phase: "pulling", attempts: event.attempt, startedAt: image.startedAt ?? at };
    }
    case "attempt-failed": {
      const failure = failed("pull", event.failure);
      if (event.retryIn === undefined) return { ...image, failure };
      return { ...image, failure, phase: "retrying", retryAt: at + event.retryIn };
    }
    case "progress":
      return { ...image, progress: event.progress };
    case "pulled":
      return { ...image, phase: "finishing", attempts: event.attempt };
    case "placed":
      return { ...image, phase: "placed", endedAt: at };
    case "image-done":
      // All are read back together, which says nothing of the time that this one took.
      return { ...image, ...event.verified, phase: event.phase, endedAt: image.endedAt ?? at };
    case "image-failed":
      return { ...image, phase: "failed", failure: failed(event.step, event.failure), endedAt: at };
  }
}

const failed = (step: Step, { class: found, message, next = nextStep(found) }: Failure): StepFailure => ({
  class: found,
  message,
  step,
  next,
});

const COUNTED = ["present", "pulled", "imported", "kept", "failed", "placed"] as const;
/** Images by their phase; `placed` are still to be read back, `unfinished` are all others. */
export type Totals = Readonly<Record<(typeof COUNTED)[number] | "unfinished", number>>;

export function totals(images: Iterable<Pick<ImageState, "phase">>): Totals {
  const sums = { present: 0, pulled: 0, imported: 0, kept: 0, failed: 0, placed: 0, unfinished: 0 };
  for (const { phase } of images) sums[COUNTED.find((name) => name === phase) ?? "unfinished"] += 1;
  return sums;
}

export const IN_PLACE: ReadonlySet<Phase> = new Set<Phase>(["present", "pulled", "imported", "kept"]);

/** Whether every required image is in place and verified. */
export const isComplete = (state: RunState): boolean =>
  state.images.every((image) => !image.required || IN_PLACE.has(image.phase));
