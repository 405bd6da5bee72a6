// From whatever a call to containerd or a tool threw to a failure with a class.
import { ApiError } from "../containerd/connection.ts";
import { CommandError } from "../containerd/command.ts";
import { diagnose, essence } from "../core/evidence.ts";
import { Failed, classOfCode, type Failure } from "../core/failure.ts";
import { EXIT, ExitError } from "../exit.ts";

/**
 * @param signal the one that could end the call; its reason tells why it did
 * @throws what is neither: a bug of ours
 */
export function toFailure(error: unknown, signal?: AbortSignal): Failure {
  const by = error instanceof Failed ? error : signal?.reason;
  if (by instanceof Failed) return by.failure;
  if (error instanceof ApiError)
    return { class: classOfCode(error.code, error.message), message: essence(error.message) };
  if (!(error instanceof CommandError)) throw error;
  const message = essence(error.message);
  const evidence = error.message === message ? {} : { evidence: error.message };
  // A tool that has no answer within its own bound waits for containerd.
  return { ...(error.timedOut ? { class: "runtime" } : diagnose(error.raw)), message, ...evidence };
}

/** Where something failed for which no single image can be blamed: the end of the run; all else as it is. */
export function runtimeUnusable(error: unknown): unknown {
  if (!(error instanceof CommandError || error instanceof ApiError)) return error;
  const message = essence(error.message);
  const why = message.includes("unknown service runtime.v1.") ? NO_CRI : "";
  return new ExitError(EXIT.runtimeNotReady, `container runtime not usable: ${message}${why}`);
}

const NO_CRI =
  ": it has no CRI v1, which containerd 1.6 and later have unless the plugin is disabled in its config.toml";
