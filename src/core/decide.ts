// Decides which image to pull next and when to decide again: a pure function of the schedule and the time.
import type { Failure } from "./failure.ts";
import type { WantedImage } from "./plan.ts";
import {
  isUnderWay,
  limitOf,
  loginKey,
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
  const asked = new Set(underWay.filter(isUnserved).map(({ image }) => image.source.domain));
  const giveUp = idle.flatMap((image) => givenUp(image, refusalOf(schedule, image, asked, now)));
  const gone = new Set(giveUp.map(({ name }) => name));
  const waiting = idle.filter(({ image }) => !gone.has(image.source.name));
  const bounds = underWay.map((image) => ({ image, bounds: boundsOf(schedule, image) }));
  return {
    start: choose(schedule, waiting, underWay, now),
    end: bounds.flatMap((each) => givenUp(each.image, each.bounds.find(({ at }) => at <= now)?.failure)),
    giveUp,
    askAgainAt: earliest(now, [
      ...waiting.flatMap((image) => [opensAt(schedule, image), givenUpAt(schedule, image)]),
      ...bounds.flatMap((each) => each.bounds.map(({ at }) => at)),
    ]),
  };
}

const givenUp = ({ image }: Pending, failure: Failure | undefined): GivenUp[] =>
  failure === undefined ? [] : [{ name: image.source.name, failure }];

const earliest = (now: number, times: readonly number[]): number =>
  times.reduce((first, at) => (at > now ? Math.min(first, at) : first), Number.POSITIVE_INFINITY);

/** Earliest time of the image's next attempt; other images may delay it further. */
export function opensAt(schedule: Schedule, image: Pending): number {
  const { pausedUntil, trouble } = registryOf(schedule, image);
  return Math.max(image.dueAt, pausedUntil, trouble?.opensAt ?? pausedUntil);
}

function choose(
  schedule: Schedule,
  waiting: readonly Pending[],
  underWay: readonly UnderWay[],
  now: number,
): string[] {
  const open = new Set(
    probersOf(
      schedule,
      waiting.filter((image) => opensAt(schedule, image) <= now),
    ),
  );
  const busy = [...underWay];
  const chosen: string[] = [];
  for (let room = limitOf(schedule) - busy.length; room > 0; room -= 1) {
    const next = bestOf(schedule, open, busy);
    if (next === undefined) break;
    open.delete(next);
    chosen.push(next.image.source.name);
    busy.push({ ...next, attempt: { begunAt: now, served: false } });
  }
  return chosen;
}

/** Only the least recently tried image probes a registry in trouble, so that a broken image does not speak for all. */
function probersOf(schedule: Schedule, due: readonly Pending[]): Pending[] {
  const probers = new Map<string, Pending>();
  for (const each of due) {
    const { domain } = each.image.source;
    const other = probers.get(domain);
    if (other === undefined || each.triedAt < other.triedAt) probers.set(domain, each);
  }
  return due.filter((each) => !inTrouble(schedule, each) || probers.get(each.image.source.domain) === each);
}

const inTrouble = (schedule: Schedule, image: Pending): boolean =>
  registryOf(schedule, image).trouble !== undefined;

/** Due retries first, then images of the registry with the fewest running attempts, so that none takes all slots. */
function bestOf(schedule: Schedule, open: Iterable<Pending>, busy: readonly UnderWay[]): Pending | undefined {
  const counts = Map.groupBy(busy, ({ image }) => image.source.domain);
  let best: { readonly image: Pending; readonly rank: number } | undefined;
  for (const image of open) {
    const isRetry = image.attempts > 0 && !inTrouble(schedule, image);
    const others = counts.get(image.image.source.domain) ?? [];
    const rank = (isRetry ? 0 : busy.length + 1) + others.length;
    if (rank < (best?.rank ?? Number.POSITIVE_INFINITY) && mayAsk(schedule, image, others))
      best = { image, rank };
  }
  return best?.image;
}

const isUnserved = ({ attempt }: UnderWay): boolean => !attempt.served;

/** An unproven login and a registry in trouble each get one attempt at a time. */
function mayAsk(schedule: Schedule, image: Pending, others: readonly UnderWay[]): boolean {
  const unproven = others.filter(isUnserved);
  if (inTrouble(schedule, image)) return unproven.length === 0;
  const isNew = loginOf(schedule, image.image)?.taken === false;
  return !isNew || unproven.every((other) => loginKey(other.image) !== loginKey(image.image));
}

/** Why a waiting image gets no further attempt; undefined if it may get one. */
function refusalOf(
  schedule: Schedule,
  image: Pending,
  asked: ReadonlySet<string>,
  now: number,
): Failure | undefined {
  const { trouble } = registryOf(schedule, image);
  const mayBeAsked = trouble !== undefined && trouble.opensAt <= now && !asked.has(image.image.source.domain);
  if (trouble !== undefined && !mayBeAsked && givenUpAt(schedule, image) <= now)
    return image.optional ? trouble.failure : gaveNothing(schedule, image, trouble);
  return refusedBefore(schedule, image.image);
}

/** When the images of a registry in trouble are given up. Optional images give up earlier. */
function givenUpAt(schedule: Schedule, image: Pending): number {
  const { trouble } = registryOf(schedule, image);
  if (trouble === undefined) return Number.POSITIVE_INFINITY;
  const isLong =
    trouble.rounds >= OPTIONAL_ATTEMPTS || trouble.opensAt - trouble.roundAt > 2 * OPTIONAL_PATIENCE;
  return image.optional && isLong ? trouble.roundAt : trouble.since + schedule.settings.registry_timeout;
}

function gaveNothing({ settings }: Schedule, { image }: Pending, { failure }: Trouble): Failure {
  const quiet = `${image.source.domain} gave nothing for ${formatDuration(settings.registry_timeout)} (registry_timeout)`;
  return { ...failure, message: `${quiet}: ${failure.message}` };
}

function refusedBefore(schedule: Schedule, image: WantedImage): Failure | undefined {
  const login = loginOf(schedule, image);
  if (login === undefined || !(login.refused || login.refusedFor.has(image.source.path))) return undefined;
  const whose = login.refused ? "another image" : "another image of this repository";
  const message = `not tried: ${image.source.domain} refused these credentials for ${whose}, and a further try could lock the account`;
  return { class: "auth", message };
}

/** The time limits of a running attempt, each with the failure that it causes. */
function boundsOf(
  schedule: Schedule,
  image: UnderWay,
): readonly { readonly at: number; readonly failure: Failure }[] {
  const { optional, spent, attempt } = image;
  const { timeout } = image.image;
  const { trouble, gaveAt } = registryOf(schedule, image);
  const late = `not complete after ${formatDuration(timeout)} (image_timeout)`;
  const own = {
    at: attempt.begunAt + timeout - spent,
    failure: { class: "timeout", message: late },
  } as const;
  if (attempt.served) return [own];
  const silence = `no answer within ${formatDuration(OPTIONAL_PATIENCE)}`;
  if (optional && gaveAt < attempt.begunAt)
    return [own, { at: attempt.begunAt + OPTIONAL_PATIENCE, failure: { class: "stall", message: silence } }];
  if (trouble === undefined) return [own];
  return [own, { at: givenUpAt(schedule, image), failure: gaveNothing(schedule, image, trouble) }];
}
