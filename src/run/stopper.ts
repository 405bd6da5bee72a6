// Combines everything that can end a run early into one signal: the operator, the deadline, a full disk, a lost
// runtime. Its reason is a Failed, whose failure is reported for every image that is not complete.
import { Failed } from "../core/failure.ts";
import { formatDuration } from "../core/units.ts";
import { ExitError } from "../exit.ts";
import type { Clock } from "./clock.ts";

export type Stopper = ReturnType<typeof stopper>;

/** Milliseconds to name, pin and prove what was pulled. Ending a tool may take 3 s more. */
const WRAP_UP = 6_000;

/** @param outer the operator's signal. @param deadline milliseconds */
export function stopper(outer: AbortSignal, deadline: number, clock: Pick<Clock, "after">) {
  const [own, over, ended] = [new AbortController(), new AbortController(), new AbortController()];
  let lost: ExitError | undefined;
  const message = `the deadline of ${formatDuration(deadline)} has passed`;
  let timer = clock.after(deadline, () => over.abort(new Failed({ class: "timeout", message })));
  const last = AbortSignal.any([outer, over.signal]);
  const wrapUp = (): void => {
    timer[Symbol.dispose]();
    timer = clock.after(WRAP_UP, () => ended.abort(last.reason));
  };
  if (last.aborted) wrapUp();
  else last.addEventListener("abort", wrapUp);
  return {
    /** Ends every pull, and prevents new work. */
    signal: AbortSignal.any([last, own.signal]),
    /** Ends every call and tool, with the same reason, so that a run is over within 10 s of its signal or deadline. */
    ended: ended.signal,
    /** No further image can succeed on this disk. @param next the next step, if it is not to free space */
    diskFull: (why: string, next?: string): void =>
      own.abort(new Failed({ class: "disk", message: `not pulled: ${why}`, ...(next && { next }) })),
    /** containerd went away and did not come back. @throws Failed (runtime), or the error itself if it is a bug */
    runtimeLost: (error: unknown): never => {
      if (!(error instanceof ExitError)) throw error;
      lost = error;
      const reason = new Failed({ class: "runtime", message: error.message });
      own.abort(reason);
      throw reason;
    },
    /** Ends all other work before the bug is reported. @throws the error itself */
    crashed: (error: unknown): never => {
      own.abort(new Failed({ class: "cancelled", message: "ended by an internal error" }));
      throw error;
    },
    /** @throws ExitError (runtime not ready) if the runtime was lost */
    throwIfLost: (): void => {
      if (lost !== undefined) throw lost;
    },
    /** @throws the reason of the operator's signal, whatever the results of the images */
    throwIfStopped: (): void => outer.throwIfAborted(),
    [Symbol.dispose]: (): void => {
      last.removeEventListener("abort", wrapUp);
      timer[Symbol.dispose]();
    },
  };
}
