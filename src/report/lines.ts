// The run as lines, for BOSH's logs and for pipes: one per transition, and one for the progress every 30 seconds.
import { printable } from "../core/plain-text.ts";
import type { EventType } from "../core/events.ts";
import { totals, type ImageState, type RunState } from "../core/run-state.ts";
import { counted, formatBytes } from "../core/units.ts";
import type { Output } from "../edge.ts";
import { eventLine } from "./events.ts";
import type { Watcher } from "./run-log.ts";

/** Milliseconds between two lines of progress. */
const PROGRESS_EVERY = 30_000;
/** Characters. BOSH takes 1 MiB from an errand: beyond ROOM, only failures and warnings appear, cut to SHORT. */
const ROOM = 65_536;
const SHORT = 120;
/** Pulls that a line of progress names. */
const MOST_PULLS = 4;

const NEVER_DROPPED = new Set<EventType>(["image-failed", "warning"]);

export function linesSink(output: Output): Watcher {
  let latest: RunState | undefined;
  let room = ROOM;
  const write = (text: string): void => output.write(stamped(text));
  const report = (text: string, always: boolean): void => {
    if (room > 0) {
      write(text);
      room -= text.length;
      if (room <= 0) write("too many steps to show here: import-images.log has them all");
    } else if (always) write(text.length <= SHORT ? text : `${text.slice(0, SHORT)}…`);
  };
  const timer = setInterval(() => {
    if (latest !== undefined && latest.phase !== "ended") write(progressLine(latest));
  }, PROGRESS_EVERY).unref();
  return {
    sink: (event, state) => {
      latest = state;
      const text = eventLine(event, state);
      if (text !== undefined) report(text, NEVER_DROPPED.has(event.type));
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

/** Puts the time of day (UTC) before a line. */
export const stamped = (text: string): string =>
  `${new Date().toISOString().slice(11, 19)}Z ${printable(text)}\n`;

/** The progress, complete in itself because people do not scroll back in such a log. */
function progressLine(state: RunState): string {
  const { images, phase } = state;
  const done = images.length - totals(images).unfinished;
  const doing = "why" in state ? `waiting: ${state.why}` : phase === "importing" ? pullsText(images) : phase;
  return `${done} of ${counted(images.length, "image")} done; ${doing}`;
}

function pullsText(images: RunState["images"]): string {
  const pulls = ["pulling", "retrying"].flatMap((wanted) => images.filter(({ phase }) => phase === wanted));
  const shown = pulls.slice(0, MOST_PULLS).map(pullingText);
  const more = pulls.length > MOST_PULLS ? ` and ${pulls.length - MOST_PULLS} more` : "";
  return `${shown.join(", ") || "nothing is being pulled"}${more}`;
}

function pullingText({ name, progress, phase }: ImageState): string {
  if (phase === "retrying") return `${name} waits for its next attempt`;
  if (progress === undefined) return `${name} is being looked up`;
  const { received, total, layers, layersDone } = progress;
  return `${name} ${formatBytes(received)} of ${formatBytes(total)} (${layersDone} of ${counted(layers, "layer")})`;
}
