// Waits for containerd. Before a run, because BOSH reports it as running once its process exists, whether or not its
// socket answers; and in every step, because it may be restarted at any time.
import pRetry from "p-retry";
import type { Containerd } from "../containerd/containerd.ts";
import { isExecutable } from "../containerd/command.ts";
import { ApiError } from "../containerd/connection.ts";
import { actionOf, CODE, Failed } from "../core/failure.ts";
import type { ContainerdConfig } from "../config/config.ts";
import { capabilitiesOf, type Capabilities } from "../core/capabilities.ts";
import { messageOf } from "../core/plain-text.ts";
import { formatDuration } from "../core/units.ts";
import { EXIT, ExitError } from "../exit.ts";
import type { Context } from "./context.ts";
import { runtimeUnusable, toFailure } from "./tool-failure.ts";

const POLL = 250;

/** @throws ExitError (runtime not ready) if a tool is missing, which waiting does not fix */
export function requireTools(config: ContainerdConfig): void {
  const missing = (["crictl", "ctr"] as const)
    .filter((tool) => !isExecutable(config[tool]))
    .map((tool) => `${tool} is not an executable at ${config[tool]} (property containerd.${tool})`);
  if (missing.length > 0)
    throw new ExitError(EXIT.runtimeNotReady, `container runtime not usable: ${missing.join("; ")}`);
}

export type Waiting = Pick<Context, "config" | "containerd" | "clock"> & {
  /** Ends the wait early. */
  readonly signal: AbortSignal;
  /** Called once, if containerd does not answer at first. */
  readonly onWait: (why: string) => void;
};

/** @throws ExitError (runtime not ready), also for a deadline; or another reason of the signal */
export async function untilReady(waiting: Waiting): Promise<Capabilities> {
  const { config, containerd, clock, signal, onWait } = waiting;
  const { socket, ready_timeout: patience } = config.containerd;
  const until = clock.now() + patience;
  const over = new AbortController();
  using _bound = clock.after(patience, () => over.abort());
  const bound = AbortSignal.any([signal, over.signal]);
  for (let first = true; ; first = false) {
    try {
      return capabilitiesOf(await containerd.version(bound));
    } catch (error) {
      if (signal.aborted) throw stoppedBefore(config.containerd, signal.reason);
      if (error instanceof ApiError && HOPELESS.has(error.code)) throw runtimeUnusable(error);
      if (first) onWait(`containerd at ${socket} does not answer yet`);
      if (clock.now() + POLL >= until) throw notReady(config.containerd, error);
      // If the signal aborts this sleep, the next attempt throws its reason.
      await clock.sleep(POLL, signal).catch(() => {});
    }
  }
}

/** Errors that waiting does not fix: a missing permission, or a containerd without CRI v1. */
const HOPELESS = new Set<number | undefined>([CODE.permissionDenied, CODE.unimplemented]);

/** Codes of a call that received no answer. */
const SILENT = new Set<number>([CODE.cancelled, CODE.deadlineExceeded]);

function notReady({ socket, ready_timeout: patience }: ContainerdConfig, error: unknown): ExitError {
  const why = error instanceof ApiError && SILENT.has(error.code) ? "none" : messageOf(error);
  const within = `${formatDuration(patience)} (property containerd.ready_timeout)`;
  return unanswered(socket, `within ${within}. Last answer: ${why}`);
}

/** If the deadline ends the wait, the cause is still that containerd does not answer. */
const stoppedBefore = ({ socket }: ContainerdConfig, reason: unknown): unknown =>
  reason instanceof Failed && reason.failure.class === "timeout"
    ? unanswered(socket, `and ${reason.message}`)
    : reason;

const unanswered = (socket: string, how: string): ExitError =>
  new ExitError(
    EXIT.runtimeNotReady,
    `container runtime not ready: containerd at ${socket} did not answer ${how}. ` +
      "See whether containerd runs, and whether property containerd.socket is its socket",
  );

/** All steps that lose containerd share one wait. @throws Failed (runtime) if it does not come back */
export type UntilBack = () => Promise<void>;

export function runtimeWait(context: Context): UntilBack {
  const { clock, emit, stop } = context;
  let waiting: Promise<void> | undefined;
  const wait = async (): Promise<void> => {
    let waited = false;
    const onWait = (why: string): void => {
      waited = true;
      emit({ type: "waiting", phase: "waiting-for-runtime", why });
    };
    await untilReady({ ...context, signal: stop.signal, onWait }).catch(stop.runtimeLost);
    // containerd may answer while the step still fails. Without this pause, the step would retry in a tight loop.
    await clock.sleep(POLL, stop.signal);
    if (waited) emit({ type: "runtime-back" });
  };
  return () => (waiting ??= wait().finally(() => (waiting = undefined)));
}

/** More attempts would not help: either containerd is not the cause, or our own request crashes it. */
const TRIES = 3;

/** Retries a call once containerd is back. Pulls and imports retry themselves; the watcher polls downloads anyway. */
export function withRetry(containerd: Containerd, untilBack: UntilBack): Containerd {
  const again =
    <Args extends unknown[], Answer>(ask: (...args: Args) => Promise<Answer>) =>
    (...args: Args): Promise<Answer> =>
      pRetry(() => ask(...args), {
        retries: TRIES - 1,
        minTimeout: 0,
        shouldRetry: async ({ error }) => {
          if (actionOf(toFailure(error)) !== "wait-for-runtime") return false;
          await untilBack();
          return true;
        },
      });
  return {
    ...containerd,
    criImages: again(containerd.criImages),
    records: again(containerd.records),
    record: again(containerd.record),
    blobs: again(containerd.blobs),
    blob: again(containerd.blob),
    snapshots: again(containerd.snapshots),
    snapshot: again(containerd.snapshot),
    layerDirectories: again(containerd.layerDirectories),
    removeSnapshot: again(containerd.removeSnapshot),
    deleteBlob: again(containerd.deleteBlob),
    unlinkSnapshot: again(containerd.unlinkSnapshot),
    contentDirectory: again(containerd.contentDirectory),
    imageDirectory: again(containerd.imageDirectory),
    createLease: again(containerd.createLease),
    deleteLease: again(containerd.deleteLease),
    unpack: again(containerd.unpack),
    read: again(containerd.read),
    // The pull that has just failed may still use the download for a moment.
    abort: again(containerd.abort),
    saveRecord: again(containerd.saveRecord),
    deleteRecord: again(containerd.deleteRecord),
    tag: again(containerd.tag),
  };
}
