// Waits until containerd answers: BOSH counts it as running when its process exists, which says nothing of its socket.
import { setTimeout as sleep } from "node:timers/promises";
import type { SemVer } from "semver";
import type { ContainerdConfig } from "../config/config.ts";
import { formatDuration } from "../core/units.ts";
import { EXIT, ExitError } from "../exit.ts";
import { isExecutable } from "../runtime/command.ts";
import type { ImageRuntime } from "../runtime/image-runtime.ts";

const POLL = 250;

/** @throws ExitError (runtime not ready) when a tool is missing, which waiting does not mend */
export function requireTools(config: ContainerdConfig): void {
  const missing = (["crictl", "ctr"] as const).filter((tool) => !isExecutable(config[tool]));
  if (missing.length === 0) return;
  const lines = missing.map(
    (tool) => `${tool} is not an executable at ${config[tool]} (property containerd.${tool})`,
  );
  throw new ExitError(EXIT.runtimeNotReady, `container runtime not usable: ${lines.join("; ")}`);
}

/**
 * @param signal ends the wait early with its reason
 * @returns the version of containerd. @throws ExitError (runtime not ready)
 */
export async function waitUntilReady(
  runtime: Pick<ImageRuntime, "version">,
  config: ContainerdConfig,
  signal: AbortSignal,
  onWait: () => void,
): Promise<SemVer> {
  const bound = AbortSignal.any([signal, AbortSignal.timeout(config.readyTimeout)]);
  for (let first = true; ; first = false) {
    try {
      return await runtime.version(bound);
    } catch (error) {
      if (first) onWait();
      await sleep(POLL, undefined, { signal: bound }).catch(() => {});
      signal.throwIfAborted();
      if (bound.aborted) throw notReady(config, error);
    }
  }
}

function notReady(config: ContainerdConfig, error: unknown): ExitError {
  const why = error instanceof Error ? error.message : String(error);
  return new ExitError(
    EXIT.runtimeNotReady,
    `container runtime not ready: containerd at ${config.socket} did not answer within ` +
      `${formatDuration(config.readyTimeout)} (property containerd.ready_timeout). Last answer: ${why}`,
  );
}
