// How a run ended, as an exit code and the sentence that goes with it.
import { essence } from "../core/failure.ts";
import { isComplete, type RunState } from "../core/run-state.ts";
import type { Config } from "../config/config.ts";
import { EXIT, ExitError, signalExit } from "../exit.ts";
import { Interruption } from "../run/interruption.ts";
import { CommandError } from "../runtime/command.ts";

export interface Ending {
  readonly exitCode: number;
  /** Why it ended before its work was done. */
  readonly stopped?: string;
}

/** The end of a run that went through: only its images decide. */
export const endingOf = (state: RunState, { onFailure }: Pick<Config, "onFailure">): Ending => ({
  exitCode: isComplete(state) || onFailure === "warn" ? EXIT.ok : EXIT.imageFailed,
});

/**
 * The end of a run that threw.
 * @param signal which one stopped it, if any did
 * @throws what is a bug
 */
export function endingBy(
  error: unknown,
  signal: NodeJS.Signals | undefined,
  config: Pick<Config, "onFailure">,
): Ending {
  if (signal !== undefined) {
    const again =
      "what was finished stays; run again with bosh run-errand import-images, or import-images run on the node";
    return { exitCode: signalExit(signal), stopped: `stopped by ${signal}: ${again}` };
  }
  if (error instanceof Interruption) {
    const exitCode = config.onFailure === "warn" ? EXIT.ok : EXIT.imageFailed;
    return {
      exitCode,
      stopped: `${error.message}: raise deadline, or find out what was waited for in import-images.log`,
    };
  }
  if (error instanceof ExitError) return { exitCode: error.exitCode, stopped: error.message };
  if (error instanceof CommandError) {
    return {
      exitCode: EXIT.runtimeNotReady,
      stopped: `container runtime not usable: ${essence(error.message)}`,
    };
  }
  throw error;
}
