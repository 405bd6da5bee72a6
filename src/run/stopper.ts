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
  /** Nothing more can be done on this node. */
  readonly throwIfLost: () => void;
  /** The operator wants the program to end, whatever its images came to. */
  readonly throwIfStopped: () => void;
}

/**
 * @param outer the operator's signal
 * @param deadline milliseconds
 */
export function stopper(outer: AbortSignal, deadline: number): Stopper {
  const own = new AbortController();
  let lost: ExitError | undefined;
  const message = `the deadline of ${formatDuration(deadline)} is over`;
  const timer = setTimeout(() => own.abort(new Interruption({ class: "timeout", message })), deadline);
  return {
    signal: AbortSignal.any([outer, own.signal]),
    diskFull: (why) => own.abort(new Interruption({ class: "disk", message: `not pulled: ${why}` })),
    runtimeLost: (error) => {
      if (error instanceof Interruption || !(error instanceof ExitError)) throw error;
      lost = new ExitError(EXIT.runtimeNotReady, error.message);
      const reason = new Interruption({ class: "runtime", message: error.message });
      own.abort(reason);
      throw reason;
    },
    throwIfLost: () => {
      if (lost !== undefined) throw lost;
    },
    throwIfStopped: () => outer.throwIfAborted(),
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}
