// A run as bars on a terminal: one line for each image in work, and one for all. Made from data alone, so that `run`
// draws it again and again, and `status` once. Plain characters without colours, for any terminal, font and NO_COLOR.
import { printable } from "../core/plain-text.ts";
import { totals, type ImageState, type Phase, type RunState } from "../core/run-state.ts";
import { formatBytes, formatDuration } from "../core/units.ts";
import { columnsFor, type Cells } from "./bar-columns.ts";
import { downloads, type Downloads } from "../core/transfer.ts";
import { rateOf, type Rates } from "./transfer-rate.ts";

export type ViewImage = Pick<
  ImageState,
  "name" | "isArchive" | "phase" | "attempts" | "startedAt" | "progress" | "retryAt"
> & {
  readonly failure?: Pick<NonNullable<ImageState["failure"]>, "class">;
};

/** What the bars show of a run, whether it is in this process or was read from status.json. */
export interface View {
  readonly phase: RunState["phase"];
  readonly startedAt: number;
  readonly images: readonly ViewImage[];
  readonly downloads: Downloads;
}

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

export const viewOf = ({ phase, startedAt, images }: RunState): View => ({
  phase,
  startedAt,
  images,
  downloads: downloads(images),
});

/** Lines of at most `columns - 1` characters: in the last column terminals differ in when they wrap. */
export function barLines(view: View, screen: Screen): string[] {
  const inWork = view.images
    .filter(({ phase }) => ORDER.has(phase))
    .toSorted((a, b) => (ORDER.get(a.phase) ?? 0) - (ORDER.get(b.phase) ?? 0));
  const shown = inWork.slice(
    0,
    inWork.length + 1 > screen.rows ? Math.max(screen.rows - 2, 0) : inWork.length,
  );
  const more = inWork.length - shown.length;
  const width = Math.max(screen.columns - 1, 1);
  const names = shown.map(({ name }) => printable(name));
  const layout = columnsFor(width, Math.max(...names.map((name) => name.length), 0));
  return [
    ...shown.map((image, index) => layout.line(names[index] ?? "", cellsOf(image, screen))),
    ...(more === 0 ? [] : [layout.text(`… and ${more} more`)]),
    layout.totalLine(wholeTexts(view, screen), wholeCells(view, screen)),
  ];
}

/** The images in work, those that move first. */
const ORDER: ReadonlyMap<Phase, number> = new Map([
  ["pulling", 0],
  ["finishing", 1],
  ["retrying", 2],
]);

/** Columns of a download, or words where there is none to show. */
function cellsOf(image: ViewImage, screen: Screen): Cells | string {
  const { phase, progress, attempts } = image;
  if (phase === "retrying") return retryText(image, screen.now);
  if (phase === "finishing") return "names and pins";
  const again = attempts > 1 ? `attempt ${attempts}` : "";
  if (image.isArchive === true) return "importing";
  if (progress?.total === undefined) return again === "" ? "looking up" : `looking up, ${again}`;
  const { received, total, layers = 0, layersDone } = progress;
  if (received >= total) return again === "" ? "unpacking" : `unpacking, ${again}`;
  const rate = rateOf(screen.rates, image.name) ?? averageRate(image, screen.now);
  return {
    ...transferCells(received, total, rate),
    layers: `${layersDone}/${layers} layers`,
    attempt: again,
  };
}

function retryText({ attempts, retryAt, failure }: ViewImage, now: number): string {
  const wait = retryAt === undefined ? 0 : retryAt - now;
  const when = wait > 0 ? `in ${seconds(wait)}` : "waits for its turn";
  return `attempt ${attempts + 1} ${when}${failure === undefined ? "" : ` (${failure.class})`}`;
}

const transferCells = (received: number, total: number, rate: number | undefined): Cells => ({
  share: total === 0 ? 0 : Math.min(received / total, 1),
  bytes: `${formatBytes(received)}/${formatBytes(total)}`,
  rate: rate === undefined ? "" : `${formatBytes(Math.max(rate, 0))}/s`,
  left: rate === undefined || rate <= 0 ? "" : `${seconds(((total - received) / rate) * 1_000)} left`,
});

/** Since its first attempt; all that can be told without having watched. */
function averageRate({ startedAt, progress }: ViewImage, now: number): number | undefined {
  if (startedAt === undefined || progress === undefined || now - startedAt < 1_000) return undefined;
  return (progress.received / (now - startedAt)) * 1_000;
}

const seconds = (ms: number): string => {
  const whole = Math.ceil(Math.max(ms, 0) / 1_000);
  return whole < 60 ? `${whole}s` : formatDuration(whole * 1_000);
};

const WAITING = {
  "waiting-for-lock": "waiting for another run",
  "waiting-for-runtime": "waiting for containerd",
  importing: undefined,
  verifying: "verifying",
  ended: "ended",
} as const;

/** What the last line says of the run, the fullest first. */
function wholeTexts(view: View, { now }: Screen): string[] {
  const time = formatDuration(Math.floor((now - view.startedAt) / 1_000) * 1_000).replace(/\.0s$/u, "s");
  const hasLock = view.images.length > 0;
  const waiting = hasLock && view.phase === "waiting-for-lock" ? "starting" : WAITING[view.phase];
  if (view.images.length === 0) return [`${waiting ?? "starting"}, ${time}`, waiting ?? "starting"];
  const { unfinished, failed } = totals(view.images);
  const count = `${view.images.length - unfinished}/${view.images.length}`;
  const images = view.images.length === 1 ? "image" : "images";
  const bad = failed === 0 ? "" : `, ${failed} failed`;
  const what = waiting === undefined ? "" : `, ${waiting}`;
  return [
    `${count} ${images}${bad}${what}, ${time}`,
    `${count} ${images}${bad}, ${time}`,
    `${count}${bad}`,
    count,
  ];
}

/** Without a known total there is no share of it, and no end in sight. */
function wholeCells(
  { downloads: { received, total, unknown }, phase }: View,
  { rates }: Screen,
): Cells | string {
  if (phase !== "importing" || total === 0) return "";
  const rate = rateOf(rates, WHOLE_RUN);
  const cells = transferCells(received, total, rate);
  if (unknown === 0) return received >= total ? { bytes: formatBytes(received) } : cells;
  return { bytes: `${formatBytes(received)} so far`, rate: cells.rate ?? "" };
}
