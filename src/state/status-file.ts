// status.json: the run's state, written so that a reader never sees half of it and a crash leaves the last true one.
import path from "node:path";
import { downloads } from "../core/downloads.ts";
import type { Progress } from "../core/transfer.ts";
import type { RunState } from "../core/run-state.ts";
import { totals } from "../core/run-state.ts";
import { replaceRegular } from "./regular-file.ts";

/** At most one write in this many milliseconds: a thousand images change state several thousand times. */
const PACE = 200;
/** And so many times what it took to make the last text, which is long with a thousand images: 5 % of the time at most. */
const REST = 20;

export interface StatusFile extends Disposable {
  update(state: RunState): void;
}

/**
 * Disposing it writes what has not been written yet.
 * @param sizes known compressed bytes, to be kept for images that the run leaves alone
 * @param onProblem told once when the file cannot be written, which never fails a run
 */
export function statusFile(
  directory: string,
  sizes: ReadonlyMap<string, number>,
  onProblem: (why: string) => void,
): StatusFile {
  const file = path.join(directory, "status.json");
  let pending: RunState | undefined;
  let timer: NodeJS.Timeout | undefined;
  let tell = onProblem;
  let pace = PACE;
  const write = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (pending === undefined) return;
    const began = performance.now();
    const text = `${JSON.stringify(toJson(pending, sizes), null, 1)}\n`;
    // Without the writing: a disk that is slow for once is no reason to fall silent.
    pace = Math.max(PACE, REST * (performance.now() - began));
    pending = undefined;
    try {
      replaceRegular(file, text, 0o640);
    } catch (error) {
      // Tried again with the next state: a full disk may have room by then.
      tell(`status.json cannot be written: ${error instanceof Error ? error.message : String(error)}`);
      tell = () => {};
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
export function toJson(state: RunState, sizes: ReadonlyMap<string, number> = new Map()) {
  const listed = new Set(state.images.map(({ name }) => name));
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
    sizes: Object.fromEntries([...sizes].filter(([name]) => !listed.has(name))),
    unpinned: state.unpinned,
    warnings: state.warnings,
  };
}
