// status.json read back: the view of a run that the bars show, and what failed in it.
import * as v from "valibot";
import { FAILURE_CLASSES } from "../core/failure.ts";
import { PHASES, STEPS } from "../core/run-state.ts";
import type { View } from "./bars.ts";
import { isFailed, type FailedImage } from "./summary.ts";

const time = v.pipe(
  v.string(),
  v.transform((text) => Date.parse(text)),
  v.number(),
);
const count = v.pipe(v.number(), v.minValue(0));

const viewSchema = v.object({
  phase: v.picklist(["waiting-for-lock", "waiting-for-runtime", "importing", "verifying", "ended"]),
  startedAt: time,
  downloads: v.object({ received: count, total: count, unknown: count }),
  images: v.array(
    v.object({
      name: v.string(),
      phase: v.picklist(PHASES),
      attempts: count,
      startedAt: v.exactOptional(time),
      retryAt: v.exactOptional(time),
      failure: v.exactOptional(v.object({ class: v.picklist(FAILURE_CLASSES) })),
      progress: v.exactOptional(
        v.object({
          received: count,
          total: v.exactOptional(count),
          layersDone: count,
          layers: v.exactOptional(count),
        }),
      ),
    }),
  ),
});

/** Undefined for what another version wrote in another form. */
export function viewFromJson(status: unknown): View | undefined {
  const read = v.safeParse(viewSchema, status);
  return read.success ? read.output : undefined;
}

const failuresSchema = v.object({
  images: v.array(
    v.object({
      name: v.string(),
      required: v.boolean(),
      phase: v.picklist(PHASES),
      attempts: count,
      failure: v.exactOptional(
        v.object({
          class: v.picklist(FAILURE_CLASSES),
          message: v.string(),
          step: v.picklist(STEPS),
          next: v.string(),
        }),
      ),
    }),
  ),
});

/** Of a run that is over. None for what another version wrote in another form: the log has them all the same. */
export function failedFromJson(status: unknown): readonly FailedImage[] {
  const read = v.safeParse(failuresSchema, status);
  return read.success ? read.output.images.filter(isFailed) : [];
}
