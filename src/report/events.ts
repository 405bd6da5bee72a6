// How each event is reported: as a line on the screen, and as a line in the log.
import type { LogLevel } from "../config/config.ts";
import type { Failure } from "../core/failure.ts";
import { countDecisions, type PlannedImage, type PullDecision } from "../core/plan.ts";
import type { EventType, RunEvent } from "../core/events.ts";
import { imageOf, lasted, type RunState } from "../core/run-state.ts";
import { counted, formatDuration } from "../core/units.ts";
import { stamp } from "./run-log.ts";
import { shortList } from "./failures.ts";

interface Words<Event> {
  /** The level in the log; `info` by default. */
  readonly level?: LogLevel;
  /** The line on the screen; undefined for what is shown elsewhere, or is not worth a line. */
  readonly line?: (event: Event, state: RunState) => string | undefined;
  /** The fields in the log, if they differ from the event's own. */
  readonly fields?: (event: Event, state: RunState) => object;
}

const EVENTS: { readonly [Type in EventType]: Words<RunEvent<Type>> } = {
  "run-started": { fields: ({ images }) => ({ images: images.length }) },
  waiting: { line: ({ why }) => `waiting: ${why}` },
  "runtime-ready": {
    line: ({ containerd, concurrency }) =>
      `containerd ${containerd}, ${counted(concurrency, "image")} at once`,
  },
  "runtime-back": { line: () => "containerd answers again" },
  planned: { line: ({ images }) => decided(images), fields: ({ images }) => decisions(images) },
  concurrency: { level: "debug" },
  "attempt-started": {
    line: ({ image, attempt }, state) =>
      `${imageOf(state, image)?.isArchive === true ? "importing" : "pulling"} ${image}` +
      (attempt === 1 ? "" : ` (attempt ${attempt})`),
  },
  "attempt-failed": {
    level: "warn",
    line: ({ image, attempt, failure, retryIn }) =>
      retryIn === undefined
        ? undefined
        : `attempt ${attempt} of ${image} failed (${failure.class}), ` +
          `next ${retryIn === 0 ? "at once" : `in ${formatDuration(retryIn)}`}: ${failure.message}`,
    fields: withFailure,
  },
  progress: {
    level: "debug",
    fields: ({ image, progress }) => ({ image, ...progress, parts: undefined }),
  },
  pulled: {
    line({ image }, state) {
      const ms = soFar(state, image);
      return `pulled ${image}${ms === undefined ? "" : ` in ${formatDuration(ms)}`}`;
    },
    fields: (event, state) => ({ ...event, ms: soFar(state, event.image) }),
  },
  "archive-done": {
    line: ({ image, names, imported }) =>
      names.length === 0 ? undefined : `${imported ? "imported" : "unchanged"} ${image}: ${shortList(names)}`,
  },
  tagged: {
    // The name's digest form is tagged as well. Only the log shows it.
    line: ({ image, target, moved }) =>
      target.includes("@") ? undefined : `${moved ? "moved tag" : "tagged"} ${target} -> ${image}`,
  },
  pinned: {},
  placed: { level: "debug" },
  unpinned: { line: ({ name }) => `unpinned ${name}` },
  "image-done": {
    fields: ({ verified, ...event }, state) => ({
      ...event,
      ...verified,
      ms: lasted(imageOf(state, event.image)),
    }),
  },
  "image-failed": {
    level: "error",
    line: ({ image, step, failure }) => `FAILED ${image} in ${step} (${failure.class}): ${failure.message}`,
    fields: (event, state) => ({ ...withFailure(event), ms: lasted(imageOf(state, event.image)) }),
  },
  warning: { level: "warn", line: ({ message }) => `warning: ${message}` },
  note: { line: ({ message }) => `note: ${message}` },
  examined: {
    line: ({ images, damaged, ms }) =>
      damaged === 0 && ms < LONG
        ? undefined
        : `looked at ${counted(images, "image")} on the disk in ${formatDuration(ms)}: ${damaged} damaged`,
  },
  synced: { line: ({ ms }) => (ms < LONG ? undefined : `written to the disk in ${formatDuration(ms)}`) },
  verifying: { level: "debug" },
  "internal-error": { level: "fatal" },
  "run-ended": { fields: (event, state) => ({ ...event, ms: lasted(state) }) },
};

/** Milliseconds after which a person notices a step. */
const LONG = 2_000;

/** The line on the screen; undefined if there is none. */
export const eventLine = <Type extends EventType>(event: RunEvent<Type>, state: RunState) =>
  EVENTS[event.type].line?.(event, state);

/** The level and the fields in the log. */
export function eventFields<Type extends EventType>(event: RunEvent<Type>, state: RunState) {
  const { level = "info", fields } = EVENTS[event.type];
  return { level, fields: fields?.(event, state) ?? event };
}

function withFailure({ failure, ...event }: { readonly failure: Failure }): object {
  return { ...event, class: failure.class, error: failure.message, evidence: failure.evidence };
}

/** Milliseconds since the image's first attempt began. */
const soFar = (state: RunState, image: string): number | undefined =>
  lasted({ ...imageOf(state, image), endedAt: stamp() });

/** `5 images: 2 to pull, 1 to tag from another, 2 present`. */
export function decided(images: readonly PlannedImage[]): string {
  const { pull, share, keep, unpack, fail } = countDecisions(images);
  const shared = share === 0 ? "" : `${share} to tag from another, `;
  const unpacked = unpack === 0 ? "" : `${unpack} to unpack again, `;
  const failed = fail === 0 ? "" : `, ${fail} that cannot be pulled or imported`;
  return `${counted(images.length, "image")}: ${pull} to pull, ${shared}${unpacked}${keep} present${failed}`;
}

function decisions(images: readonly PlannedImage[]): object {
  const named = (action: PullDecision["action"]): string[] =>
    images.filter(({ decision }) => decision.action === action).map(({ image }) => image.source.name);
  return { pull: named("pull"), share: named("share"), present: named("keep").length, fail: named("fail") };
}
