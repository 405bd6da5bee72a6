// Waits for containerd: before the run, because BOSH counts it as running when its process exists, which says nothing of
// its socket; and in every step of it, because it may be restarted at any moment.
import type { Containerd } from "../containerd/containerd.ts";
import { isExecutable } from "../containerd/command.ts";
import { ApiError, CODE } from "../containerd/connection.ts";
import type { ContainerdConfig } from "../config/config.ts";
import { capabilitiesOf, type Capabilities } from "../core/capabilities.ts";
import { formatDuration } from "../core/units.ts";
import { EXIT, ExitError } from "../exit.ts";
import type { Context } from "./context.ts";
import { toFailure } from "./tool-failure.ts";

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

export type Waiting = Pick<Context, "containerd" | "clock"> & {
  readonly settings: ContainerdConfig;
  /** Ends the wait early with its reason. */
  readonly signal: AbortSignal;
  /** Told once, when it does not answer at first. */
  readonly onWait: (why: string) => void;
};

/** @throws ExitError (runtime not ready) */
export async function untilReady({
  containerd,
  clock,
  settings,
  signal,
  onWait,
}: Waiting): Promise<Capabilities> {
  const until = clock.now() + settings.readyTimeout;
  const bound = AbortSignal.any([signal, AbortSignal.timeout(settings.readyTimeout)]);
  for (let first = true; ; first = false) {
    try {
      return capabilitiesOf(await containerd.version(bound));
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ApiError && error.code in HOPELESS) throw hopeless(error);
      if (first) onWait(`containerd at ${settings.socket} does not answer yet`);
      if (clock.now() + POLL >= until) throw notReady(settings, error);
      await clock.sleep(POLL, signal);
    }
  }
}

/** What waiting does not mend. */
const HOPELESS: Readonly<Record<number, string>> = {
  [CODE.permissionDenied]: "",
  [CODE.unimplemented]:
    ": it has no CRI v1, which containerd 1.6 and later have unless the plugin is disabled in its config.toml",
};

const hopeless = ({ code, message }: ApiError): ExitError =>
  new ExitError(EXIT.runtimeNotReady, `container runtime not usable: ${message}${HOPELESS[code]}`);

function notReady(config: ContainerdConfig, error: unknown): ExitError {
  const why = error instanceof Error ? error.message : String(error);
  return new ExitError(
    EXIT.runtimeNotReady,
    `container runtime not ready: containerd at ${config.socket} did not answer within ` +
      `${formatDuration(config.readyTimeout)} (property containerd.ready_timeout). Last answer: ${why}`,
  );
}

/**
 * One wait for all steps that find containerd gone.
 * @returns whether it had to be waited for. @throws Interruption (runtime) when it does not come back
 */
export type Comeback = () => Promise<boolean>;

export function comeback({ config, containerd, clock, emit, stop }: Context): Comeback {
  let waiting: Promise<boolean> | undefined;
  const wait = async (): Promise<boolean> => {
    let waited = false;
    const onWait = (why: string): void => {
      waited = true;
      emit({ type: "waiting", phase: "waiting-for-runtime", why });
    };
    const settings = config.containerd;
    await untilReady({ containerd, clock, settings, signal: stop.signal, onWait }).catch(stop.runtimeLost);
    // It may answer while a step still fails: that is no reason to ask without pause.
    await clock.sleep(POLL, stop.signal);
    if (waited) emit({ type: "runtime-back" });
    return waited;
  };
  return () => (waiting ??= wait().finally(() => (waiting = undefined)));
}

/** How often a step may fail in a row although containerd answers: then it is not containerd that is away. */
const MOST_IN_VAIN = 3;

/** containerd, asked again after each wait for it. Not a pull, which has its own retry, nor what watches pulls. */
export function patient(containerd: Containerd, back: Comeback): Containerd {
  const again =
    <Args extends unknown[], Answer>(ask: (...args: Args) => Promise<Answer>) =>
    async (...args: Args): Promise<Answer> => {
      for (let inVain = 1; ; inVain += 1) {
        try {
          return await ask(...args);
        } catch (error) {
          if (toFailure(error).class !== "runtime" || inVain >= MOST_IN_VAIN) throw error;
          if (await back()) inVain = 0;
        }
      }
    };
  return {
    ...containerd,
    criImages: again(containerd.criImages),
    records: again(containerd.records),
    blobs: again(containerd.blobs),
    snapshots: again(containerd.snapshots),
    read: again(containerd.read),
    // It may be in use for a moment by the pull that has just failed.
    abort: again(containerd.abort),
    saveRecord: again(containerd.saveRecord),
    deleteRecord: again(containerd.deleteRecord),
    unlabelRecord: again(containerd.unlabelRecord),
    unlabelBlob: again(containerd.unlabelBlob),
    tag: again(containerd.tag),
    importArchive: again(containerd.importArchive),
  };
}
