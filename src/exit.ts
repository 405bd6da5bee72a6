// Exit codes, and the one error that ends the program with a message for people. Any other error is a bug.
import { constants } from "node:os";

export const EXIT = {
  ok: 0,
  imageFailed: 1,
  usage: 2,
  runtimeNotReady: 3,
  locked: 4,
  bug: 70,
} as const;

/** 128+n for a run that signal n stopped, as in shells and BOSH. */
export const signalExit = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];

/** An expected end: the message says what failed, why, and what to do next. Never shown with a stack. */
export class ExitError extends Error {
  override readonly name = "ExitError";
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}
