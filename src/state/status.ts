// status.json: the state of the run in progress, or of the last one.
import { existsSync } from "node:fs";
import path from "node:path";
import * as v from "valibot";
import { messageOf } from "../core/plain-text.ts";
import { downloads } from "../core/downloads.ts";
import { isInPlace, runState, totals, type RunState } from "../core/run-state.ts";
import { count } from "../core/transfer.ts";
import { readRegular, replaceRegular } from "./regular-file.ts";

const fileIn = (directory: string): string => path.join(directory, "status.json");

/**
 * Milliseconds between two writes: a thousand images change state several thousand times, and a write of theirs takes so long
 * that it may have a twentieth of the time only.
 */
const [SHORTEST, LONGEST, SHARE] = [200, 1_000, 20];

/**
 * Disposing it writes what has not been written yet.
 * @param onProblem told once when the file cannot be written, which never fails a run
 */
export function statusFile(directory: string, onProblem: (why: string) => void) {
  let pending: RunState | undefined;
  let timer: NodeJS.Timeout | undefined;
  let tell = onProblem;
  let pause = 0;
  let phase: RunState["phase"] | undefined;
  const write = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (pending === undefined) return;
    const begun = performance.now();
    try {
      replaceRegular(fileIn(directory), statusText(pending), 0o640);
    } catch (error) {
      // Tried again with the next state: a full disk may have room by then.
      tell(`status.json cannot be written: ${messageOf(error)}`);
      tell = () => {};
    }
    pending = undefined;
    pause = Math.min(LONGEST, Math.max(SHORTEST, SHARE * (performance.now() - begun)));
  };
  return {
    update: (state: RunState): void => {
      pending = state;
      // A run that is killed leaves at least what it was about.
      if (state.phase !== phase) write();
      else timer ??= setTimeout(write, pause);
      phase = state.phase;
    },
    [Symbol.dispose]: write,
  };
}

/** The state as JSON, with what follows from it. `schema` rises when a field changes meaning. */
export function statusText(state: RunState): string {
  const { images, unpinned, warnings, ...run } = state;
  const sums = { totals: totals(images), downloads: downloads(images) };
  return `${JSON.stringify({ schema: 1, ...run, ...sums, images, unpinned, warnings }, asRead, 1)}\n`;
}

const TIMES = new Set(["startedAt", "endedAt", "retryAt"]);

/** Times as people read them. Without single layers: they are many, and `downloads` has what they are for. */
function asRead(key: string, value: unknown): unknown {
  if (TIMES.has(key) && typeof value === "number") return new Date(value).toISOString();
  return key === "parts" ? undefined : value;
}

const sums = v.object({ downloads: v.object({ received: count, total: count, unknown: count }) });

/** What every reader of status.json sees: sizes in bytes, times in epoch milliseconds. */
export type Status = RunState &
  Readonly<v.InferOutput<typeof sums>> & {
    /** The file as it is, for machines. */
    readonly json: unknown;
  };

/**
 * Undefined when there is none, or none that can be read.
 * @param onProblem told why it cannot
 */
export function readStatus(directory: string, onProblem: (why: string) => void): Status | undefined {
  const file = fileIn(directory);
  try {
    const text = readRegular(file);
    return text === undefined ? undefined : parseStatus(text);
  } catch (error) {
    const isDamaged = error instanceof SyntaxError || error instanceof v.ValiError;
    onProblem(
      isDamaged
        ? `${file} is damaged, or written by another version; the next run replaces it`
        : messageOf(error),
    );
    return undefined;
  }
}

/** @throws SyntaxError, ValiError */
export function parseStatus(text: string): Status {
  const json: unknown = JSON.parse(text);
  return { ...v.parse(runState, json), ...v.parse(sums, json), json };
}

/** Compressed bytes by source name, of the images that were in place. */
export const sizesIn = ({ images }: Status): ReadonlyMap<string, number> =>
  new Map(images.filter(isInPlace).map(({ name, size }) => [name, size]));

/** Whether the run goes on: one that was killed has not ended either. */
export const isAlive = ({ phase, pid }: Status): boolean => phase !== "ended" && existsSync(`/proc/${pid}`);

/** Who holds the lock, for a message. The file may be that of an earlier run: one with --only writes none. */
export const holderIn = (status: Status | undefined): string =>
  status !== undefined && isAlive(status)
    ? `run ${status.run}, pid ${status.pid}, in progress since ${new Date(status.startedAt).toISOString()}`
    : "it has recorded nothing";
