// A run as data: what happens is an event, and every view of it (status.json, table, bars, exit code) is made from
// the state that the events add up to.
import * as v from "valibot";
import { FAILURE_CLASSES, nextStep, type Failure } from "./failure.ts";
import type { PlannedImage } from "./plan.ts";
import { count, progress, type Progress } from "./transfer.ts";

const STEPS = ["import", "pull", "tag", "pin", "verify"] as const;
export type Step = (typeof STEPS)[number];

/** Epoch milliseconds; ISO 8601 in the file. */
const time = v.pipe(
  v.string(),
  v.toDate(),
  v.transform((date) => date.getTime()),
);
const texts = v.pipe(v.array(v.string()), v.readonly());

// The state as status.json has it, which is read by what it says here. What a phase alone has stands with the phase.

const stepFailure = v.object({
  class: v.picklist(FAILURE_CLASSES),
  message: v.string(),
  step: v.picklist(STEPS),
  next: v.string(),
});
export type StepFailure = Readonly<v.InferOutput<typeof stepFailure>>;

/** What an image has in each of its phases. */
const common = {
  name: v.string(),
  /** It stands for what an archive holds, until that is open; its name is the path. */
  isArchive: v.optional(v.boolean()),
  /** Source and further names. */
  names: texts,
  required: v.boolean(),
  attempts: count,
  /** Of the first attempt. */
  startedAt: v.optional(time),
  progress: v.optional(progress),
  /** Of the last attempt that failed; it stays when a later one succeeds, so that a flaky registry is seen. */
  failure: v.optional(stepFailure),
};

/** `id`: digest of the configuration, `digest`: of the target, as CRI tells them after the run. */
const inPlace = v.object({
  ...common,
  phase: v.picklist(["present", "pulled", "imported", "kept"]),
  endedAt: time,
  id: v.string(),
  digest: v.string(),
  size: count,
  pinned: v.boolean(),
});

const imageState = v.variant("phase", [
  /** Not begun. */
  v.object({ ...common, phase: v.literal("waiting") }),
  v.object({ ...common, phase: v.literal("pulling") }),
  /** Between two attempts. */
  v.object({ ...common, phase: v.literal("retrying"), failure: stepFailure, retryAt: time }),
  /** On the node; its names and its pin are being made. */
  v.object({ ...common, phase: v.literal("tagging") }),
  /** Named and pinned; it is read back through CRI when all are. */
  v.object({ ...common, phase: v.literal("unverified"), endedAt: time }),
  /** Was there and is right; pulled anew; came from an archive; present, but its registry could not be asked for a newer
   * one. */
  inPlace,
  v.object({ ...common, phase: v.literal("failed"), endedAt: time, failure: stepFailure }),
]);
export type ImageState = Readonly<v.InferOutput<typeof imageState>>;
export type Phase = ImageState["phase"];
export type ImageInPlace = Readonly<v.InferOutput<typeof inPlace>>;
export type Verified = Pick<ImageInPlace, "id" | "digest" | "size" | "pinned">;

/** What a run has in each of its phases. */
const commonRun = {
  run: v.string(),
  version: v.string(),
  pid: v.number(),
  startedAt: time,
  containerd: v.optional(v.string()),
  concurrency: v.optional(count),
  /** In the order of the list; an archive is known by its path until it is open. */
  images: v.pipe(v.array(imageState), v.readonly()),
  unpinned: texts,
  warnings: texts,
};
const WORK = ["starting", "importing", "verifying"] as const;
const WAITS = ["waiting-for-lock", "waiting-for-start", "waiting-for-runtime"] as const;

const endedRun = v.object({
  ...commonRun,
  phase: v.literal("ended"),
  endedAt: time,
  exitCode: v.number(),
  /** Why it ended before its work was done. */
  stopped: v.optional(v.string()),
});

export const runState = v.variant("phase", [
  v.object({ ...commonRun, phase: v.picklist(WORK) }),
  /** `why`: what it waits for, for a person. `next`: the phase that goes on after it. */
  v.object({ ...commonRun, phase: v.picklist(WAITS), why: v.string(), next: v.picklist(WORK) }),
  endedRun,
]);
export type RunState = Readonly<v.InferOutput<typeof runState>>;
export type EndedRun = Readonly<v.InferOutput<typeof endedRun>>;
export type Ending = Pick<EndedRun, "exitCode" | "stopped">;

type Listed = Pick<ImageState, "name" | "isArchive" | "names" | "required">;

interface Events {
  "run-started": { images: readonly Listed[] };
  waiting: { phase: (typeof WAITS)[number]; why: string };
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
    phase: ImageInPlace["phase"];
    verified: Verified;
  };
  "image-failed": { image: string; step: Step; failure: Failure };
  warning: { message: string };
  /** Worth knowing, and nothing wrong. */
  note: { message: string };
  verifying: object;
  /** A bug of ours; its stack, redacted, is for the log and for nobody's screen. */
  "internal-error": { stack: string };
  "run-ended": Ending;
}
export type EventType = keyof Events;
/** What happened: its type, and what is to be told of it. */
export type RunEvent<Type extends EventType = EventType> = {
  readonly [Each in EventType]: { readonly type: Each } & Readonly<Events[Each]>;
}[Type];

/** Milliseconds that it took; undefined for what has not begun, or not ended. */
export const lasted = (
  one: { readonly startedAt?: number | undefined; readonly endedAt?: number } = {},
): number | undefined =>
  one.startedAt === undefined || one.endedAt === undefined ? undefined : one.endedAt - one.startedAt;

/** Hands an event to whoever watches the run. */
export type Emit = (event: RunEvent) => void;

export const startState = (run: string, version: string, pid: number, at: number): RunState => ({
  run,
  version,
  pid,
  startedAt: at,
  phase: "starting",
  images: [],
  unpinned: [],
  warnings: [],
});

export const imageOf = ({ images }: RunState, name: string): ImageState | undefined =>
  images.find((image) => image.name === name);

/** @param at epoch milliseconds at which the event happened */
export function applyEvent(state: RunState, event: RunEvent, at: number): RunState {
  if (state.phase === "ended") return state;
  const next = "next" in state ? state.next : state.phase;
  const run = ofRun(state);
  switch (event.type) {
    case "run-started":
      return { ...run, phase: "starting", images: event.images.map(waiting) };
    case "waiting":
      return { ...run, phase: event.phase, why: event.why, next };
    case "runtime-back":
      return { ...run, phase: next };
    case "runtime-ready":
      return { ...run, phase: "importing", containerd: event.containerd, concurrency: event.concurrency };
    case "concurrency":
      return { ...state, concurrency: event.images };
    case "archive-done":
      return { ...state, images: openArchive(state.images, event.image, event.names) };
    case "verifying":
      return { ...run, phase: "verifying" };
    case "unpinned":
      return { ...state, unpinned: [...state.unpinned, event.name] };
    case "warning":
      return { ...state, warnings: [...state.warnings, event.message] };
    case "run-ended":
      return endRun(state, event, at);
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

/** @param at epoch milliseconds at which it ended */
export const endRun = (state: RunState, { exitCode, stopped }: Ending, at: number): EndedRun =>
  state.phase === "ended" ? state : { ...ofRun(state), phase: "ended", endedAt: at, exitCode, stopped };

/** What goes with a run from one phase to the next. */
const ofRun = ({
  run,
  version,
  pid,
  startedAt,
  containerd,
  concurrency,
  images,
  unpinned,
  warnings,
}: RunState) => ({ run, version, pid, startedAt, containerd, concurrency, images, unpinned, warnings });

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

function applyToImage(state: ImageState, event: ImageEvent, at: number): ImageState {
  const image = ofImage(state);
  switch (event.type) {
    case "attempt-started":
      return { ...image, phase: "pulling", attempts: event.attempt, startedAt: image.startedAt ?? at };
    case "attempt-failed": {
      const failure = failed("pull", event.failure);
      if (event.retryIn === undefined) return { ...state, failure };
      return { ...image, failure, phase: "retrying", retryAt: at + event.retryIn };
    }
    case "progress":
      return { ...state, progress: event.progress };
    case "pulled":
      return { ...image, phase: "tagging", attempts: event.attempt };
    case "placed":
      return { ...image, phase: "unverified", endedAt: at };
    case "image-done": {
      // All are read back together, which says nothing of the time that this one took.
      const endedAt = "endedAt" in state ? state.endedAt : at;
      return { ...image, ...event.verified, phase: event.phase, endedAt };
    }
    case "image-failed":
      return { ...image, phase: "failed", failure: failed(event.step, event.failure), endedAt: at };
  }
}

/** What goes with an image from one phase to the next. */
const ofImage = ({
  name,
  isArchive,
  names,
  required,
  attempts,
  startedAt,
  progress: received,
  failure,
}: ImageState) => ({ name, isArchive, names, required, attempts, startedAt, progress: received, failure });

const failed = (step: Step, { class: found, message, next = nextStep(found) }: Failure): StepFailure => ({
  class: found,
  message,
  step,
  next,
});

/** Whether it is what was wanted, and was read back so. */
export const isInPlace = (image: ImageState): image is ImageInPlace =>
  image.phase === "present" ||
  image.phase === "pulled" ||
  image.phase === "imported" ||
  image.phase === "kept";

const COUNTED = ["present", "pulled", "imported", "kept", "failed", "unverified"] as const;
/** Images by their phase; `unfinished` are all that are not counted by theirs. */
export type Totals = Readonly<Record<(typeof COUNTED)[number] | "unfinished", number>>;

export function totals(images: Iterable<Pick<ImageState, "phase">>): Totals {
  const sums = { present: 0, pulled: 0, imported: 0, kept: 0, failed: 0, unverified: 0, unfinished: 0 };
  for (const { phase } of images) sums[COUNTED.find((name) => name === phase) ?? "unfinished"] += 1;
  return sums;
}

/** Whether every required image is in place and verified. */
export const isComplete = ({ images }: Pick<RunState, "images">): boolean =>
  images.every((image) => !image.required || isInPlace(image));
