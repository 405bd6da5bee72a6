// Reads status.json: the state of the last run, or of the one in progress.
import { existsSync } from "node:fs";
import path from "node:path";
import * as v from "valibot";
import { FAILURE_CLASSES } from "../core/failure.ts";
import { PHASES, STEPS } from "../core/run-state.ts";
import { readRegular } from "./regular-file.ts";

/** Epoch milliseconds. */
const time = v.pipe(
  v.string(),
  v.transform((text) => Date.parse(text)),
  v.number(),
);
const count = v.pipe(v.number(), v.minValue(0));

const failure = v.object({
  // Another version may know more of them.
  class: v.fallback(v.picklist(FAILURE_CLASSES), "unknown"),
  message: v.string(),
  step: v.picklist(STEPS),
  next: v.string(),
});

const progress = v.object({
  received: count,
  total: v.exactOptional(count),
  layersDone: count,
  layers: v.exactOptional(count),
});

const image = v.object({
  name: v.string(),
  isArchive: v.exactOptional(v.boolean()),
  required: v.boolean(),
  phase: v.picklist(PHASES),
  attempts: count,
  startedAt: v.exactOptional(time),
  retryAt: v.exactOptional(time),
  size: v.exactOptional(count),
  failure: v.exactOptional(failure),
  progress: v.exactOptional(progress),
});

const statusSchema = v.object({
  run: v.string(),
  pid: v.number(),
  phase: v.picklist(["waiting-for-lock", "waiting-for-runtime", "importing", "verifying", "ended"]),
  startedAt: time,
  endedAt: v.exactOptional(time),
  exitCode: v.exactOptional(v.number()),
  stopped: v.exactOptional(v.string()),
  totals: v.object({ unfinished: count }),
  downloads: v.object({ received: count, total: count, unknown: count }),
  warnings: v.array(v.string()),
  images: v.array(image),
  /** Of images that a narrowed run left alone. */
  sizes: v.exactOptional(v.record(v.string(), count), {}),
});

/** What every reader of status.json sees: sizes in bytes, times in epoch milliseconds. */
export type Status = v.InferOutput<typeof statusSchema>;

export interface ReadStatus extends Status {
  /** The file as it is, for machines. */
  readonly json: unknown;
}

/**
 * Undefined when there is none, or none that can be read.
 * @param onProblem told why it cannot
 */
export function readStatus(directory: string, onProblem: (why: string) => void): ReadStatus | undefined {
  const file = path.join(directory, "status.json");
  try {
    const text = readRegular(file);
    if (text === undefined) return undefined;
    const status = parseStatus(text);
    if (status !== undefined) return status;
    onProblem(`${file} is damaged, or written by another version; the next run replaces it`);
  } catch (error) {
    onProblem(error instanceof Error ? error.message : String(error));
  }
  return undefined;
}

export function parseStatus(text: string): ReadStatus | undefined {
  try {
    const json: unknown = JSON.parse(text);
    return { ...v.parse(statusSchema, json), json };
  } catch {
    return undefined;
  }
}

/** Compressed bytes by source name, of every image that it tells of. */
export const sizesIn = ({ images, sizes }: Status): ReadonlyMap<string, number> =>
  new Map([
    ...Object.entries(sizes),
    ...images.flatMap(({ name, size }) => (size === undefined ? [] : [[name, size] as const])),
  ]);

/**
 * Who holds the lock, for a message. A run that has just taken it has not written its state yet: then the file is that
 * of an earlier run, which ended or was killed.
 */
export const holderIn = (status: Status | undefined): string =>
  status === undefined || status.phase === "ended" || !existsSync(`/proc/${status.pid}`)
    ? "it has not written its state yet"
    : `run ${status.run}, pid ${status.pid}, in progress since ${new Date(status.startedAt).toISOString()}`;
