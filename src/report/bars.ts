// A run as bars on a terminal: one line for each image in work, and one for all. Made from data alone, so that `run`
// draws it again and again, and `status` once. Plain characters without colours, for any terminal, font and NO_COLOR.
import { downloads, type Downloads } from "../core/downloads.ts";
import { printable } from "../core/plain-text.ts";
import { totals, type ImageState, type RunState } from "../core/run-state.ts";
import { formatBytes, formatDuration } from "../core/units.ts";
import { columnsFor, type Cells } from "./bar-columns.ts";
import { rateOf, type Rates } from "./transfer-rate.ts";

/** What the bars show of a run, whether it is in this process or was read from status.json. */
export type View = Pick<RunState, "phase" | "startedAt" | "images"> & { readonly downloads: Downloads };

export const viewOf = (state: RunState): View => ({ ...state, downloads: downloads(state.images) });

export interface Screen {
  readonly columns: number;
  /** Lines that may be used. */
  readonly rows: number;
  /** Epoch milliseconds. */
  readonly now: number;
  readonly rates: Rates;
}

/** The name under which the rate of the whole run is kept; no image has it. */
export const WHOLE_RUN = "";

/** Of the images in work those that move come first. */
const IN_WORK = ["pulling", "tagging", "retrying"];

/** Lines of at most `columns - 1` characters: in the last column terminals differ in when they wrap. */
export function barLines(view: View, screen: Screen): string[] {
  const inWork = IN_WORK.flatMap((wanted) => view.images.filter(({ phase }) => phase === wanted));
  const room = inWork.length + 1 > screen.rows ? Math.max(screen.rows - 2, 0) : inWork.length;
  const shown = inWork.slice(0, room);
  const longest = Math.max(0, ...shown.map(({ name }) => printable(name).length));
  const line = columnsFor(Math.max(screen.columns - 1, 1), longest);
  return [
    ...shown.map((image) => line([printable(image.name)], cellsOf(image, screen))),
    ...(inWork.length === room ? [] : [line([`… and ${inWork.length - room} more`])]),
    line(wholeTexts(view, screen), wholeCells(view, screen)),
  ];
}

/** Columns of a download, or words where there is none to show. */
function cellsOf(image: ImageState, screen: Screen): Cells | string {
  const { phase, progress, attempts } = image;
  if (phase === "retrying") return retryText(image, screen.now);
  if (phase === "tagging") return "names and pins";
  const again = attempts > 1 ? `attempt ${attempts}` : "";
  if (image.isArchive === true) return "importing";
  if (progress === undefined) return again === "" ? "looking up" : `looking up, ${again}`;
  const { received, total, layers, layersDone } = progress;
  if (received >= total) return again === "" ? "unpacking" : `unpacking, ${again}`;
  const rate = rateOf(screen.rates, image.name) ?? averageRate(image, screen.now);
  return {
    ...transferCells(received, total, rate),
    layers: `${layersDone}/${layers} layers`,
    attempt: again,
  };
}

function retryText(
  { attempts, retryAt, failure }: Extract<ImageState, { phase: "retrying" }>,
  now: number,
): string {
  const when = retryAt > now ? `in ${seconds(retryAt - now)}` : "waits for its turn";
  return `attempt ${attempts + 1} ${when} (${failure.class})`;
}

const transferCells = (received: number, total: number, rate: number | undefined): Cells => ({
  share: total === 0 ? 0 : Math.min(received / total, 1),
  bytes: `${formatBytes(received)}/${formatBytes(total)}`,
  rate: rate === undefined ? "" : `${formatBytes(Math.max(rate, 0))}/s`,
  left: rate === undefined || rate <= 0 ? "" : `${seconds(((total - received) / rate) * 1_000)} left`,
});

/** Since its first attempt; all that can be told without having watched. */
function averageRate({ startedAt, progress }: ImageState, now: number): number | undefined {
  if (startedAt === undefined || progress === undefined || now - startedAt < 1_000) return undefined;
  return (progress.received / (now - startedAt)) * 1_000;
}

const seconds = (ms: number): string => {
  const whole = Math.ceil(Math.max(ms, 0) / 1_000);
  return whole < 60 ? `${whole}s` : formatDuration(whole * 1_000);
};

const WAITING = {
  starting: "starting",
  "waiting-for-lock": "waiting for another run",
  "waiting-for-start": "waiting (start_jitter)",
  "waiting-for-runtime": "waiting for containerd",
  importing: undefined,
  verifying: "verifying",
  ended: "ended",
} as const;

/** What the last line says of the run, the fullest first. */
function wholeTexts({ images, phase, startedAt }: View, { now }: Screen): string[] {
  const time = seconds(Math.floor((now - startedAt) / 1_000) * 1_000);
  const waiting = WAITING[phase];
  if (images.length === 0) return [`${waiting ?? "starting"}, ${time}`, waiting ?? "starting"];
  const { unfinished, failed } = totals(images);
  const count = `${images.length - unfinished}/${images.length}`;
  const bad = failed === 0 ? "" : `, ${failed} failed`;
  const done = `${count} ${images.length === 1 ? "image" : "images"}${bad}`;
  const what = waiting === undefined ? "" : `, ${waiting}`;
  return [`${done}${what}, ${time}`, `${done}, ${time}`, `${count}${bad}`, count];
}

/** Without a known total there is no share of it, and no end in sight. */
function wholeCells(view: View, { rates }: Screen): Cells | undefined {
  const { received, total, unknown } = view.downloads;
  if (view.phase !== "importing" || total === 0) return undefined;
  const cells = transferCells(received, total, rateOf(rates, WHOLE_RUN));
  if (unknown > 0) return { bytes: `${formatBytes(received)} so far`, rate: cells.rate ?? "" };
  return received >= total ? { bytes: formatBytes(received) } : cells;
}
