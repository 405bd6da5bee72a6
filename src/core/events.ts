// The events of a run, and how they change its state.
import { nextStep, type Failure } from "./failure.ts";
import type { PlannedImage } from "./plan.ts";
import type {
  EndedRun,
  Ending,
  ImageInPlace,
  ImageState,
  RunState,
  Step,
  StepFailure,
  Verified,
  WaitPhase,
} from "./run-state.ts";
import type { Progress } from "./transfer.ts";

type Listed = Pick<ImageState, "name" | "isArchive" | "names" | "required">;

interface Events {
  "run-started": { images: readonly Listed[] };
  waiting: { phase: WaitPhase; why: string };
  "runtime-ready": { containerd: string; concurrency: number };
  /** The new limit of parallel pulls. */
  concurrency: { images: number; why: string };
  /** containerd answers again after it was away during the run. */
  "runtime-back": object;
  planned: { images: readonly PlannedImage[] };
  "attempt-started": { image: string; attempt: number };
  /** `retryIn`: milliseconds until the next attempt; unset if there is none. */
  "attempt-failed": { image: string; attempt: number; failure: Failure; retryIn?: number };
  progress: { image: string; progress: Progress };
  pulled: { image: string; attempt: number };
  /** The archive's images are on the node under these names. Without `imported`, they were there before. */
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
  /** Worth knowing, but no problem. */
  note: { message: string };
  /** Images whose blobs and files were compared with containerd's database, and how many of them are damaged. */
  examined: { images: number; damaged: number; ms: number };
  /** This run's new content is on the disk. */
  synced: { ms: number };
  verifying: object;
  /** A bug in this program. The redacted stack goes to the log only, never to the screen. */
  "internal-error": { stack: string };
  "run-ended": Ending;
}
export type EventType = keyof Events;
export type RunEvent<Type extends EventType = EventType> = {
  readonly [Each in EventType]: { readonly type: Each } & Readonly<Events[Each]>;
}[Type];

export type Emit = (event: RunEvent) => void;

/** @param at time of the event, epoch milliseconds */
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
    case "examined":
    case "synced":
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

/** @param at end of the run, epoch milliseconds */
export const endRun = (state: RunState, { exitCode, stopped }: Ending, at: number): EndedRun =>
  state.phase === "ended" ? state : { ...ofRun(state), phase: "ended", endedAt: at, exitCode, stopped };

/** The fields that a run keeps from phase to phase. */
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

/** Replaces an archive with the images that it holds, without those that the list names too. */
function openArchive(
  images: RunState["images"],
  archive: string,
  names: readonly string[],
): RunState["images"] {
  const required = images.every((image) => image.name !== archive || image.required);
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
      // All images are verified together, so that moment is not the end of this one.
      const endedAt = "endedAt" in state ? state.endedAt : at;
      return { ...image, ...event.verified, phase: event.phase, endedAt };
    }
    case "image-failed":
      return { ...image, phase: "failed", failure: failed(event.step, event.failure), endedAt: at };
  }
}

/** The fields that an image keeps from phase to phase. */
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
