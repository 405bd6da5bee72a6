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
 * The pause between two writes is SHARE times the last write, within bounds in milliseconds. A thousand images change
 * state several thousand times, and writing that should take only a twentieth of the time.
 */
const [SHORTEST, LONGEST, SHARE] = [200, 1_000, 20];

/** Disposing writes what is pending. @param onProblem called once if the file cannot be written: this fails no run */
export function statusFile(directory: string, onProblem: (why: string) => void) {
  let pending: RunState | undefined;
  let timer: NodeJS.Timeout | undefined;
  let report = onProblem;
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
      // The next state is tried again: a full disk may have space by then.
      report(`status.json cannot be written: ${messageOf(error)}`);
      report = () => {};
    }
    pending = undefined;
    pause = Math.min(LONGEST, Math.max(SHORTEST, SHARE * (performance.now() - begun)));
  };
  return {
    update: (state: RunState): void => {
      pending = state;
      // A new phase is written at once, so that a killed run leaves at least what it was doing.
      if (state.phase !== phase) write();
      else timer ??= setTimeout(write, pause);
      phase = state.phase;
    },
    [Symbol.dispose]: write,
  };
}

/** The state as JSON, with totals and downloads. `schema` rises when a field changes its meaning. */
export function statusText(state: RunState): string {
  const { images, unpinned, warnings, ...run } = state;
  const sums = { totals: totals(images), downloads: downloads(images) };
  return `${JSON.stringify({ schema: 1, ...run, ...sums, images, unpinned, warnings }, asRead, 1)}\n`;
}

const TIMES = new Set(["startedAt", "endedAt", "retryAt"]);

/** Converts times to ISO 8601. Omits single layers, which are many: `downloads` has their sums. */
function asRead(key: string, value: unknown): unknown {
  if (TIMES.has(key) && typeof value === "number") return new Date(value).toISOString();
  return key === "parts" ? undefined : value;
}

const sums = v.object({ downloads: v.object({ received: count, total: count, unknown: count }) });

/** A status.json that was read: sizes in bytes, times in epoch milliseconds. */
export type Status = RunState &
  Readonly<v.InferOutput<typeof sums>> & {
    /** The file's content as written, for JSON output. */
    readonly json: unknown;
  };

/** @param onProblem called with the reason if the file is unreadable. @returns undefined then, or without a file */
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

/** Compressed sizes in bytes of the images in place, by source name. */
export const sizesIn = ({ images }: Status): ReadonlyMap<string, number> =>
  new Map(images.filter(isInPlace).map(({ name, size }) => [name, size]));

/** Whether the run is in progress. A killed run has not ended either, but its process is gone. */
export const isAlive = ({ phase, pid }: Status): boolean => phase !== "ended" && existsSync(`/proc/${pid}`);

/** Who holds the lock, for a message. The file may be from an earlier run: a run with --only writes none. */
export const holderIn = (status: Status | undefined): string =>
  status !== undefined && isAlive(status)
    ? `run ${status.run}, pid ${status.pid}, in progress since ${new Date(status.startedAt).toISOString()}`
    : "it has recorded nothing";
