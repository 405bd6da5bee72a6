// status.json: the run's state, written so that a reader never sees half of it and a crash leaves the last true one.
import { readFile } from "node:fs/promises";
import path from "node:path";
import * as v from "valibot";
import { writeAtomically } from "../atomic-file.ts";
import type { Progress, RunState } from "../core/run-state.ts";
import { totals } from "../core/run-state.ts";
import { downloads } from "./downloads.ts";

/** At most one write in this many milliseconds: a thousand images change state several thousand times. */
const PACE = 200;
/** And so many times what it took to make the last text, which is long with a thousand images: 5 % of the time at most. */
const REST = 20;

/** What an earlier run left, as far as it can be read. */
export interface EarlierStatus {
  /** Compressed bytes by source name. */
  readonly sizes: ReadonlyMap<string, number>;
  /** Whether it came to its end with nothing to complain of. */
  readonly clean: boolean;
  /** Who wrote it, for a message. */
  readonly holder: string;
  readonly status: StatusJson;
}

const statusSchema = v.looseObject({
  run: v.string(),
  pid: v.number(),
  phase: v.string(),
  startedAt: v.string(),
  endedAt: v.optional(v.string()),
  exitCode: v.optional(v.number()),
  stopped: v.optional(v.string()),
  totals: v.looseObject({ unfinished: v.number() }),
  warnings: v.array(v.string()),
  images: v.array(v.looseObject({ name: v.string(), size: v.optional(v.number()) })),
});
type StatusJson = v.InferOutput<typeof statusSchema>;

/** Undefined when there is none, or none that this version can read. */
export async function readStatus(directory: string): Promise<EarlierStatus | undefined> {
  try {
    const status = v.parse(
      statusSchema,
      JSON.parse(await readFile(path.join(directory, "status.json"), "utf8")),
    );
    const sizes = status.images.flatMap(({ name, size }) =>
      size === undefined ? [] : [[name, size] as const],
    );
    const holder = `run ${status.run}, pid ${status.pid}, since ${status.startedAt}`;
    const clean = status.exitCode === 0 && status.warnings.length === 0;
    return { sizes: new Map(sizes), clean, holder, status };
  } catch {
    return undefined;
  }
}

export interface StatusFile extends Disposable {
  update(state: RunState): void;
}

/**
 * Disposing it writes what has not been written yet.
 * @param onProblem told once when the file cannot be written, which never fails a run
 */
export function statusFile(directory: string, onProblem: (why: string) => void): StatusFile {
  let pending: RunState | undefined;
  let timer: NodeJS.Timeout | undefined;
  let broken = false;
  let pace = PACE;
  const write = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (pending === undefined || broken) return;
    const began = performance.now();
    const text = `${JSON.stringify(toJson(pending), null, 1)}\n`;
    // Without the writing: a disk that is slow for once is no reason to fall silent.
    pace = Math.max(PACE, REST * (performance.now() - began));
    pending = undefined;
    try {
      writeAtomically(path.join(directory, "status.json"), text);
    } catch (error) {
      broken = true;
      onProblem(`status.json cannot be written: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  return {
    update: (state) => {
      pending = state;
      timer ??= setTimeout(write, pace);
    },
    [Symbol.dispose]: write,
  };
}

const iso = (ms: number | undefined): string | undefined =>
  ms === undefined ? undefined : new Date(ms).toISOString();

/** Without its layers: they are many, and `downloads` has what they are for. */
function summed(progress: Progress): Omit<Progress, "parts"> {
  const { parts: _, ...sums } = progress;
  return sums;
}

/** The state for readers: ISO times, images as a list, totals beside them. `schema` rises when a field changes meaning. */
export function toJson(state: RunState) {
  return {
    schema: 1,
    run: state.runId,
    version: state.version,
    pid: state.pid,
    phase: state.phase,
    startedAt: iso(state.startedAt),
    endedAt: iso(state.endedAt),
    exitCode: state.exitCode,
    stopped: state.stopped,
    containerd: state.containerd,
    concurrency: state.concurrency,
    totals: totals(state.images),
    downloads: downloads(state.images),
    images: state.images.map(({ startedAt, endedAt, retryAt, progress, ...image }) => ({
      ...image,
      progress: progress === undefined ? undefined : summed(progress),
      startedAt: iso(startedAt),
      endedAt: iso(endedAt),
      retryAt: iso(retryAt),
    })),
    unpinned: state.unpinned,
    warnings: state.warnings,
  };
}
