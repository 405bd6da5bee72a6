// How many images to pull at once, found out from what is measured.
//
// A run starts with a number by the CPUs. When all slots are in use and images still wait, it tries twice as many. The
// trial is kept as soon as the bytes or the images of a second have grown by a quarter of what twice as many could
// bring; if they have not after two seconds, the run goes back and rests before it tries again, longer each time. It
// does not try behind containerd's limit for the node, unless more downloads than that go on at once. CPUs without a pause take back, one by
// one, what is above the start. A registry that answers 429 ends a trial at once, or halves the number; from then on a
// trial is one more image.

import type { Download } from "./transfer.ts";

/** Counts since the pulls began, seen at one moment. Times in milliseconds. */
export interface Pace {
  readonly at: number;
  /** Of layers, compressed. */
  readonly bytes: number;
  /** Pulled. */
  readonly images: number;
  /** Time in which a CPU had work to do, on average over the CPUs. */
  readonly busy: number;
  /** Whether every slot is in use and an image waits for one. */
  readonly full: boolean;
  /** Whether containerd's limit for the node has downloads wait for each other. */
  readonly queued: boolean;
}

/** containerd's default for the whole node, from 2.1. With fewer of them, those that are queued included, none waits for another. */
export const NODE_WIDE_DOWNLOADS = 3;

/**
 * What came between two looks at containerd's downloads.
 * @returns bytes, and how many downloads grew that are open at both looks: these went on at the same time
 */
export function traffic(
  before: readonly Download[],
  now: readonly Download[],
): { bytes: number; together: number } {
  const open = new Map(now.map(({ ref, offset }) => [ref, offset]));
  const known = new Set(before.map(({ ref }) => ref));
  const bytes = [
    // One that has gone is complete.
    ...before.map(({ ref, offset, total }) => (open.get(ref) ?? total) - offset),
    ...now.filter(({ ref }) => !known.has(ref)).map(({ offset }) => offset),
  ].filter((growth) => growth > 0);
  const together = before.filter(({ ref, offset }) => (open.get(ref) ?? 0) > offset).length;
  return { bytes: bytes.reduce((sum, growth) => sum + growth, 0), together };
}

export interface Level {
  /** At once. */
  readonly images: number;
  /** What the run began with. */
  readonly start: number;
  /** Since when this number is measured; undefined until something has come. */
  readonly since: Pace | undefined;
  /** While it is not known whether more bring more. */
  readonly trial: Trial | undefined;
  /** Milliseconds of the next rest, and when the present one ends. */
  readonly rest: number;
  readonly restsUntil: number;
  /** Whether a registry has refused; a trial then is one more image. */
  readonly careful: boolean;
}

/** The number before it, and what that brought. */
interface Trial {
  readonly from: number;
  readonly rate: Rate;
}

/** Per second. */
interface Rate {
  readonly bytes: number;
  readonly images: number;
}

/** Behind a node-wide limit: one more than its three downloads, for resolving and unpacking beside them. */
const FEWEST = 4;
const MOST_AT_START = 8;
/** A crictl of some 30 MB runs for each. */
export const MOST = 16;

/** A rate is worth something from here on. */
const SOON = 500;
/** A trial that has not brought more by now does not. */
const LATE = 2_000;
const FIRST_REST = 2_000;
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
  if (since === undefined || !pace.full)
    return pace.bytes + pace.images > 0 ? { ...level, since: pace, trial: undefined } : level;
  const measured = pace.at - since.at;
  if (measured < SOON) return level;
  if (trial !== undefined && !isWorth(trial, images, rateBetween(since, pace, -1)))
    return measured < LATE ? level : rested({ ...level, images: trial.from }, pace.at);
  if (mayTry(level, pace)) return tryMore(level, pace, rateBetween(since, pace, 1));
  if (measured < LATE) return { ...level, trial: undefined };
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

function tryMore(level: Level, pace: Pace, rate: Rate): Level {
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
  const seconds = (pace.at - since.at) / 1_000;
  const images = pace.images - since.images + chance;
  return { bytes: (pace.bytes - since.bytes) / seconds, images: images / seconds };
}

function isWorth({ from, rate }: Trial, images: number, now: Rate): boolean {
  const enough = 1 + (images / from - 1) * WORTH;
  return isMore(now.bytes, rate.bytes * enough) || isMore(now.images, rate.images * enough);
}

const isMore = (now: number, enough: number): boolean => now > 0 && now >= enough;
