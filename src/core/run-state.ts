// A run as data: what happens is an event, and every view of it (status.json, table, bars, exit code) is made from
// the state that the events add up to.
import { nextStep, type Failure } from "./failure.ts";
import type { Plan } from "./plan.ts";

export type Step = "pull" | "tag" | "pin" | "verify";

export type Phase =
  /** Not begun. */
  | "waiting"
  | "pulling"
  /** Between two attempts. */
  | "retrying"
  /** Tags and pins. */
  | "finishing"
  /** Ends: was there and is right; pulled anew; present, but its registry could not be asked for a newer one; failed. */
  | "present"
  | "pulled"
  | "kept"
  | "failed";

/** Bytes and layers of one image's download, as far as its manifest is known. */
export interface Progress {
  readonly received: number;
  readonly total?: number;
  readonly layersDone: number;
  readonly layers?: number;
}

export interface StepFailure extends Failure {
  readonly step: Step;
  readonly next: string;
}

export interface ImageState {
  readonly name: string;
  /** Source and further names. */
  readonly names: readonly string[];
  readonly required: boolean;
  readonly phase: Phase;
  readonly attempts: number;
  /** Epoch milliseconds of the first attempt and of the end. */
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
  readonly exitCode?: number;
  /** Why the run ended before its work was done. */
  readonly stopped?: string;
  readonly containerd?: string;
  readonly concurrency?: number;
  readonly images: ReadonlyMap<string, ImageState>;
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
      readonly images: readonly Pick<ImageState, "name" | "names" | "required">[];
    }
  | {
      readonly type: "waiting";
      readonly phase: "waiting-for-lock" | "waiting-for-runtime";
      readonly why: string;
    }
  | { readonly type: "runtime-ready"; readonly containerd: string; readonly concurrency: number }
  | { readonly type: "planned"; readonly plan: Plan }
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
  | { readonly type: "pulled"; readonly image: string; readonly attempt: number; readonly id: string }
  | { readonly type: "tagged"; readonly image: string; readonly target: string; readonly moved: boolean }
  | { readonly type: "pinned"; readonly image: string; readonly name: string }
  | { readonly type: "unpinned"; readonly name: string }
  | {
      readonly type: "image-done";
      readonly image: string;
      readonly phase: "present" | "pulled" | "kept";
      readonly verified: Verified;
    }
  | { readonly type: "image-failed"; readonly image: string; readonly step: Step; readonly failure: Failure }
  | { readonly type: "warning"; readonly message: string }
  | { readonly type: "verifying" }
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
    images: new Map(),
    unpinned: [],
    warnings: [],
  };
}

/** @param at epoch milliseconds at which the event happened */
export function applyEvent(state: RunState, event: RunEvent, at: number): RunState {
  switch (event.type) {
    case "run-started":
      return { ...state, images: new Map(event.images.map((image) => [image.name, waiting(image)])) };
    case "waiting":
      return { ...state, phase: event.phase };
    case "runtime-ready":
      return { ...state, phase: "importing", containerd: event.containerd, concurrency: event.concurrency };
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
      return state;
    default: {
      const image = state.images.get(event.image);
      if (image === undefined) return state;
      return { ...state, images: new Map(state.images).set(event.image, applyToImage(image, event, at)) };
    }
  }
}

const waiting = (image: Pick<ImageState, "name" | "names" | "required">): ImageState => ({
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
  { type: "attempt-started" | "attempt-failed" | "progress" | "pulled" | "image-done" | "image-failed" }
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
      return { ...image, phase: "finishing", attempts: event.attempt, id: event.id };
    case "image-done":
      return { ...image, ...event.verified, phase: event.phase, endedAt: at };
    case "image-failed":
      return { ...image, phase: "failed", failure: stepFailure(event.step, event.failure), endedAt: at };
  }
}

const stepFailure = (step: Step, failure: Failure): StepFailure => ({
  ...failure,
  step,
  next: nextStep(failure.class),
});

export interface Totals {
  readonly present: number;
  readonly pulled: number;
  readonly kept: number;
  readonly failed: number;
  readonly unfinished: number;
}

export function totals(images: Iterable<ImageState>): Totals {
  const all = [...images];
  const count = (test: (image: ImageState) => boolean): number => all.filter(test).length;
  return {
    present: count((image) => image.phase === "present"),
    pulled: count((image) => image.phase === "pulled"),
    kept: count((image) => image.phase === "kept"),
    failed: count((image) => image.phase === "failed"),
    unfinished: count(({ phase }) => phase !== "failed" && !IN_PLACE.has(phase)),
  };
}

const IN_PLACE: ReadonlySet<Phase> = new Set<Phase>(["present", "pulled", "kept"]);

/** Whether every required image is in place and verified. */
export const isComplete = (state: RunState): boolean =>
  [...state.images.values()].every((image) => !image.required || IN_PLACE.has(image.phase));
