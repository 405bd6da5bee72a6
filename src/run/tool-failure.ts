// From whatever a tool's call threw to a failure with a class.
import { diagnose, essence } from "../core/evidence.ts";
import type { Failure } from "../core/failure.ts";
import { EXIT, ExitError } from "../exit.ts";
import { CommandError } from "../runtime/command.ts";
import { CredentialRefused } from "../runtime/crictl.ts";
import { Interruption } from "./interruption.ts";

/** @param signal the one that could end the tool; its reason tells why it did */
export function toFailure(error: unknown, signal: AbortSignal): Failure {
  const interrupted = interruption(error, signal);
  if (interrupted !== undefined) return interrupted;
  if (error instanceof CredentialRefused) return { class: "auth", message: error.message };
  return commandFailure(error);
}

/** @throws what is no CommandError: a bug of ours */
export function commandFailure(error: unknown): Failure {
  if (!(error instanceof CommandError)) throw error;
  const message = essence(error.message);
  return error.timedOut ? { class: "timeout", message } : { ...diagnose(error.raw), message };
}

/** Where a tool failed at something that no single image can be blamed for: the end of the run; all else as it is. */
export const runtimeUnusable = (error: unknown): unknown =>
  error instanceof CommandError
    ? new ExitError(EXIT.runtimeNotReady, `container runtime not usable: ${essence(error.message)}`)
    : error;

/** Why it was ended by us; undefined when it was not. */
export function interruption(error: unknown, signal: AbortSignal): Failure | undefined {
  const by = error instanceof Interruption ? error : signal.reason;
  return by instanceof Interruption ? { class: by.class, message: by.message } : undefined;
}
