// The run as lines, for BOSH's logs and pipes: one at each transition, and one every half minute while pulls go on.
import { stamp } from "./stamp.ts";
import { countDecisions, type PlannedImage } from "../core/plan.ts";
import type { ImageState, RunEvent, RunState } from "../core/run-state.ts";
import { printable } from "../core/plain-text.ts";
import { imageOf, totals } from "../core/run-state.ts";
import type { Output } from "../edge.ts";
import { counted, formatBytes, formatDuration } from "../core/units.ts";
import type { Sink } from "./run-log.ts";
import { oneLine, shortList } from "./summary.ts";

/** Milliseconds between two lines of progress. */
const PROGRESS_EVERY = 30_000;
/**
 * Characters of steps. A thousand pulls would fill 200 KB, in which the summary drowns, of the 1 MiB that BOSH takes
 * from an errand; the log has them all.
 */
const MOST_STEPS = 16_384;
/** Characters of failures and warnings, which are all told: beyond it shortly, so that 5,000 of them fit that 1 MiB. */
const MOST_WORDS = 262_144;
const SHORT = 120;
/** Pulls that a line of progress tells of. */
const MOST_PULLS = 4;

const NEVER_DROPPED = new Set<RunEvent["type"]>(["image-failed", "warning"]);

/** Writes each transition with its time, and every half minute the progress. */
export function linesSink(output: Output): Disposable & { readonly sink: Sink } {
  let latest: RunState | undefined;
  let [room, words] = [MOST_STEPS, MOST_WORDS];
  const write = (text: string): void => output.write(stamped(text));
  const step = (text: string): void => {
    if (room <= 0) return;
    write(text);
    room -= text.length;
    if (room <= 0) write("too many steps to show here: import-images.log has them all");
  };
  const tell = (text: string): void => {
    write(words > 0 || text.length <= SHORT ? text : `${text.slice(0, SHORT)}…`);
    words -= text.length;
  };
  const timer = setInterval(() => {
    if (latest?.phase === "importing") write(progressLine(latest));
  }, PROGRESS_EVERY).unref();
  return {
    sink: (event, state) => {
      latest = state;
      const text = eventLine(event, state);
      if (text !== undefined) (NEVER_DROPPED.has(event.type) ? tell : step)(text);
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

/** A line with the time of day before it. */
export const stamped = (text: string): string =>
  `${new Date().toISOString().slice(11, 19)}Z ${printable(text)}\n`;

/** A transition in words; undefined for events that are told elsewhere, or not worth a line. */
export function eventLine(event: RunEvent, state: RunState): string | undefined {
  switch (event.type) {
    case "waiting":
      return `waiting: ${event.why}`;
    case "runtime-ready":
      return `containerd ${event.containerd}, ${counted(event.concurrency, "image")} at once`;
    case "runtime-back":
      return "containerd answers again";
    case "planned":
      return decided(event.images);
    case "attempt-started":
      return `${imageOf(state, event.image)?.isArchive === true ? "importing" : "pulling"} ${event.image}${event.attempt === 1 ? "" : ` (attempt ${event.attempt})`}`;
    case "attempt-failed":
      return event.retryIn === undefined ? undefined : retryLine(event, event.retryIn);
    case "pulled":
      return `pulled ${event.image}${sinceStart(imageOf(state, event.image))}`;
    case "archive-done":
      return `${event.imported ? "imported" : "unchanged"} ${event.image}: ${shortList(event.names)}`;
    case "tagged":
      // Each name has its digest beside it; the log has those as well.
      return event.target.includes("@")
        ? undefined
        : `${event.moved ? "moved tag" : "tagged"} ${event.target} -> ${event.image}`;
    case "unpinned":
      return `unpinned ${event.name}`;
    case "image-failed":
      return `FAILED ${event.image} in ${event.step} (${event.failure.class}): ${oneLine(event.failure.message)}`;
    case "note":
      return `note: ${event.message}`;
    case "warning":
      return `warning: ${oneLine(event.message)}`;
    case "run-started":
    case "concurrency":
    case "progress":
    case "pinned":
    case "placed":
    case "image-done":
    case "verifying":
    case "internal-error":
    case "run-ended":
      return undefined;
  }
}

/** `5 images: 2 to pull, 1 to name like another, 2 present`. */
export function decided(images: readonly PlannedImage[]): string {
  const { pull, share, keep } = countDecisions(images);
  const shared = share === 0 ? "" : `${share} to name like another, `;
  return `${counted(images.length, "image")}: ${pull} to pull, ${shared}${keep} present`;
}

function retryLine(
  { image, attempt, failure }: Extract<RunEvent, { type: "attempt-failed" }>,
  retryIn: number,
): string {
  const when = retryIn === 0 ? "at once" : `in ${formatDuration(retryIn)}`;
  return `attempt ${attempt} of ${image} failed (${failure.class}), next ${when}: ${oneLine(failure.message)}`;
}

const sinceStart = (image: ImageState | undefined): string =>
  image?.startedAt === undefined ? "" : ` in ${formatDuration(stamp() - image.startedAt)}`;

/** The progress, for a log that nobody scrolls back in. Images that are being pulled come before those that wait. */
function progressLine(state: RunState): string {
  const { images } = state;
  const pulling = ["pulling", "retrying"].flatMap((wanted) => images.filter(({ phase }) => phase === wanted));
  const { unfinished } = totals(images);
  const done = images.length - unfinished;
  const shown = pulling.slice(0, MOST_PULLS).map(pullingText);
  const more = pulling.length > MOST_PULLS ? ` and ${pulling.length - MOST_PULLS} more` : "";
  return `${done} of ${counted(images.length, "image")} done; ${shown.join(", ") || "nothing is being pulled"}${more}`;
}

function pullingText({ name, progress, phase }: ImageState): string {
  if (phase === "retrying") return `${name} waits for its next attempt`;
  if (progress?.total === undefined) return `${name} is being looked up`;
  const { received, total, layers, layersDone } = progress;
  return `${name} ${formatBytes(received)} of ${formatBytes(total)} (${layersDone} of ${counted(layers ?? 0, "layer")})`;
}
