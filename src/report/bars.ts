// A run as bars on a terminal: one line per image in progress, and one for the whole run. Depends on data only, so that
// `run` can redraw it and `status` draw it once. Plain characters without color, for any terminal, font and NO_COLOR.
import { downloads, type Downloads } from "../core/downloads.ts";
import { printable } from "../core/plain-text.ts";
import { totals, type ImageState, type RunState } from "../core/run-state.ts";
import { formatBytes, formatDuration } from "../core/units.ts";

/** What the bars show of a run in this process, or of one read from status.json. */
export type View = Pick<RunState, "phase" | "startedAt" | "images"> & { readonly downloads: Downloads };

export const viewOf = (state: RunState): View => ({ ...state, downloads: downloads(state.images) });

/** A view, and its time in epoch milliseconds. */
export interface Seen {
  readonly view: View;
  readonly at: number;
}

export interface Screen {
  readonly columns: number;
  readonly rows: number;
  /** A view from some seconds ago, to compute rates. Without it, they are averages since the first attempt. */
  readonly earlier?: Seen | undefined;
}

/** Phases of images in progress; those that move come first. */
const IN_WORK = ["pulling", "tagging", "retrying"];

/** @returns lines of at most `columns - 1` characters: terminals differ in when they wrap at the last column */
export function barLines(seen: Seen, { columns, rows, earlier }: Screen): string[] {
  const { images } = seen.view;
  const inWork = IN_WORK.flatMap((wanted) => images.filter(({ phase }) => phase === wanted));
  const shown = inWork.slice(0, inWork.length < rows ? inWork.length : Math.max(rows - 2, 0));
  const left = inWork.length - shown.length;
  return aligned(columns - 1, [
    ...shown.map((image): Line => [printable(image.name), cellsOf(image, seen.at, earlier)]),
    ...(left === 0 ? [] : [[`… and ${left} more`, ""] as const]),
    [wholeText(seen), wholeCells(seen, earlier)],
  ]);
}

/** The columns of a download, or text if there are none to show. */
type Cells = readonly string[] | string;
type Line = readonly [name: string, cells: Cells];

/** Widths of percent, bar, bytes, rate and time left. A narrow terminal drops the last ones first. */
const WIDTHS = [4, 12, 13, 8, 11];
/** Minimum share of the width for names. */
const NAMES = 0.3;

function aligned(width: number, lines: readonly Line[]): string[] {
  const longest = Math.max(...lines.map(([name]) => name.length));
  const least = Math.min(longest, Math.floor(width * NAMES));
  const ends = WIDTHS.map((_, index) => sum(WIDTHS.slice(0, index + 1)) + index + 1);
  const fitting = ends.filter((end) => least + end <= width);
  const nameWidth = Math.min(longest, width - (fitting.at(-1) ?? 0));
  const row = (texts: readonly string[]): string =>
    fitting.map((_, index) => (texts[index] ?? "").padStart(WIDTHS[index] ?? 0)).join(" ");
  return lines.map(([name, cells]) => {
    const beside = typeof cells === "string" ? cells : row(cells);
    const room = beside === "" ? width : nameWidth;
    return `${keepEnd(name, room).padEnd(room)} ${beside}`.trimEnd().slice(0, Math.max(width, 0));
  });
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** Keeps the end, where names of images differ. */
const keepEnd = (text: string, width: number): string =>
  text.length <= width ? text : `…${text.slice(text.length - Math.max(width - 1, 0))}`;

function cellsOf(image: ImageState, now: number, earlier: Seen | undefined): Cells {
  const { phase, progress, attempts, isArchive = false } = image;
  if (phase === "retrying") return retryText(image, now);
  if (phase === "tagging") return "names and pins";
  const again = attempts > 1 ? `, attempt ${attempts}` : "";
  if (isArchive) return "importing";
  if (progress === undefined) return `looking up${again}`;
  const { received, total } = progress;
  return received >= total
    ? `unpacking${again}`
    : transferCells(received, total, rateOf(image, now, earlier));
}

function retryText(
  { attempts, retryAt, failure }: Extract<ImageState, { phase: "retrying" }>,
  now: number,
): string {
  const when = retryAt > now ? `in ${seconds(retryAt - now)}` : "waits for its turn";
  return `attempt ${attempts + 1} ${when} (${failure.class})`;
}

/** @param rate bytes per second, if known */
function transferCells(received: number, total: number, rate: number | undefined): string[] {
  const share = Math.min(received / total, 1);
  return [
    `${Math.floor(share * 100)}%`,
    bar(share),
    `${formatBytes(received)}/${formatBytes(total)}`,
    rate === undefined ? "" : `${formatBytes(rate)}/s`,
    rate === undefined || rate === 0 ? "" : `${seconds(((total - received) / rate) * 1_000)} left`,
  ];
}

function bar(share: number): string {
  const done = Math.floor(share * 10);
  return `[${"=".repeat(done)}${done < 10 ? ">" : ""}`.padEnd(11) + "]";
}

function rateOf({ name, startedAt = 0, progress }: ImageState, now: number, earlier: Seen | undefined) {
  const before = earlier?.view.images.find((image) => image.name === name)?.progress?.received;
  const received = progress?.received ?? 0;
  // An attempt that starts over has fewer bytes than the one before.
  return earlier === undefined || before === undefined || received < before
    ? rate(received, now - startedAt)
    : rate(received - before, now - earlier.at);
}

/** Bytes per second; undefined if the time is too short to tell. */
const rate = (bytes: number, ms: number): number | undefined => (ms < 500 ? undefined : (bytes / ms) * 1_000);

const seconds = (ms: number): string => {
  const whole = Math.ceil(Math.max(ms, 0) / 1_000);
  return whole < 60 ? `${whole}s` : formatDuration(whole * 1_000);
};

const PHASES: Readonly<Record<RunState["phase"], string>> = {
  starting: ", starting",
  "waiting-for-lock": ", waiting for another run",
  "waiting-for-start": ", waiting (start_jitter)",
  "waiting-for-runtime": ", waiting for containerd",
  importing: "",
  verifying: ", verifying",
  ended: ", ended",
};

function wholeText({ view: { images, phase, startedAt }, at }: Seen): string {
  const { unfinished, failed } = totals(images);
  const bad = failed === 0 ? "" : `, ${failed} failed`;
  const time = seconds(Math.floor((at - startedAt) / 1_000) * 1_000);
  return `${images.length - unfinished}/${images.length} images${bad}${PHASES[phase]}, ${time}`;
}

/** Without a known total, there is no percentage and no time left. */
function wholeCells({ view, at }: Seen, earlier: Seen | undefined): Cells {
  const { received, total, unknown } = view.downloads;
  if (view.phase !== "importing" || total === 0) return "";
  const now = earlier && rate(Math.max(received - earlier.view.downloads.received, 0), at - earlier.at);
  const cells = transferCells(received, total, now);
  if (unknown > 0) return ["", "", `${formatBytes(received)} so far`, cells[3] ?? ""];
  return received >= total ? ["", "", formatBytes(received)] : cells;
}
