// How many images to pull at once, found out from what is measured.
//
// A run starts with a number by the CPUs. While all slots are in use and images still wait, it tries twice as many, from
// the first look on. A trial is good as soon as each download is still so fast, or so many more images come in a second,
// that all of them together bring a quarter of what twice as many could. If that has not been seen after two seconds, the
// run goes back and rests before it tries again, longer each time. It does not try behind containerd's limit for the node,
// unless more downloads than that go on at once. CPUs without a pause take back, one by one, what is above the start. A
// registry that answers 429 ends a trial at once, or halves the number; from then on a trial is one more image.
import { sum, type Download } from "./transfer.ts";

/** Counts since the pulls began, seen at one moment. Times in milliseconds. */
export interface Pace extends Traffic {
  readonly at: number;
  /** Pulled. */
  readonly images: number;
  /** Time in which a CPU had work to do, on average over the CPUs. */
  readonly busy: number;
  /** Whether every slot is in use and an image waits for one. */
  readonly full: boolean;
  /** Whether containerd's limit for the node has downloads wait for each other. */
  readonly queued: boolean;
}

/** What came of layers, in compressed bytes. */
export interface Traffic {
  readonly bytes: number;
  /** Of these, what downloads brought that were under way at two looks, and the milliseconds of all of them together. */
  readonly steadyBytes: number;
  readonly steadyTime: number;
}

export const noTraffic: Traffic = { bytes: 0, steadyBytes: 0, steadyTime: 0 };

/** containerd's default for the whole node, from 2.1. With fewer of them, those that are queued included, none waits for another. */
export const NODE_WIDE_DOWNLOADS = 3;

/**
 * What came between two looks at containerd's downloads.
 * @param time milliseconds between them
 * @returns also how many downloads grew that are open at both: these went on at the same time
 */
export function trafficBetween(
  before: readonly Download[],
  now: readonly Download[],
  time: number,
): Traffic & { readonly together: number } {
  const open = new Map(now.map(({ ref, offset }) => [ref, offset]));
  const known = new Set(before.map(({ ref }) => ref));
  const steady = before.map(({ ref, offset }) => (open.get(ref) ?? 0) - offset).filter(isGrowth);
  // One that has gone is complete.
  const gone = before.filter(({ ref }) => !open.has(ref)).map(({ offset, total }) => total - offset);
  const fresh = now.filter(({ ref }) => !known.has(ref)).map(({ offset }) => offset);
  const steadyBytes = sum(steady);
  return {
    bytes: steadyBytes + sum([...gone, ...fresh].filter(isGrowth)),
    steadyBytes,
    steadyTime: steady.length * time,
    together: steady.length,
  };
}

const isGrowth = (bytes: number): boolean => bytes > 0;

export const addTraffic = (one: Traffic, other: Traffic): Traffic => ({
  bytes: one.bytes + other.bytes,
  steadyBytes: one.steadyBytes + other.steadyBytes,
  steadyTime: one.steadyTime + other.steadyTime,
});

export interface Level {
  /** At once. */
  readonly images: number;
  /** What the run began with. */
  readonly start: number;
  /** Since when this number is measured. */
  readonly since: Pace | undefined;
  /** While it is not known whether more bring more. */
  readonly trial: Trial | undefined;
  /** Milliseconds of the next rest, and when the present one ends. */
  readonly rest: number;
  readonly restsUntil: number;
  /** Whether a registry has refused; a trial then is one more image. */
  readonly careful: boolean;
}

/** The number before it, and what that brought; unknown at the beginning of a run. */
interface Trial {
  readonly from: number;
  readonly rate: Rate | undefined;
}

/** Per second. */
interface Rate {
  /** Bytes of one download; undefined where none was long enough under way. */
  readonly each: number | undefined;
  readonly images: number;
}

/** Behind a node-wide limit: one more than its three downloads, for resolving and unpacking beside them. */
const FEWEST = 4;
const MOST_AT_START = 8;
/** A crictl of some 30 MB runs for each. */
export const MOST = 16;

/** A trial that has not brought more by now does not. */
const LATE = 2_000;
const FIRST_REST = 1_000;
const LONGEST_REST = 60_000;
/** Of the growth that would be in proportion. */
const WORTH = 0.25;
/** Share of the time of all CPUs. */
const SATURATED = 0.95;

/** @param wanted by the operator, who may leave it to us */
export function startLevel(wanted: number | "auto", nodeWideDownloads: boolean, cpus: number): Level {
  const found = nodeWideDownloads ? FEWEST : Math.min(MOST_AT_START, Math.max(FEWEST, 2 * cpus));
  const images = wanted === "auto" ? found : wanted;
  return {
    images,
    start: images,
    since: undefined,
    trial: undefined,
    rest: FIRST_REST,
    restsUntil: 0,
    careful: false,
  };
}

export function nextLevel(level: Level, pace: Pace): Level {
  const { images, start, since, trial } = level;
  // With slots to spare no rate says anything of their number.
  if (!pace.full) return { ...level, since: pace, trial: undefined };
  if (since === undefined) return mayTry(level, pace) ? tryMore(level, pace) : { ...level, since: pace };
  const measured = pace.at - since.at;
  if (trial !== undefined && !isWorth(trial, images, since, pace))
    return measured < LATE ? level : rested({ ...level, images: trial.from }, pace.at);
  if (mayTry(level, pace)) return tryMore(level, pace, rateBetween(since, pace, 1));
  if (measured < LATE) return level;
  const busy = (pace.busy - since.busy) / measured;
  if (busy >= SATURATED && images > start) return rested({ ...level, images: images - 1 }, pace.at);
  return { ...level, since: pace, trial: undefined };
}

/** What a registry refused with 429 was too much. @returns the same level where nothing can be taken back */
export function lowered(level: Level, at: number): Level {
  const images = level.trial?.from ?? Math.max(1, Math.floor(level.images / 2));
  if (images === level.images) return level;
  return { ...rested({ ...level, images }, at), careful: true };
}

const mayTry = ({ images, restsUntil }: Level, { at, queued }: Pace): boolean =>
  images < MOST && !queued && at >= restsUntil;

function tryMore(level: Level, pace: Pace, rate?: Rate): Level {
  const more = level.careful ? level.images + 1 : level.images * 2;
  return { ...level, images: Math.min(MOST, more), since: pace, trial: { from: level.images, rate } };
}

/** Back to fewer, whose rate is measured anew. */
function rested(level: Level, at: number): Level {
  const { rest } = level;
  const restsUntil = at + rest;
  return { ...level, since: undefined, trial: undefined, restsUntil, rest: Math.min(LONGEST_REST, rest * 2) };
}

/** @param chance images more or less: of few, one says nothing, and chance is not to pass for growth */
function rateBetween(since: Pace, pace: Pace, chance: 1 | -1): Rate {
  const [bytes, time] = [pace.steadyBytes - since.steadyBytes, pace.steadyTime - since.steadyTime];
  const images = pace.images - since.images + chance;
  return {
    each: time === 0 ? undefined : (bytes / time) * 1_000,
    images: (images / (pace.at - since.at)) * 1_000,
  };
}

function isWorth({ from, rate }: Trial, images: number, since: Pace, pace: Pace): boolean {
  // At first all that is asked is that something comes.
  if (rate === undefined) return pace.bytes > since.bytes || pace.images > since.images;
  const now = rateBetween(since, pace, -1);
  const more = images / from;
  const enough = 1 + (more - 1) * WORTH;
  const isFast = rate.each !== undefined && now.each !== undefined && now.each * more >= rate.each * enough;
  return isFast || (now.images > 0 && now.images >= rate.images * enough);
}
