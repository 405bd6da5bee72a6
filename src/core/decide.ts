// Decides which image to pull next and when to decide again: a pure function of the schedule and the time.
import type { Failure } from "./failure.ts";
import {
  domainOf,
  isUnderWay,
  limitOf,
  loginOf,
  OPTIONAL_ATTEMPTS,
  registryOf,
  type Pending,
  type Schedule,
  type Trouble,
  type UnderWay,
} from "./schedule.ts";
import { formatDuration } from "./units.ts";

export interface Decision {
  /** Source names of the images to attempt now. */
  readonly start: readonly string[];
  /** Running attempts to abort. */
  readonly end: readonly GivenUp[];
  /** Waiting images that get no further attempt. */
  readonly giveUp: readonly GivenUp[];
  /** When time alone may change the decision; infinite if only an event can. */
  readonly askAgainAt: number;
}

interface GivenUp {
  readonly name: string;
  readonly failure: Failure;
}

/** Milliseconds that an optional image waits for an answer. */
const OPTIONAL_PATIENCE = 3_000;

export function decide(schedule: Schedule, now: number): Decision {
  const all = [...schedule.pending.values()];
  const underWay = all.filter(isUnderWay);
  const idle = all.filter((image) => !isUnderWay(image));
  const asked = new Set(underWay.filter(isUnserved).map(domainOf));
  const giveUp = idle.flatMap((image) =>
    givenUp(image, refusalOf(schedule, image, asked.has(domainOf(image)), now)),
  );
  const gone = new Set(giveUp.map(({ name }) => name));
  const waiting = idle.filter(({ image }) => !gone.has(image.source.name));
  const due = waiting.filter((image) => opensAt(schedule, image) <= now);
  const bounds = underWay.map((image) => ({ image, bounds: boundsOf(schedule, image) }));
  const times = [
    ...waiting.flatMap((image) => [opensAt(schedule, image), givenUpAt(schedule, image)]),
    ...bounds.flatMap((each) => each.bounds.map(({ at }) => at)),
  ];
  return {
    start: choose(schedule, due, underWay),
    end: bounds.flatMap((each) => givenUp(each.image, each.bounds.find(({ at }) => at <= now)?.failure)),
    giveUp,
    askAgainAt: Math.min(...times.filter((at) => at > now)),
  };
}

const givenUp = ({ image }: Pending, failure: Failure | undefined): GivenUp[] =>
  failure === undefined ? [] : [{ name: image.source.name, failure }];

/** Earliest time of the image's next attempt; other images may delay it further. */
export function opensAt(schedule: Schedule, image: Pending): number {
  const { pausedUntil, trouble } = registryOf(schedule, image);
  return Math.max(image.dueAt, pausedUntil, trouble?.opensAt ?? pausedUntil);
}

function choose(schedule: Schedule, due: readonly Pending[], underWay: readonly UnderWay[]): string[] {
  const open = new Set(probersOf(schedule, due));
  const chosen: Pending[] = [];
  while (underWay.length + chosen.length < limitOf(schedule)) {
    const next = bestOf(schedule, open, [...underWay, ...chosen]);
    if (next === undefined) break;
    open.delete(next);
    chosen.push(next);
  }
  return chosen.map(({ image }) => image.source.name);
}

/** Only the least recently tried image probes a registry in trouble, so that a broken image does not speak for all. */
function probersOf(schedule: Schedule, due: readonly Pending[]): Pending[] {
  const probers = new Map<string, Pending>();
  for (const each of due) {
    const other = probers.get(domainOf(each));
    if (other === undefined || each.triedAt < other.triedAt) probers.set(domainOf(each), each);
  }
  return due.filter((each) => !inTrouble(schedule, each) || probers.get(domainOf(each)) === each);
}

const inTrouble = (schedule: Schedule, image: Pending): boolean =>
  registryOf(schedule, image).trouble !== undefined;

/** Due retries first, then images of the registry with the fewest running attempts, so that none takes all slots. */
function bestOf(schedule: Schedule, open: Iterable<Pending>, busy: readonly Pending[]): Pending | undefined {
  const counts = Map.groupBy(busy, domainOf);
  let best: { readonly image: Pending; readonly rank: number } | undefined;
  for (const image of open) {
    const isRetry = image.attempts > 0 && !inTrouble(schedule, image);
    const others = counts.get(domainOf(image)) ?? [];
    const rank = (isRetry ? 0 : busy.length + 1) + others.length;
    if (rank < (best?.rank ?? Number.POSITIVE_INFINITY) && mayAsk(schedule, image, others))
      best = { image, rank };
  }
  return best?.image;
}

/** Of an attempt that runs, or is about to start. */
const isUnserved = ({ attempt }: Pending): boolean => attempt?.served !== true;

/** An unproven login and a registry in trouble each get one attempt at a time. */
function mayAsk(schedule: Schedule, image: Pending, others: readonly Pending[]): boolean {
  const unproven = others.filter(isUnserved);
  if (inTrouble(schedule, image)) return unproven.length === 0;
  const login = loginOf(schedule, image);
  return login?.taken !== false || unproven.every((other) => loginOf(schedule, other)?.key !== login.key);
}

/** Why a waiting image gets no further attempt; undefined if it may get one. */
function refusalOf(schedule: Schedule, image: Pending, isAsked: boolean, now: number): Failure | undefined {
  const { trouble } = registryOf(schedule, image);
  const mayBeAsked = trouble === undefined || (trouble.opensAt <= now && !isAsked);
  if (mayBeAsked || givenUpAt(schedule, image) > now) return refusedBefore(schedule, image);
  return image.optional ? trouble.failure : gaveNothing(schedule, image, trouble);
}

/** When the images of a registry in trouble are given up. Optional images give up earlier. */
function givenUpAt(schedule: Schedule, image: Pending): number {
  const { trouble } = registryOf(schedule, image);
  if (trouble === undefined) return Number.POSITIVE_INFINITY;
  const isLong =
    trouble.rounds >= OPTIONAL_ATTEMPTS || trouble.opensAt - trouble.roundAt > 2 * OPTIONAL_PATIENCE;
  return image.optional && isLong ? trouble.roundAt : trouble.since + schedule.settings.registry_timeout;
}

function gaveNothing({ settings }: Schedule, image: Pending, { failure }: Trouble): Failure {
  const quiet = `${domainOf(image)} gave nothing for ${formatDuration(settings.registry_timeout)} (registry_timeout)`;
  return { ...failure, message: `${quiet}: ${failure.message}` };
}

function refusedBefore(schedule: Schedule, image: Pending): Failure | undefined {
  const login = loginOf(schedule, image);
  const { path } = image.image.source;
  if (login === undefined || !(login.refused || login.refusedFor.has(path))) return undefined;
  const whose = login.refused ? "another image" : "another image of this repository";
  const message = `not tried: ${domainOf(image)} refused these credentials for ${whose}, and a further try could lock the account`;
  return { class: "auth", message };
}

type Bound = { readonly at: number; readonly failure: Failure };

/** The time limits of a running attempt, each with the failure that it causes. */
function boundsOf(schedule: Schedule, image: UnderWay): readonly Bound[] {
  const { optional, spent, attempt } = image;
  const { timeout } = image.image;
  const { trouble, gaveAt } = registryOf(schedule, image);
  const late = `not complete after ${formatDuration(timeout)} (image_timeout)`;
  const own: Bound = { at: attempt.begunAt + timeout - spent, failure: { class: "timeout", message: late } };
  if (attempt.served) return [own];
  const silence = `no answer within ${formatDuration(OPTIONAL_PATIENCE)}`;
  if (optional && gaveAt < attempt.begunAt)
    return [own, { at: attempt.begunAt + OPTIONAL_PATIENCE, failure: { class: "stall", message: silence } }];
  if (trouble === undefined) return [own];
  return [own, { at: givenUpAt(schedule, image), failure: gaveNothing(schedule, image, trouble) }];
}
