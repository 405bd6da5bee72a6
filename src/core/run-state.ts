// The state of a run, from which every view of it is made: status.json, table, bars, exit code.
import * as v from "valibot";
import { FAILURE_CLASSES } from "./failure.ts";
import { count, progress } from "./transfer.ts";

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

const IN_PLACE = ["present", "pulled", "imported", "kept"] as const;

/** `id`: digest of the configuration, `digest`: of the target, as CRI tells them after the run. */
const inPlace = v.object({
  ...common,
  phase: v.picklist(IN_PLACE),
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
export type WaitPhase = (typeof WAITS)[number];
export type EndedRun = Readonly<v.InferOutput<typeof endedRun>>;
export type Ending = Pick<EndedRun, "exitCode" | "stopped">;

/** Milliseconds that it took; undefined for what has not begun, or not ended. */
export const lasted = (
  one: { readonly startedAt?: number | undefined; readonly endedAt?: number } = {},
): number | undefined =>
  one.startedAt === undefined || one.endedAt === undefined ? undefined : one.endedAt - one.startedAt;

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

/** Whether it is what was wanted, and was read back so. */
export const isInPlace = (image: ImageState): image is ImageInPlace =>
  IN_PLACE.some((phase) => phase === image.phase);

const COUNTED = [...IN_PLACE, "failed", "unverified"] as const;
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
