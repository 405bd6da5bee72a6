// The state of a run. All views derive from it: status.json, table, bars, exit code.
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

// The schema of status.json. A field that exists in only one phase is declared with that phase.

const stepFailure = v.object({
  class: v.picklist(FAILURE_CLASSES),
  message: v.string(),
  step: v.picklist(STEPS),
  next: v.string(),
});
export type StepFailure = Readonly<v.InferOutput<typeof stepFailure>>;

/** The fields of an image in every phase. */
const common = {
  name: v.string(),
  /** Stands for the images of an archive until that is opened; `name` is its path. */
  isArchive: v.optional(v.boolean()),
  /** Source and further names. */
  names: texts,
  required: v.boolean(),
  attempts: count,
  /** Start of the first attempt. */
  startedAt: v.optional(time),
  progress: v.optional(progress),
  /** Failure of the last failed attempt. Kept after a later success, so that a flaky registry is visible. */
  failure: v.optional(stepFailure),
};

const IN_PLACE = ["present", "pulled", "imported", "kept"] as const;

/** Read back after the run. `id`: digest of the config. `digest`: that of the target. `size`: compressed bytes. */
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
  v.object({ ...common, phase: v.literal("waiting") }),
  v.object({ ...common, phase: v.literal("pulling") }),
  /** Between two attempts. */
  v.object({ ...common, phase: v.literal("retrying"), failure: stepFailure, retryAt: time }),
  /** On the node; its names and its pin are being created. */
  v.object({ ...common, phase: v.literal("tagging") }),
  /** Named and pinned; verified through CRI once all images are. */
  v.object({ ...common, phase: v.literal("unverified"), endedAt: time }),
  /** `present` before; `pulled`; `imported`; `kept`: present, but its registry could not be asked for a newer one. */
  inPlace,
  v.object({ ...common, phase: v.literal("failed"), endedAt: time, failure: stepFailure }),
]);
export type ImageState = Readonly<v.InferOutput<typeof imageState>>;
export type Phase = ImageState["phase"];
export type ImageInPlace = Readonly<v.InferOutput<typeof inPlace>>;
export type Verified = Pick<ImageInPlace, "id" | "digest" | "size" | "pinned">;

/** The fields of a run in every phase. */
const commonRun = {
  run: v.string(),
  version: v.string(),
  pid: v.number(),
  startedAt: time,
  containerd: v.optional(v.string()),
  concurrency: v.optional(count),
  /** In list order; the images of an opened archive come last. */
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
  /** `why`: reason for the wait, for messages. `next`: the phase that follows it. */
  v.object({ ...commonRun, phase: v.picklist(WAITS), why: v.string(), next: v.picklist(WORK) }),
  endedRun,
]);
export type RunState = Readonly<v.InferOutput<typeof runState>>;
export type WaitPhase = (typeof WAITS)[number];
export type EndedRun = Readonly<v.InferOutput<typeof endedRun>>;
export type Ending = Pick<EndedRun, "exitCode" | "stopped">;

/** Duration in milliseconds; undefined if it has not begun or not ended. */
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

/** Whether it is in place and verified. */
export const isInPlace = (image: ImageState): image is ImageInPlace =>
  IN_PLACE.some((phase) => phase === image.phase);

const COUNTED = [...IN_PLACE, "failed", "unverified"] as const;
/** Number of images per phase; `unfinished` counts those in any other phase. */
export type Totals = Readonly<Record<(typeof COUNTED)[number] | "unfinished", number>>;

export function totals(images: Iterable<Pick<ImageState, "phase">>): Totals {
  const sums = { present: 0, pulled: 0, imported: 0, kept: 0, failed: 0, unverified: 0, unfinished: 0 };
  for (const { phase } of images) sums[COUNTED.find((name) => name === phase) ?? "unfinished"] += 1;
  return sums;
}

/** Whether every required image is in place and verified. */
export const isComplete = ({ images }: Pick<RunState, "images">): boolean =>
  images.every((image) => !image.required || isInPlace(image));
