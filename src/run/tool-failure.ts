// Converts errors of calls to containerd and of tools into failures with a class.
import { ApiError } from "../containerd/connection.ts";
import { CommandError } from "../containerd/command.ts";
import { diagnose, diagnoseApi } from "../core/evidence.ts";
import { Failed, type Failure } from "../core/failure.ts";
import type { Diagnosis } from "../core/rules.ts";
import { essence } from "../core/statement.ts";
import { EXIT, ExitError } from "../exit.ts";

/** @param signal may have ended the call; its reason, if a Failed, takes precedence. @throws `error` if it is a bug */
export function toFailure(error: unknown, signal?: AbortSignal): Failure {
  const by = error instanceof Failed ? error : signal?.reason;
  if (by instanceof Failed) return by.failure;
  if (error instanceof ApiError)
    return { ...diagnoseApi(error.code, error.message), message: essence(error.message) };
  if (!(error instanceof CommandError)) throw error;
  // A tool that exceeds its own time limit was waiting for containerd.
  const diagnosis: Diagnosis = error.timedOut ? { class: "runtime" } : diagnose(error.raw, error.message);
  const message = essence(error.message, { inFull: diagnosis.class === "unknown" });
  return { ...diagnosis, message, ...(error.message !== message && { evidence: error.message }) };
}

/** Converts an error that no single image causes into the ExitError that ends the run. Returns others unchanged. */
export function runtimeUnusable(error: unknown): unknown {
  if (!(error instanceof CommandError || error instanceof ApiError)) return error;
  const { message, next } = toFailure(error);
  const step = message.includes("unknown service runtime.v1.") ? NO_CRI : next;
  const why = step === undefined ? "" : `: ${step}`;
  return new ExitError(EXIT.runtimeNotReady, `container runtime not usable: ${message}${why}`);
}

const NO_CRI =
  "it has no CRI v1, which containerd 1.6 and later have unless the plugin is disabled in its config.toml";
