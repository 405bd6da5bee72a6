// Pulls with retry. The only module that knows p-retry, which loops; core/retry.ts decides, slots.ts limits.
import pRetry from "p-retry";
import { isWrongPassword } from "../core/evidence.ts";
import type { Failure } from "../core/failure.ts";
import type { WantedImage } from "../core/plan.ts";
import { nextAttempt, type NextAttempt, type RetryPolicy } from "../core/retry.ts";
import type { Emit } from "../core/run-state.ts";
import { formatDuration } from "../core/units.ts";
import { CommandError } from "../runtime/command.ts";
import type { ImageRuntime } from "../runtime/image-runtime.ts";
import { Interruption } from "./interruption.ts";
import { pause } from "./pause.ts";
import { toFailure } from "./tool-failure.ts";
import type { Asking, RegistryHealth, Visit } from "./registry-health.ts";
import { slots, type Slots } from "./slots.ts";

export interface PullerOptions {
  readonly runtime: Pick<ImageRuntime, "pull">;
  readonly concurrency: number;
  readonly policy: RetryPolicy;
  readonly health: RegistryHealth;
  readonly emit: Emit;
  /** Ends every pull; its reason is an Interruption. */
  readonly signal: AbortSignal;
  /** Watches an attempt, which it may end through `abort`. @returns how to stop watching */
  readonly watch: (image: WantedImage, abort: AbortController) => () => void;
  /** What must hold before each attempt, such as free disk. @throws Interruption */
  readonly admit: (image: WantedImage) => Promise<void>;
  /** Told of a full disk before the slot is given to the next image. @returns the failure with what was found */
  readonly diskFull?: (image: WantedImage, failure: Failure) => Promise<Failure>;
  /** Resolves when containerd answers again. @throws when it does not in its time */
  readonly untilReady: () => Promise<unknown>;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** From 0 to 1. */
  readonly random: () => number;
}

export type Pulled =
  | { readonly ok: true; readonly id: string }
  | { readonly ok: false; readonly failure: Failure };

/** Pulls one image, with as many attempts as it takes and may take. */
export type Pull = (image: WantedImage, mostAttempts: number) => Promise<Pulled>;

export function puller(options: PullerOptions): Pull {
  const limit = slots(options.concurrency);
  return async (image, mostAttempts) => {
    const job: Job = { image, mostAttempts, attempts: 0 };
    try {
      return { ok: true, id: await rounds(options, limit, job) };
    } catch (error) {
      return {
        ok: false,
        failure: error instanceof AttemptFailed ? error.failure : toFailure(error, options.signal),
      };
    }
  };
}

/** What the attempts of one image share. */
interface Job {
  readonly image: WantedImage;
  readonly mostAttempts: number;
  attempts: number;
  /** Of the last attempt. */
  failure?: Failure;
  /** Epoch milliseconds. The clock of an image starts with its first attempt, not while it waits for a slot. */
  endsAt?: number;
}

/** Carries a failed attempt through p-retry, with what was decided about it. */
class AttemptFailed extends Error {
  override readonly name = "AttemptFailed";
  readonly failure: Failure;
  readonly next: NextAttempt;

  constructor(failure: Failure, next: NextAttempt) {
    super(failure.message);
    this.failure = failure;
    this.next = next;
  }
}

/** core/retry.ts counts the attempts; p-retry only has to loop until it says stop. */
const LOOP = { retries: Number.POSITIVE_INFINITY, minTimeout: 0 };

/** Attempts with a wait between them, which holds no slot. */
function rounds(options: PullerOptions, limit: Slots, job: Job): Promise<string> {
  return pRetry(() => inSlot(options, limit, job.image, (visit) => attempt(options, job, visit)), {
    ...LOOP,
    shouldRetry: async ({ error }) => {
      if (!(error instanceof AttemptFailed)) return false;
      if (error.next.kind === "after-runtime") await options.untilReady();
      if (error.next.kind === "later") await pause(error.next.delay, options.signal);
      return error.next.kind !== "stop";
    },
  });
}

/** Waits for the registry before the slot, and asks again inside: it may have closed meanwhile. */
async function inSlot<Value>(
  { health, signal }: PullerOptions,
  limit: Slots,
  { source, credential }: WantedImage,
  use: (visit: Visit) => Promise<Value>,
): Promise<Value> {
  const asking: Asking = { host: source.domain, image: source.name, ...(credential && { credential }) };
  for (;;) {
    await health.untilOpen(asking, signal);
    const used = await limit(async () => {
      using visit = health.enter(asking);
      return visit && { value: await use(visit) };
    });
    if (used !== undefined) return used.value;
  }
}

async function attempt(options: PullerOptions, job: Job, visit: Visit): Promise<string> {
  const { image } = job;
  options.signal.throwIfAborted();
  if (visit.refused) throw alreadyRefused(image);
  if (visit.exhausted && job.failure !== undefined) throw new AttemptFailed(job.failure, { kind: "stop" });
  await options.admit(image);
  job.attempts += 1;
  job.endsAt ??= options.now() + image.timeout;
  options.emit({ type: "attempt-started", image: image.source.name, attempt: job.attempts });
  const abort = new AbortController();
  const signal = AbortSignal.any([options.signal, abort.signal]);
  const unwatch = options.watch(image, abort);
  try {
    const id = await options.runtime.pull(image.source.name, pullOptions(options, job, signal));
    visit.succeeded();
    options.emit({ type: "pulled", image: image.source.name, attempt: job.attempts, id });
    return id;
  } catch (error) {
    const failure = timedOut(error, image) ?? toFailure(error, signal);
    const full = failure.class === "disk" && !signal.aborted;
    job.failure = full ? ((await options.diskFull?.(image, failure)) ?? failure) : failure;
    const wrongPassword = error instanceof CommandError && isWrongPassword(error.raw);
    throw failed(options, job, job.failure, visit.failed(job.failure, wrongPassword));
  } finally {
    unwatch();
  }
}

const timedOut = (error: unknown, { timeout }: WantedImage): Failure | undefined =>
  error instanceof CommandError && error.timedOut
    ? { class: "timeout", message: `not complete after ${formatDuration(timeout)} (image_timeout)` }
    : undefined;

const pullOptions = ({ now }: PullerOptions, { image, endsAt = 0 }: Job, signal: AbortSignal) => ({
  signal,
  timeout: Math.max(1, endsAt - now()),
  ...(image.credential === undefined ? {} : { credential: image.credential }),
});

/** Decides, tells, and gives what to throw. */
function failed(options: PullerOptions, job: Job, failure: Failure, exhausted: boolean): AttemptFailed {
  const { image, attempts } = job;
  const next = nextAttempt(failure.class, options.policy, {
    attempt: attempts,
    last: exhausted || attempts >= job.mostAttempts,
    registryWait: options.health.waitFor(image.source.domain),
    timeLeft: (job.endsAt ?? 0) - options.now(),
    random: options.random(),
  });
  const retryIn = next.kind === "stop" ? {} : { retryIn: next.kind === "later" ? next.delay : 0 };
  options.emit({ type: "attempt-failed", image: image.source.name, attempt: attempts, failure, ...retryIn });
  return new AttemptFailed(failure, next);
}

const alreadyRefused = (image: WantedImage): Interruption =>
  new Interruption({
    class: "auth",
    message: `not tried: ${image.source.domain} refused these credentials for another image, and a further try could lock the account`,
  });
