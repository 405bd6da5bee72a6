// Converts the end of a run to an exit code, and to the sentence that explains it.
import { Failed } from "../core/failure.ts";
import type { Config } from "../config/config.ts";
import { redactor } from "../core/redact.ts";
import { isComplete, type Ending, type RunState } from "../core/run-state.ts";
import type { Edge } from "../edge.ts";
import { EXIT, ExitError, signalExit } from "../exit.ts";
import type { RunLog } from "../report/run-log.ts";
import { runtimeUnusable } from "../run/tool-failure.ts";

interface Ended {
  readonly config: Config;
  readonly edge: Pick<Edge, "stoppedBy">;
  readonly log: Pick<RunLog, "emit" | "state">;
}

const incomplete = (config: Config): number => (config.on_failure === "warn" ? EXIT.ok : EXIT.imageFailed);

/** For a run that completed all its steps: only its images decide. */
export const endingOf = (state: RunState, config: Config): Ending => ({
  exitCode: isComplete(state) ? EXIT.ok : incomplete(config),
});

/** For a run that threw. */
export function endingBy(error: unknown, { config, edge, log }: Ended): Ending {
  const signal = edge.stoppedBy();
  if (signal !== undefined)
    return { exitCode: signalExit(signal), stopped: `stopped by ${signal}: ${RUN_AGAIN}` };
  if (error instanceof Failed) return overtime(error, log.state(), config);
  const known = runtimeUnusable(error);
  if (known instanceof ExitError) return { exitCode: known.exitCode, stopped: known.message };
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  log.emit({ type: "internal-error", stack: redactor(config.credentials)(stack) });
  return { exitCode: EXIT.bug, stopped: INTERNAL };
}

/** For a run that the deadline stopped. If it was waiting for the lock, no image has failed. */
function overtime({ message }: Failed, state: RunState, config: Config): Ending {
  const why = "why" in state ? ` while this run waited: ${state.why}` : "";
  const exitCode = state.phase === "waiting-for-lock" ? EXIT.locked : incomplete(config);
  return { exitCode, stopped: `${message}${why}: ${RAISE_DEADLINE}` };
}

const RUN_AGAIN =
  "what was finished stays; run again with bosh run-errand import-images, or import-images run on the node";
const RAISE_DEADLINE = "raise deadline, or see in import-images.log what it waited for";
const INTERNAL = "internal error, please report it with its stack from import-images.log";
