// The run on a terminal: bars that are drawn again and again, and lines above them that stay.
import type { EventType, RunEvent, RunState } from "../core/run-state.ts";
import type { Output } from "../edge.ts";
import { barLines, viewOf, WHOLE_RUN } from "./bars.ts";
import { eventLine } from "./events.ts";
import { linesSink, stamped } from "./lines.ts";
import { stamp, type Watcher } from "./run-log.ts";
import { noRates, withMark, type Rates } from "./transfer-rate.ts";

/**
 * Milliseconds between two drawings. Not more often than there is news: tmux tells of a new size 250 ms after it has
 * wrapped the lines anew, and what is drawn in between leaves rows behind that nobody clears.
 */
const DRAW_EVERY = 1_000;
/** Milliseconds after which a new size is seen. */
const LOOK_EVERY = 100;
/** The size of a terminal that does not say. */
const SIZE = { columns: 80, rows: 24 };

/** Bars on a terminal, lines where there is none. */
export const watchSink = (output: Output): Watcher =>
  output.columns === undefined ? linesSink(output) : liveSink(output);

const HIDE_CURSOR = "\u001B[?25l";
const SHOW_CURSOR = "\u001B[?25h";
/** What stands between them appears at once, on terminals that can. */
const [BEGIN, END] = ["\u001B[?2026h", "\u001B[?2026l"];

/** What the bars show already, or the table at the end will. */
const SILENT = new Set<EventType>(["attempt-started", "tagged"]);

function liveSink(output: Output): Watcher {
  let latest: RunState | undefined;
  let rates = noRates;
  let drawn: Frame = { lines: [], columns: 0 };
  let drawnAt = 0;
  /** @param staying lines that are left above the bars */
  const draw = (state: RunState, staying = ""): void => {
    const { columns = SIZE.columns, rows = SIZE.rows, pending = 0 } = output;
    const now = stamp();
    // Somebody has stopped the terminal: it gets the next bars that it has time for.
    const lines = pending > 0 ? [] : barLines(viewOf(state), { columns, rows: rows - 1, now, rates });
    const start = drawnAt === 0 ? HIDE_CURSOR : wiped(drawn, columns);
    output.write([BEGIN, start, staying, ...lines.map((line) => `${line}\n`), END].join(""));
    [drawn, drawnAt] = [{ lines, columns }, now];
  };
  const timer = setInterval(() => {
    if (latest === undefined || (output.pending ?? 0) > 0) return;
    if (output.columns !== drawn.columns || stamp() - drawnAt >= DRAW_EVERY) draw(latest);
  }, LOOK_EVERY).unref();
  const end = (): void => {
    clearInterval(timer);
    if (drawnAt !== 0) output.write(wiped(drawn, output.columns ?? SIZE.columns) + SHOW_CURSOR);
    drawnAt = 0;
  };
  return {
    sink: (event, state) => {
      latest = state;
      rates = measured(rates, event, state);
      const line = SILENT.has(event.type) ? undefined : eventLine(event, state);
      if (line !== undefined) draw(state, stamped(line));
      if (event.type === "run-ended") end();
    },
    [Symbol.dispose]: end,
  };
}

function measured(rates: Rates, event: RunEvent, state: RunState): Rates {
  if (event.type !== "progress") return rates;
  const now = stamp();
  const whole = viewOf(state).downloads.received;
  return withMark(withMark(rates, event.image, event.progress.received, now), WHOLE_RUN, whole, now);
}

interface Frame {
  readonly lines: readonly string[];
  readonly columns: number;
}

/** Clears what was drawn, from its first row on. A terminal that became narrower has wrapped its lines into more rows. */
export function wiped({ lines, columns: before }: Frame, columns: number): string {
  const width = Math.min(columns, before);
  const rows = lines.reduce((sum, line) => sum + Math.ceil(Math.max(line.length, 1) / width), 0);
  return rows === 0 ? "" : `\u001B[${rows}A\u001B[J`;
}
