// A look at the node for commands that change nothing.
import type { Config } from "../config/config.ts";
import { redactor } from "../core/redact.ts";
import { requireTools, waitUntilReady } from "../run/ready.ts";
import { lookWhenReady, type FirstLook } from "../run/look.ts";
import { commandRunner } from "../runtime/command.ts";
import { containerdRuntime } from "../runtime/containerd.ts";

/** @throws ExitError (runtime not ready) */
export async function look(config: Config, signal: AbortSignal): Promise<FirstLook> {
  requireTools(config.containerd);
  const runtime = containerdRuntime(commandRunner(redactor(config.credentials), signal), config);
  return lookWhenReady(runtime, () => waitUntilReady(runtime, config.containerd, signal, () => {}));
}
