// Output that never blocks the run. Node writes to pipes and sockets in the background, but to a terminal
// synchronously, so Ctrl-S would stop the run, its deadline and its signals.
import { constants, openSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { codeOf } from "../core/plain-text.ts";
import type { Output } from "../edge.ts";

export type Stream = Output & { readonly pending: number };

/**
 * @param term the environment's TERM
 * @param onLost called once with the reason if writing fails, unless the reader has gone
 */
export function output(
  stream: NodeJS.WriteStream & { readonly fd: number },
  term: string | undefined,
  onLost: (why: string) => void,
): Stream {
  let report = onLost;
  stream.on("error", (error: NodeJS.ErrnoException) => {
    // A reader that has gone (EPIPE, EIO) must not stop the run and leave the node half done.
    if (error.code !== "EPIPE" && error.code !== "EIO") report(error.message);
    report = () => {};
  });
  const isScreen = stream.isTTY && term !== "dumb";
  const terminal = stream.isTTY ? openTerminal(`/proc/self/fd/${stream.fd}`) : undefined;
  return {
    write: (text) => void (terminal ?? stream).write(text),
    get pending() {
      return terminal?.pending() ?? stream.writableLength;
    },
    // A serial line reports 0.
    get columns() {
      return isScreen ? stream.columns || 80 : undefined;
    },
    get rows() {
      return isScreen ? stream.rows || 24 : undefined;
    },
  };
}

/** Milliseconds between two checks. */
const LOOK = 20;

/** Waits until everything is read. @param patience milliseconds to wait for a reader that takes nothing */
export async function drained(streams: readonly Stream[], patience: () => number): Promise<void> {
  const pending = (): number => streams.reduce((sum, stream) => sum + stream.pending, 0);
  let since = performance.now();
  for (let left = pending(); left > 0 && performance.now() - since < patience();) {
    await sleep(LOOK);
    const now = pending();
    if (now < left) since = performance.now();
    left = now;
  }
}

interface Terminal {
  readonly write: (text: string) => void;
  /** Bytes that the terminal has not taken yet. */
  readonly pending: () => number;
}

/** Milliseconds before retrying a write that the terminal did not take. */
const RETRY = 50;

/** @returns undefined if the file cannot be opened; then Node's own stream is used */
export function openTerminal(file: string): Terminal | undefined {
  try {
    // Opened again: O_NONBLOCK on the inherited descriptor would also affect other processes that use this terminal.
    return writerOf(openSync(file, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY));
  } catch {
    return undefined;
  }
}

function writerOf(descriptor: number): Terminal {
  let [begun, waiting] = [Buffer.alloc(0), ""];
  let timer: NodeJS.Timeout | undefined;
  const flush = (): void => {
    timer = undefined;
    [begun, waiting] = [Buffer.concat([begun, Buffer.from(waiting)]), ""];
    try {
      while (begun.length > 0) begun = begun.subarray(writeSync(descriptor, begun));
    } catch (error) {
      if (codeOf(error) === "EAGAIN") timer = setTimeout(flush, RETRY).unref();
      // The terminal has gone.
      else begun = Buffer.alloc(0);
    }
  };
  return {
    write: (text) => {
      waiting += text;
      if (timer === undefined) flush();
    },
    pending: () => begun.length + waiting.length,
  };
}
