// A run as data: what happens is an event, and every view of it (status.json, table, bars, exit code) is made from
// the state that the events add up to.
import { nextStep, type Failure } from "./failure.ts";
import type { PlannedImage } from "./plan.ts";
import type { Progress } from "./transfer.ts";

export const STEPS = ["import", "pull", "tag", "pin", "verify"] as const;
export type Step = (typeof STEPS)[number];

export const PHASES = [
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

export interface StepFailure extends Failure {
  readonly step: Step;
  readonly next: string;
}

export interface ImageState {
  readonly name: string;
  /** It stands for what an archive holds, until that is open; its name is the path. */
  readonly isArchive?: boolean;
  /** Source and further names. */
  readonly names: readonly string[];
  readonly required: boolean;
  readonly phase: Phase;
  readonly attempts: number;
  /** Epoch milliseconds of the first attempt, and of the last tag or pin or the failure. */
  readonly startedAt?: number;
  readonly endedAt?: number;
  readonly progress?: Progress;
  /** Epoch milliseconds of the next attempt. */
  readonly retryAt?: number;
  /** Id (digest of the configuration) and manifest digest, as CRI tells them after the run. */
  readonly id?: string;
  readonly digest?: string;
  readonly size?: number;
  readonly pinned?: boolean;
  /** The last failure; it stays when a later attempt succeeds, so that a flaky registry is seen. */
  readonly failure?: StepFailure;
}

export type RunPhase = "waiting-for-lock" | "waiting-for-runtime" | "importing" | "verifying" | "ended";

export interface RunState {
  readonly runId: string;
  readonly version: string;
  readonly pid: number;
  readonly startedAt: number;
  readonly endedAt?: number;
  readonly phase: RunPhase;
  /** The phase that a wait interrupted, and that goes on after it. */
  readonly interrupted?: RunPhase;
  readonly exitCode?: number;
  /** Why the run ended before its work was done. */
  readonly stopped?: string;
  readonly containerd?: string;
  readonly concurrency?: number;
  /** In the order of the list; an archive is known by its path until it is open. */
  readonly images: readonly ImageState[];
  readonly unpinned: readonly string[];
  readonly warnings: readonly string[];
}

export interface Verified {
  readonly id: string;
  readonly digest?: string;
  readonly size: number;
  readonly pinned: boolean;
}

export type RunEvent =
  | {
      readonly type: "run-started";
      readonly images: readonly Pick<ImageState, "name" | "isArchive" | "names" | "required">[];
    }
  | {
      readonly type: "waiting";
      readonly phase: "waiting-for-lock" | "waiting-for-runtime";
      readonly why: string;
    }
  | { readonly type: "runtime-ready"; readonly containerd: string; readonly concurrency: number }
  /** It answers again, after a wait in the middle of the run. */
  | { readonly type: "runtime-back" }
  | { readonly type: "planned"; readonly images: readonly PlannedImage[] }
  | { readonly type: "attempt-started"; readonly image: string; readonly attempt: number }
  | {
      readonly type: "attempt-failed";
      readonly image: string;
      readonly attempt: number;
      readonly failure: Failure;
      /** Milliseconds until the next attempt; unset when there is none. */
      readonly retryIn?: number;
    }
  | { readonly type: "progress"; readonly image: string; readonly progress: Progress }
  | { readonly type: "pulled"; readonly image: string; readonly attempt: number }
  | {
      /** An archive is on the node, under these names; it was there already unless `imported`. */
      readonly type: "archive-done";
      readonly image: string;
      readonly names: readonly string[];
      readonly imported: boolean;
    }
  | { readonly type: "tagged"; readonly image: string; readonly target: string; readonly moved: boolean }
  | { readonly type: "pinned"; readonly image: string; readonly digest: string }
  | { readonly type: "placed"; readonly image: string }
  | { readonly type: "unpinned"; readonly name: string }
  | {
      readonly type: "image-done";
      readonly image: string;
      readonly phase: "present" | "pulled" | "imported" | "kept";
      readonly verified: Verified;
    }
  | { readonly type: "image-failed"; readonly image: string; readonly step: Step; readonly failure: Failure }
  | { readonly type: "warning"; readonly message: string }
  /** Worth knowing, and nothing wrong. */
  | { readonly type: "note"; readonly message: string }
  | { readonly type: "verifying" }
  /** A bug of ours; its stack, redacted, is for the log and for nobody's screen. */
  | { readonly type: "internal-error"; readonly stack: string }
  | { readonly type: "run-ended"; readonly exitCode: number; readonly stopped?: string };

/** Hands an event to whoever watches the run. */
export type Emit = (event: RunEvent) => void;

export function startState(runId: string, version: string, pid: number, at: number): RunState {
  return {
    runId,
    version,
    pid,
    startedAt: at,
    phase: "waiting-for-lock",
    images: [],
    unpinned: [],
    warnings: [],
  };
}

export const imageOf = ({ images }: RunState, name: string): ImageState | undefined =>
  images.find((image) => image.name === name);

/** @param at epoch milliseconds at which the event happened */
export function applyEvent(state: RunState, event: RunEvent, at: number): RunState {
  switch (event.type) {
    case "run-started":
      return { ...state, images: event.images.map(waiting) };
    case "waiting":
      return {
        ...state,
        phase: event.phase,
        ...(WORKING.has(state.phase) ? { interrupted: state.phase } : {}),
      };
    case "runtime-back":
      return { ...state, phase: state.interrupted ?? state.phase };
    case "runtime-ready":
      return { ...state, phase: "importing", containerd: event.containerd, concurrency: event.concurrency };
    case "archive-done":
      return { ...state, images: openArchive(state.images, event.image, event.names) };
    case "verifying":
      return { ...state, phase: "verifying" };
    case "unpinned":
      return { ...state, unpinned: [...state.unpinned, event.name] };
    case "warning":
      return { ...state, warnings: [...state.warnings, event.message] };
    case "run-ended":
      return { ...state, ...ended(event), endedAt: at };
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

const WORKING = new Set<RunPhase>(["importing", "verifying"]);

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

const waiting = (image: Pick<ImageState, "name" | "isArchive" | "names" | "required">): ImageState => ({
  ...image,
  phase: "waiting",
  attempts: 0,
});

const ended = ({ exitCode, stopped }: Extract<RunEvent, { type: "run-ended" }>) => ({
  phase: "ended" as const,
  exitCode,
  ...(stopped === undefined ? {} : { stopped }),
});

type ImageEvent = Extract<
  RunEvent,
  {
    type:
      | "attempt-started"
      | "attempt-failed"
      | "progress"
      | "pulled"
      | "placed"
      | "image-done"
      | "image-failed";
  }
>;

function applyToImage(image: ImageState, event: ImageEvent, at: number): ImageState {
  switch (event.type) {
    case "attempt-started": {
      const { retryAt: _, ...rest } = image;
      return { ...rest, phase: "pulling", attempts: event.attempt, startedAt: image.startedAt ?? at };
    }
    case "attempt-failed": {
      const failure = stepFailure("pull", event.failure);
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
      return { ...image, phase: "failed", failure: stepFailure(event.step, event.failure), endedAt: at };
  }
}

/** Without the evidence, which is for the log: the state is written at each step. */
function stepFailure(step: Step, failure: Failure): StepFailure {
  const { evidence: _, ...told } = failure;
  return { ...told, step, next: failure.next ?? nextStep(failure.class) };
}

export interface Totals {
  readonly present: number;
  readonly pulled: number;
  readonly imported: number;
  readonly kept: number;
  readonly failed: number;
  /** Named and pinned, and still to be read back. */
  readonly placed: number;
  readonly unfinished: number;
}

export function totals(images: Iterable<Pick<ImageState, "phase">>): Totals {
  const all = [...images];
  const count = (test: (image: Pick<ImageState, "phase">) => boolean): number => all.filter(test).length;
  return {
    present: count((image) => image.phase === "present"),
    pulled: count((image) => image.phase === "pulled"),
    imported: count((image) => image.phase === "imported"),
    kept: count((image) => image.phase === "kept"),
    failed: count((image) => image.phase === "failed"),
    placed: count(({ phase }) => phase === "placed"),
    unfinished: count(({ phase }) => phase !== "failed" && phase !== "placed" && !IN_PLACE.has(phase)),
  };
}

export const IN_PLACE: ReadonlySet<Phase> = new Set<Phase>(["present", "pulled", "imported", "kept"]);

/** Whether every required image is in place and verified. */
export const isComplete = (state: RunState): boolean =>
  state.images.every((image) => !image.required || IN_PLACE.has(image.phase));
