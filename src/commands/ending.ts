// How a run ended, as an exit code and the sentence that goes with it.
import { redactor } from "../core/redact.ts";
import { isComplete, type Emit, type RunState } from "../core/run-state.ts";
import type { Config } from "../config/config.ts";
import { EXIT, ExitError, signalExit } from "../exit.ts";
import { Interruption } from "../run/interruption.ts";
import { runtimeUnusable } from "../run/tool-failure.ts";

export interface Ending {
  readonly exitCode: number;
  /** Why it ended before its work was done. */
  readonly stopped?: string;
}

/** The end of a run that went through: only its images decide. */
export const endingOf = (state: RunState, { onFailure }: Pick<Config, "onFailure">): Ending => ({
  exitCode: isComplete(state) || onFailure === "warn" ? EXIT.ok : EXIT.imageFailed,
});

export interface Interrupted {
  readonly config: Config;
  /** The signal that stopped it, if one did. */
  readonly signal: NodeJS.Signals | undefined;
  readonly emit: Emit;
}

/** The end of a run that threw. */
export function endingBy(error: unknown, { config, signal, emit }: Interrupted): Ending {
  if (signal !== undefined)
    return { exitCode: signalExit(signal), stopped: `stopped by ${signal}: ${RUN_AGAIN}` };
  if (error instanceof Interruption) {
    const exitCode = config.onFailure === "warn" ? EXIT.ok : EXIT.imageFailed;
    return {
      exitCode,
      stopped: `${error.message}: raise deadline, or see in import-images.log what it waited for`,
    };
  }
  const told = runtimeUnusable(error);
  if (told instanceof ExitError) return { exitCode: told.exitCode, stopped: told.message };
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  emit({ type: "internal-error", stack: redactor(config.credentials)(stack) });
  return {
    exitCode: EXIT.bug,
    stopped: "internal error, please report it with its stack from import-images.log",
  };
}

const RUN_AGAIN =
  "what was finished stays; run again with bosh run-errand import-images, or import-images run on the node";
