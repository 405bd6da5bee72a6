// A look at the node for commands that change nothing.
import type { SemVer } from "semver";
import type { Config } from "../config/config.ts";
import type { NodeState } from "../core/plan.ts";
import { redactor } from "../core/redact.ts";
import { requireTools, waitUntilReady } from "../run/ready.ts";
import { lookAtLabels, lookWhenReady } from "../run/look.ts";
import { commandRunner } from "../runtime/command.ts";
import { containerdRuntime } from "../runtime/containerd.ts";

export interface Look {
  readonly version: SemVer;
  readonly node: NodeState;
}

/** @throws ExitError (runtime not ready) */
export async function look(config: Config, signal: AbortSignal): Promise<Look> {
  requireTools(config.containerd);
  const runtime = containerdRuntime(commandRunner(redactor(config.credentials), signal), config);
  const { version, present } = await lookWhenReady(runtime, () =>
    waitUntilReady(runtime, config.containerd, signal, () => {}),
  );
  return { version, node: await lookAtLabels(runtime, present) };
}
