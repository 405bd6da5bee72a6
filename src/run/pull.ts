// Pulls one image with retry: p-retry loops, core/retry.ts decides, slots.ts limits.
import pRetry from "p-retry";
import type { Containerd } from "../containerd/containerd.ts";
import { CommandError } from "../containerd/command.ts";
import { brokenDownload } from "../core/evidence.ts";
import { Failed, type Failure } from "../core/failure.ts";
import type { WantedImage } from "../core/plan.ts";
import { nextAttempt, type NextAttempt } from "../core/retry.ts";
import { formatDuration } from "../core/units.ts";
import type { Context } from "./context.ts";
import type { Comeback } from "./ready.ts";
import type { RegistryHealth, Visit } from "./registry-health.ts";
import type { PullSlots } from "./slots.ts";
import { toFailure } from "./tool-failure.ts";

export interface Puller extends Pick<Context, "config" | "clock" | "emit" | "stop"> {
  readonly containerd: Pick<Containerd, "pull" | "abort">;
  readonly slots: PullSlots;
  readonly health: RegistryHealth;
  /** What goes with an attempt: what must hold before it, what watches it, what mends the node after it. */
  readonly around: Around;
}

export interface Around {
  /** Such as free disk. @throws Failed */
  readonly admit: () => Promise<void>;
  /**
   * @param answered told when bytes of the image arrive in this attempt
   * @returns how to stop watching
   */
  readonly watch: (image: WantedImage, abort: AbortController, answered: () => void) => () => void;
  /** Told of a full disk before the slot is given to the next image. @returns the failure with what was found */
  readonly diskFull: (image: WantedImage, failure: Failure) => Promise<Failure>;
  /** Resolves when containerd answers again. @throws when it does not in its time */
  readonly comeback: Comeback;
}

/** What the attempts of one image share. */
interface Job {
  readonly image: WantedImage;
  readonly mostAttempts: number;
  attempts: number;
  /** Attempts that were too many at once, which is not the image's fault: they do not count. */
  crowded: number;
  /** Of the last attempt. */
  failure?: Failure;
  /** By the clock. An image's time begins with its first attempt, not while it waits for a slot. */
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

/** @returns how it failed after all attempts; undefined when it was pulled */
export async function pullImage(
  puller: Puller,
  image: WantedImage,
  mostAttempts: number,
): Promise<Failure | undefined> {
  const job: Job = { image, mostAttempts, attempts: 0, crowded: 0 };
  const { around, clock, stop } = puller;
  try {
    await pRetry(() => inSlot(puller, job), {
      // core/retry.ts counts the attempts.
      retries: Number.POSITIVE_INFINITY,
      minTimeout: 0,
      shouldRetry: async ({ error }) => {
        if (!(error instanceof AttemptFailed)) return false;
        if (error.next.kind === "after-runtime") await around.comeback();
        if (error.next.kind === "later") await clock.sleep(error.next.delay, stop.signal);
        return error.next.kind !== "stop";
      },
    });
    return undefined;
  } catch (error) {
    return error instanceof AttemptFailed ? error.failure : toFailure(error, stop.signal);
  }
}

/** Waits for the registry before the slot, and asks again inside: it may have closed meanwhile. */
async function inSlot(puller: Puller, job: Job): Promise<void> {
  const { health, stop, slots } = puller;
  for (;;) {
    await health.untilOpen(job.image, stop.signal);
    const asked = await slots.take(async () => {
      using visit = health.enter(job.image);
      if (visit === undefined) return false;
      await attempt(puller, job, visit);
      return true;
    });
    if (asked) return;
  }
}

async function attempt(puller: Puller, job: Job, visit: Visit): Promise<void> {
  const { stop, clock, emit, around, containerd } = puller;
  const { image } = job;
  const { name } = image.source;
  stop.signal.throwIfAborted();
  if (visit.refused) throw alreadyRefused(image);
  if (visit.exhausted && job.failure !== undefined) throw new AttemptFailed(job.failure, { kind: "stop" });
  await around.admit();
  job.attempts += 1;
  job.endsAt ??= clock.now() + image.timeout;
  emit({ type: "attempt-started", image: name, attempt: job.attempts });
  const abort = new AbortController();
  const signal = AbortSignal.any([stop.signal, abort.signal]);
  const begun = clock.now();
  const unwatch = around.watch(image, abort, visit.answered);
  try {
    await containerd.pull(name, { signal, timeout: Math.max(1, job.endsAt - clock.now()), ...login(image) });
    visit.succeeded();
    puller.slots.pulled();
    emit({ type: "pulled", image: name, attempt: job.attempts });
  } catch (error) {
    throw await failed(puller, job, visit, { error, signal, begun });
  } finally {
    unwatch();
  }
}

const login = ({ credential }: WantedImage) => (credential === undefined ? {} : { credential });

interface Thrown {
  readonly error: unknown;
  /** That could end the attempt. */
  readonly signal: AbortSignal;
  /** When the attempt began, by the clock. */
  readonly begun: number;
}

/** Mends what can be, decides, tells, and gives what to throw. */
async function failed(
  puller: Puller,
  job: Job,
  visit: Visit,
  { error, signal, begun }: Thrown,
): Promise<AttemptFailed> {
  const { containerd, emit, around, config, clock, health, slots } = puller;
  const { image, attempts } = job;
  const seen = timedOut(error, image) ?? toFailure(error, signal);
  const failure = seen.class === "disk" && !signal.aborted ? await around.diskFull(image, seen) : seen;
  job.failure = failure;
  const raw = error instanceof CommandError ? error.raw : "";
  const broken = brokenDownload(raw);
  // Kept by the lease, it would fail every further attempt in the same way.
  if (broken !== undefined) await containerd.abort(broken).catch(() => {});
  const crowded = failure.class === "rate-limit" && slots.refused(begun);
  if (crowded) job.crowded += 1;
  const exhausted = !crowded && visit.failed(failure);
  const next = nextAttempt(failure.class, config.retry, {
    attempt: attempts,
    last: exhausted || attempts - job.crowded >= job.mostAttempts,
    registryWait: health.waitFor(image.source.domain),
    timeLeft: (job.endsAt ?? 0) - clock.now(),
    random: clock.random(),
  });
  const retryIn = next.kind === "stop" ? {} : { retryIn: next.kind === "later" ? next.delay : 0 };
  emit({ type: "attempt-failed", image: image.source.name, attempt: attempts, failure, ...retryIn });
  return new AttemptFailed(failure, next);
}

const timedOut = (error: unknown, { timeout }: WantedImage): Failure | undefined =>
  error instanceof CommandError && error.timedOut
    ? { class: "timeout", message: `not complete after ${formatDuration(timeout)} (image_timeout)` }
    : undefined;

const alreadyRefused = ({ source }: WantedImage): Failed =>
  new Failed({
    class: "auth",
    message: `not tried: ${source.domain} refused these credentials for another image, and a further try could lock the account`,
  });
