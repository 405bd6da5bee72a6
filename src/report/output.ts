// Output that nobody waits for. Node writes to pipes and sockets in the background, but to a terminal synchronously: a
// person's Ctrl-S would stop the run, its deadline and its signals.
import { constants, openSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { codeOf } from "../core/plain-text.ts";
import type { Output } from "../edge.ts";

export type Stream = Output & { readonly pending: number };

/**
 * @param term the environment's TERM
 * @param onLost told once why nothing can be written, unless the reader has gone
 */
export function output(
  stream: NodeJS.WriteStream & { readonly fd: number },
  term: string | undefined,
  onLost: (why: string) => void,
): Stream {
  let tell = onLost;
  stream.on("error", (error: NodeJS.ErrnoException) => {
    // Whoever read our output has gone; that is no reason to leave a node half done.
    if (error.code !== "EPIPE" && error.code !== "EIO") tell(error.message);
    tell = () => {};
  });
  const isScreen = stream.isTTY && term !== "dumb";
  const terminal = stream.isTTY ? openTerminal(`/proc/self/fd/${stream.fd}`) : undefined;
  return {
    write: (text) => void (terminal ?? stream).write(text),
    get pending() {
      return terminal?.pending() ?? stream.writableLength;
    },
    // A serial line tells 0.
    get columns() {
      return isScreen ? stream.columns || 80 : undefined;
    },
    get rows() {
      return isScreen ? stream.rows || 24 : undefined;
    },
  };
}

/** Milliseconds between two looks. */
const LOOK = 20;

/**
 * Waits until all is read.
 * @param patience milliseconds for a reader that takes nothing
 */
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
  /** Bytes that it has not taken yet. */
  readonly pending: () => number;
}

/** Milliseconds until a terminal that took no more is tried again. */
const RETRY = 50;

/** @returns undefined where it cannot be opened, and Node's way has to do */
export function openTerminal(file: string): Terminal | undefined {
  try {
    // Anew, because whoever else has this terminal must not find it non-blocking.
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
      // It has gone.
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
