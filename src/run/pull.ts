// Starts the pulls that core/decide.ts chooses, and feeds back how they end. Only this module waits between attempts.
import type { Containerd } from "../containerd/containerd.ts";
import { CommandError } from "../containerd/command.ts";
import { decide, opensAt } from "../core/decide.ts";
import { brokenDownload } from "../core/evidence.ts";
import { actionOf, Failed, type Failure } from "../core/failure.ts";
import type { WantedImage } from "../core/plan.ts";
import {
  added,
  began,
  failed,
  limitOf,
  patienceOf,
  progressed,
  pulled,
  removed,
  startSchedule,
  type Schedule,
} from "../core/schedule.ts";
import type { Context } from "./context.ts";
import type { UntilBack } from "./ready.ts";
import { toFailure } from "./tool-failure.ts";
import type { Watch, Watched } from "./watch.ts";

export interface PullOptions extends Pick<Context, "config" | "clock" | "emit" | "stop"> {
  readonly containerd: Pick<Containerd, "pull" | "abort">;
  readonly watch: Pick<Watch, "begin">;
  readonly untilBack: UntilBack;
  /** Checks the preconditions of an attempt, such as free disk space. @throws Failed */
  readonly admit: () => Promise<void>;
  /** Handles a full disk before another image starts. @returns the failure, with what was found */
  readonly diskFull: (image: WantedImage, failure: Failure) => Promise<Failure>;
}

/** @param optional as in `Pending`. @returns the final failure; undefined if the image was pulled */
export type Pull = (image: WantedImage, optional: boolean) => Promise<Failure | undefined>;

/** A requested image, until it is pulled or given up. */
interface Job {
  readonly image: WantedImage;
  readonly end: PromiseWithResolvers<Failure | undefined>;
  attempts: number;
  /** Ends the attempt that is under way. */
  abort?: AbortController;
}

export function puller(options: PullOptions): Pull {
  const loop = new PullLoop(options);
  return (image, optional) => loop.pull(image, optional);
}

class PullLoop {
  readonly #options: PullOptions;
  readonly #jobs = new Map<string, Job>();
  #schedule: Schedule;
  /** The limit that was reported last. */
  #limit: number;
  #isRuntimeAway = false;
  #isAsked = false;
  #alarm: Disposable | undefined;

  constructor(options: PullOptions) {
    this.#options = options;
    this.#schedule = startSchedule(options.config);
    this.#limit = limitOf(this.#schedule);
    options.stop.signal.addEventListener("abort", this.#ask);
  }

  pull(image: WantedImage, optional: boolean): Promise<Failure | undefined> {
    const job: Job = { image, end: Promise.withResolvers(), attempts: 0 };
    this.#jobs.set(image.source.name, job);
    this.#become(added(this.#schedule, image, optional));
    return job.end.promise;
  }

  /** Coalesces events: however many occur at one moment, `#turn` runs once. */
  readonly #ask = (): void => {
    if (!this.#isAsked) queueMicrotask(() => this.#turn());
    this.#isAsked = true;
  };

  #become(next: Schedule): void {
    this.#schedule = next;
    this.#ask();
  }

  #turn(): void {
    const { clock, stop } = this.#options;
    this.#isAsked = false;
    this.#alarm?.[Symbol.dispose]();
    if (stop.signal.aborted) return this.#giveAllUp();
    const { start, end, giveUp, askAgainAt } = decide(this.#schedule, clock.now());
    for (const { name, failure } of giveUp) this.#finish(name, failure);
    for (const { name, failure } of end) this.#jobs.get(name)?.abort?.abort(new Failed(failure));
    if (!this.#isRuntimeAway) for (const name of start) this.#begin(name);
    this.#tellLimit();
    if (askAgainAt < Number.POSITIVE_INFINITY) this.#alarm = clock.after(askAgainAt - clock.now(), this.#ask);
  }

  /** Attempts that are under way end by the same signal. */
  #giveAllUp(): void {
    const failure = toFailure(this.#options.stop.signal.reason);
    for (const [name, { abort }] of this.#jobs) if (abort === undefined) this.#finish(name, failure);
  }

  #tellLimit(): void {
    const { emit } = this.#options;
    const images = limitOf(this.#schedule);
    const why = images < this.#limit ? "a registry answers 429" : "the pulls since then were not refused";
    if (images !== this.#limit) emit({ type: "concurrency", images, why });
    this.#limit = images;
  }

  #begin(name: string): void {
    const { clock } = this.#options;
    const [job, pending] = [this.#jobs.get(name), this.#schedule.pending.get(name)];
    if (job === undefined || pending === undefined) return;
    const abort = new AbortController();
    const watched: Watched = {
      abort,
      patience: patienceOf(this.#schedule, pending),
      progressed: (what) => this.#become(progressed(this.#schedule, name, what, clock.now())),
    };
    job.abort = abort;
    this.#become(began(this.#schedule, name, clock.now()));
    this.#follow(job, watched).catch(job.end.reject);
  }

  async #follow(job: Job, watched: Watched): Promise<void> {
    const failure = await attempt(this.#options, job, watched);
    delete job.abort;
    if (failure === undefined) this.#pulled(job);
    else this.#failed(job, failure);
  }

  #pulled({ image, attempts }: Job): void {
    const { clock, emit } = this.#options;
    const { name } = image.source;
    emit({ type: "pulled", image: name, attempt: attempts });
    this.#become(pulled(this.#schedule, name, clock.now()));
    this.#finish(name);
  }

  #failed(job: Job, failure: Failure): void {
    const { clock, emit, stop } = this.#options;
    const { name } = job.image.source;
    const now = clock.now();
    this.#become(failed(this.#schedule, name, { failure, now, random: clock.random() }));
    const left = stop.signal.aborted ? undefined : this.#schedule.pending.get(name);
    const next = left === undefined ? Number.POSITIVE_INFINITY : opensAt(this.#schedule, left);
    const retry = Number.isFinite(next) ? { retryIn: Math.max(0, next - now) } : {};
    emit({ type: "attempt-failed", image: name, attempt: job.attempts, failure, ...retry });
    if (left === undefined) this.#finish(name, failure);
    else if (actionOf(failure) === "wait-for-runtime") this.#waitForRuntime(job);
  }

  /** No attempt starts meanwhile. If the runtime does not come back, the run stops. */
  #waitForRuntime(job: Job): void {
    this.#isRuntimeAway = true;
    this.#options
      .untilBack()
      .catch(toFailure)
      .finally(() => {
        this.#isRuntimeAway = false;
        this.#ask();
      })
      .catch(job.end.reject);
  }

  #finish(name: string, failure?: Failure): void {
    this.#become(removed(this.#schedule, name));
    this.#jobs.get(name)?.end.resolve(failure);
    this.#jobs.delete(name);
  }
}

/** @returns the failure, if any. @throws a bug */
async function attempt(options: PullOptions, job: Job, watched: Watched): Promise<Failure | undefined> {
  const { containerd, watch, stop, emit, admit } = options;
  const { source, credential } = job.image;
  const signal = AbortSignal.any([stop.signal, watched.abort.signal]);
  let unwatch: (() => void) | undefined;
  try {
    await admit();
    job.attempts += 1;
    emit({ type: "attempt-started", image: source.name, attempt: job.attempts });
    unwatch = watch.begin(job.image, watched);
    await containerd.pull(source.name, { signal, credential });
    return undefined;
  } catch (error) {
    return await explain(options, job.image, error, signal);
  } finally {
    unwatch?.();
  }
}

/** Classifies the error, and removes what would break the next attempt too. @throws a bug */
async function explain(
  { containerd, diskFull }: PullOptions,
  image: WantedImage,
  error: unknown,
  signal: AbortSignal,
): Promise<Failure> {
  const failure = toFailure(error, signal);
  if (signal.aborted || !(error instanceof CommandError)) return failure;
  if (failure.class === "disk") return diskFull(image, failure);
  const broken = brokenDownload(error.raw);
  // The lease would keep the broken download, and every further attempt would fail in the same way.
  if (broken !== undefined) await containerd.abort(broken).catch(toFailure);
  return failure;
}
