// Everything that can end a run before its work is done, in one signal: the operator, the deadline, a full disk, a
// lost runtime. Its reason is an Interruption, which becomes the failure of every image that is not complete.
import { formatDuration } from "../core/units.ts";
import { EXIT, ExitError } from "../exit.ts";
import { Interruption } from "./interruption.ts";

export interface Stopper extends Disposable {
  readonly signal: AbortSignal;
  /** No further image can succeed on this disk. */
  readonly diskFull: (message: string) => void;
  /** containerd went away and did not come back. */
  readonly runtimeLost: (error: unknown) => never;
  /** After the work: what has to end the program by itself, as failed images alone would not tell it. */
  readonly throwIfFatal: () => void;
}

/**
 * @param outer the operator's signal
 * @param deadline milliseconds
 */
export function stopper(outer: AbortSignal, deadline: number): Stopper {
  const own = new AbortController();
  let fatal: ExitError | undefined;
  const message = `the deadline of ${formatDuration(deadline)} is over`;
  const timer = setTimeout(() => own.abort(new Interruption({ class: "timeout", message })), deadline);
  return {
    signal: AbortSignal.any([outer, own.signal]),
    diskFull: (why) => own.abort(new Interruption({ class: "disk", message: `not pulled: ${why}` })),
    runtimeLost: (error) => {
      if (error instanceof Interruption || !(error instanceof ExitError)) throw error;
      fatal = new ExitError(EXIT.runtimeNotReady, error.message);
      const reason = new Interruption({ class: "runtime", message: error.message });
      own.abort(reason);
      throw reason;
    },
    throwIfFatal: () => {
      if (outer.aborted) throw outer.reason;
      if (fatal !== undefined) throw fatal;
    },
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}
