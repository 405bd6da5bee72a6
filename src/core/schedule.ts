// What is known of images, registries and logins during the pulls, as an immutable value. core/decide.ts reads from it
// what to do next. All times are milliseconds of one monotonic clock.
//
// A registry that sends nothing is in trouble: one image at a time asks it, with back-off, and failures meanwhile do
// not count against an image. Any byte, or an answer such as 401 or 404, ends the trouble.
import { actionOf, type Failure } from "./failure.ts";
import type { WantedImage } from "./plan.ts";
import { backOff, type RetryPolicy } from "./retry.ts";

export interface ScheduleSettings {
  readonly retry: RetryPolicy;
  readonly registry_timeout: number;
  readonly stall_timeout: number;
  readonly concurrency: number | "auto";
}

/** An image that is still to be pulled. */
export interface Pending {
  readonly image: WantedImage;
  /** Usable already, and no newer one was requested explicitly, so the run does not wait long for it. */
  readonly optional: boolean;
  /** Attempts that were started. */
  readonly attempts: number;
  /** Failures that count against the image rather than its registry. */
  readonly failures: number;
  /** Whether `once-more` has granted its last attempt. */
  readonly isLast: boolean;
  /** Time used up of its timeout: by finished attempts and by its own delays. */
  readonly spent: number;
  readonly dueAt: number;
  /** When its last attempt ended. */
  readonly triedAt: number;
  /** The running one. */
  readonly attempt?: Attempt;
}

export interface Attempt {
  readonly begunAt: number;
  /** Bytes arrived, or the whole image is on the node: from then on, silence is not the registry's fault. */
  readonly served: boolean;
}

export type UnderWay = Pending & { readonly attempt: Attempt };
export const domainOf = ({ image }: Pending): string => image.source.domain;
export const isUnderWay = (image: Pending): image is UnderWay => image.attempt !== undefined;

interface Registry {
  /** When it last sent bytes or an answer. */
  readonly gaveAt: number;
  /** End of the pause after a 429, which applies whatever else happens. */
  readonly pausedUntil: number;
  /** How often it was silent in this run. Each time, attempts without a byte get more time. */
  readonly silences: number;
  readonly trouble?: Trouble;
}

export interface Trouble {
  /** Start of the time in which it sent nothing that was asked for. */
  readonly since: number;
  /** How often it was asked in vain. Attempts that ran together count once. */
  readonly rounds: number;
  readonly roundAt: number;
  /** When it may be asked again. */
  readonly opensAt: number;
  readonly failure: Failure;
}

interface Login {
  /** Its registry and credential. */
  readonly key: string;
  /** The registry has sent something for it. */
  readonly taken: boolean;
  readonly refused: boolean;
  /** Repository paths for which it was refused. */
  readonly refusedFor: ReadonlySet<string>;
}

export interface Schedule {
  readonly settings: ScheduleSettings;
  /** By source name, in the order in which to start them. */
  readonly pending: ReadonlyMap<string, Pending>;
  /** By host. */
  readonly registries: ReadonlyMap<string, Registry>;
  /** By `key`. */
  readonly logins: ReadonlyMap<string, Login>;
  /** Set by a 429: the lowered limit, when it was lowered, and the pulls since its last change. */
  readonly lowered?: { readonly to: number; readonly at: number; readonly pulls: number };
}

/** Each pull runs a crictl of about 30 MB. */
const MOST_AT_ONCE = 16;
/** Maximum for an optional image. */
export const OPTIONAL_ATTEMPTS = 2;
/** After 3 rounds, a registry that sends nothing gets a pause of at least 1 s, whatever delays are configured. */
const [QUICK_ROUNDS, LEAST_PAUSE] = [3, 1_000];
const NEVER = Number.NEGATIVE_INFINITY;

export const startSchedule = (settings: ScheduleSettings): Schedule => ({
  settings,
  pending: new Map(),
  registries: new Map(),
  logins: new Map(),
});

export function added(schedule: Schedule, image: WantedImage, optional: boolean): Schedule {
  const fresh = { attempts: 0, failures: 0, isLast: false, spent: 0, dueAt: NEVER, triedAt: NEVER };
  return withPending(schedule, { image, optional, ...fresh });
}

export function removed(schedule: Schedule, name: string): Schedule {
  const pending = new Map(schedule.pending);
  pending.delete(name);
  return { ...schedule, pending };
}

/** The limit of parallel pulls. */
export const limitOf = ({ settings: { concurrency }, lowered }: Schedule): number =>
  concurrency === "auto" ? (lowered?.to ?? MOST_AT_ONCE) : concurrency;

/** Milliseconds that an attempt that starts now may go without a byte. */
export const patienceOf = (schedule: Schedule, image: Pending): number =>
  schedule.settings.stall_timeout * (1 + Math.max(image.attempts, registryOf(schedule, image).silences));

export function began(schedule: Schedule, name: string, now: number): Schedule {
  const image = schedule.pending.get(name);
  if (image === undefined) return schedule;
  const attempt = { begunAt: now, served: false };
  const next = withPending(schedule, { ...image, attempts: image.attempts + 1, attempt });
  const { trouble, ...registry } = registryOf(schedule, image);
  if (trouble === undefined) return next;
  // Time in which no slot was free to ask the registry is not its silence.
  const since = trouble.since + Math.max(0, now - trouble.opensAt);
  return withRegistry(next, image, { ...registry, trouble: { ...trouble, since } });
}

/** @param what `complete`: the whole image is on the node, which proves nothing about its registry */
export function progressed(
  schedule: Schedule,
  name: string,
  what: "bytes" | "complete",
  now: number,
): Schedule {
  const image = schedule.pending.get(name);
  if (image?.attempt === undefined) return schedule;
  const attempt = { ...image.attempt, served: true };
  const known = image.attempt.served ? schedule : withPending(schedule, { ...image, attempt });
  return what === "bytes" ? withLogin(gave(known, image, now), image, { taken: true }) : known;
}

export function pulled(schedule: Schedule, name: string, now: number): Schedule {
  const image = schedule.pending.get(name);
  if (image === undefined) return schedule;
  return recovered(removed(withLogin(gave(schedule, image, now), image, { taken: true }), name));
}

/** Raises the limit by one after as many pulls as it allows at once. */
function recovered(schedule: Schedule): Schedule {
  const { lowered } = schedule;
  if (lowered === undefined) return schedule;
  const [to, pulls] = [lowered.to, lowered.pulls + 1];
  const isRound = pulls >= to && to < MOST_AT_ONCE;
  return { ...schedule, lowered: { ...lowered, ...(isRound ? { to: to + 1, pulls: 0 } : { pulls }) } };
}

interface Loss {
  readonly attempt: Attempt;
  readonly failure: Failure;
  readonly now: number;
  /** From 0 to 1. */
  readonly random: number;
}

/** Classes of answers, which prove that the registry works. */
const ANSWERS: ReadonlySet<string> = new Set<Failure["class"]>(["auth", "not-found"]);

/** @returns the schedule, without the image if it gets no further attempt */
export function failed(schedule: Schedule, name: string, how: Omit<Loss, "attempt">): Schedule {
  const image = schedule.pending.get(name);
  if (image === undefined || !isUnderWay(image)) return schedule;
  const { attempt, ...rest } = image;
  const { failure, now } = how;
  const ended = { ...rest, spent: rest.spent + now - attempt.begunAt, triedAt: now };
  const known = withPending(withRefusal(schedule, image, failure), ended);
  const heard = ANSWERS.has(failure.class) ? gave(known, image, now) : known;
  const action = actionOf(failure);
  const isSilence = failure.class === "stall" && action === "at-once" && !attempt.served;
  const isRegistrys = action === "registry-back-off" || isSilence;
  const next = (isRegistrys ? ofRegistry : ofImage)(heard, ended, { ...how, attempt });
  return (next.pending.get(name)?.spent ?? 0) < image.image.timeout ? next : removed(next, name);
}

/** Counts against the registry, unless it sent something meanwhile. A 429 never counts against the image. */
function ofRegistry(schedule: Schedule, image: Pending, how: Loss): Schedule {
  const { failure, attempt, now, random } = how;
  const registry = registryOf(schedule, image);
  const gives = registry.gaveAt > attempt.begunAt;
  const isLimit = failure.class === "rate-limit";
  if (gives && !isLimit) return ofImage(schedule, image, how);
  const fewer = isLimit ? withFewer(schedule, image, how) : undefined;
  const known = gives ? registry : inTrouble(schedule, registry, how);
  const wait = backOff(schedule.settings.retry, failure.class, known.trouble?.rounds ?? 1, random);
  if (fewer !== undefined) return withPending(withRegistry(fewer, image, known), { ...image, dueAt: now });
  const next = withRegistry(schedule, image, isLimit ? { ...known, pausedUntil: now + wait } : known);
  return image.optional ? ofImage(next, image, how) : withPending(next, { ...image, dueAt: now });
}

function inTrouble({ settings }: Schedule, registry: Registry, how: Loss): Registry {
  const { attempt, failure, now, random } = how;
  const { trouble, gaveAt, silences } = registry;
  if (trouble !== undefined && now >= trouble.since + settings.registry_timeout)
    return { ...registry, trouble: { ...trouble, opensAt: Number.POSITIVE_INFINITY } };
  // Attempts that ran together fail together: they count as one round.
  if (trouble !== undefined && attempt.begunAt < trouble.roundAt)
    return { ...registry, trouble: { ...trouble, opensAt: Math.max(trouble.opensAt, now) } };
  const since = trouble?.since ?? Math.max(gaveAt, attempt.begunAt);
  const rounds = (trouble?.rounds ?? 0) + 1;
  const wait = backOff(settings.retry, failure.class, rounds, random);
  const opensAt = now + (rounds > QUICK_ROUNDS ? Math.max(wait, LEAST_PAUSE) : wait);
  return {
    ...registry,
    silences: silences + (now - attempt.begunAt >= settings.stall_timeout ? 1 : 0),
    trouble: { since, rounds, roundAt: now, opensAt, failure },
  };
}

/** The schedule that answers a 429 with fewer parallel pulls; undefined if a pause is the answer. */
function withFewer(schedule: Schedule, image: Pending, { attempt, now }: Loss): Schedule | undefined {
  if (schedule.settings.concurrency !== "auto") return undefined;
  // Attempts that started before the last lowering are refused together, so they lower the limit only once.
  if (attempt.begunAt < (schedule.lowered?.at ?? NEVER)) return schedule;
  const others = [...schedule.pending.values()].filter(isUnderWay);
  if (others.every((other) => domainOf(other) !== domainOf(image))) return undefined;
  return { ...schedule, lowered: { to: Math.max(1, Math.floor(limitOf(schedule) / 2)), at: now, pulls: 0 } };
}

function ofImage(schedule: Schedule, image: Pending, { failure, now, random }: Loss): Schedule {
  const { retry } = schedule.settings;
  const action = actionOf(failure);
  const failures = image.failures + 1;
  const most = image.optional ? Math.min(OPTIONAL_ATTEMPTS, retry.attempts) : retry.attempts;
  if (action === "stop" || action === "stop-run" || image.isLast || failures >= most)
    return removed(schedule, image.image.source.name);
  const isLast = action === "once-more";
  const atOnce = action === "wait-for-runtime" || (action === "at-once" && failures === 1);
  const own = atOnce ? 0 : backOff(retry, failure.class, failures, random);
  const delay = isLast ? retry.max_delay : own;
  const times = { spent: image.spent + delay, dueAt: now + delay };
  return withPending(schedule, { ...image, failures, isLast, ...times });
}

/** A refusal for one repository may be a missing permission; a refusal for a second one means the login is bad. */
function withRefusal(schedule: Schedule, image: Pending, { refused }: Failure): Schedule {
  const login = loginOf(schedule, image);
  if (login === undefined || refused === undefined) return schedule;
  const refusedFor = new Set([...login.refusedFor, image.image.source.path]);
  const isLogin = !login.taken && (refused === "login" || refusedFor.size > 1);
  return withLogin(schedule, image, { refusedFor, refused: login.refused || isLogin });
}

const gave = (schedule: Schedule, image: Pending, now: number): Schedule => {
  const { trouble: _, ...registry } = registryOf(schedule, image);
  return withRegistry(schedule, image, { ...registry, gaveAt: now });
};

export const registryOf = ({ registries }: Schedule, image: Pending): Registry =>
  registries.get(domainOf(image)) ?? { gaveAt: NEVER, pausedUntil: NEVER, silences: 0 };

/** @returns undefined for an image without credentials */
export function loginOf({ logins }: Schedule, { image: { source, credential } }: Pending): Login | undefined {
  if (credential === undefined) return undefined;
  const key = `${source.domain} ${credential.auth}`;
  return logins.get(key) ?? { key, taken: false, refused: false, refusedFor: new Set() };
}

function withLogin(schedule: Schedule, image: Pending, change: Partial<Login>): Schedule {
  const login = loginOf(schedule, image);
  if (login === undefined) return schedule;
  return { ...schedule, logins: new Map(schedule.logins).set(login.key, { ...login, ...change }) };
}

const withPending = (schedule: Schedule, image: Pending): Schedule => ({
  ...schedule,
  pending: new Map(schedule.pending).set(image.image.source.name, image),
});
const withRegistry = (schedule: Schedule, image: Pending, registry: Registry): Schedule => ({
  ...schedule,
  registries: new Map(schedule.registries).set(domainOf(image), registry),
});
