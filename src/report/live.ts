// The run on a terminal: bars that are drawn again and again, and lines above them that stay.
import type { EventType } from "../core/events.ts";
import type { RunState } from "../core/run-state.ts";
import type { Output } from "../edge.ts";
import { barLines, viewOf, type Seen } from "./bars.ts";
import { eventLine } from "./events.ts";
import { linesSink, stamped } from "./lines.ts";
import { stamp, type Watcher } from "./run-log.ts";

/**
 * Milliseconds between two drawings. Not more often than there is news: tmux tells of a new size 250 ms after it has
 * wrapped the lines anew, and what is drawn in between leaves rows behind that nobody clears.
 */
const DRAW_EVERY = 1_000;
/** Milliseconds after which a new size is seen. */
const LOOK_EVERY = 100;
/** Milliseconds over which a rate is taken: long enough to be steady, short enough to show that it fell. */
const WINDOW = 10_000;

const HIDE_CURSOR = "\u001B[?25l";
const SHOW_CURSOR = "\u001B[?25h";

/** What the bars show already, or the table at the end will. */
const SILENT = new Set<EventType>(["attempt-started", "tagged"]);

/** Bars on a terminal, lines where there is none. */
export const watchSink = (output: Output): Watcher =>
  output.columns === undefined ? linesSink(output) : liveSink(output);

function liveSink(output: Output): Watcher {
  let latest: RunState | undefined;
  let drawn: readonly string[] = [];
  let drawnAt = Number.NEGATIVE_INFINITY;
  let columns = 0;
  let seen: readonly Seen[] = [];
  /** In place of the bars, what is given. */
  const show = (text: string): void => {
    output.write(`${erased(drawn, output.columns ?? columns)}${text}`);
    drawn = [];
  };
  const draw = (): void => {
    // Somebody has stopped the terminal: it gets the next drawing that it has time for.
    if (latest === undefined || (output.pending ?? 0) > 0) return;
    const now = { view: viewOf(latest), at: stamp() };
    seen = [
      ...seen.slice(
        Math.max(
          seen.findLastIndex(({ at }) => at <= now.at - WINDOW),
          0,
        ),
      ),
      now,
    ];
    columns = output.columns ?? columns;
    const lines = barLines(now, { columns, rows: (output.rows ?? 24) - 1, earlier: seen[0] });
    show(`${HIDE_CURSOR}${lines.map((line) => `${line}\n`).join("")}`);
    [drawn, drawnAt] = [lines, now.at];
  };
  const timer = setInterval(() => {
    if (output.columns !== columns || stamp() - drawnAt >= DRAW_EVERY) draw();
  }, LOOK_EVERY).unref();
  const end = (): void => {
    clearInterval(timer);
    latest = undefined;
    show(SHOW_CURSOR);
  };
  return {
    sink: (event, state) => {
      latest = state;
      const line = SILENT.has(event.type) ? undefined : eventLine(event, state);
      if (line !== undefined) show(stamped(line));
      if (event.type === "run-ended") end();
      else if (line !== undefined) draw();
    },
    [Symbol.dispose]: end,
  };
}

/** Erases lines above the cursor, with the rows that a terminal which has become narrower has wrapped them into. */
export function erased(lines: readonly string[], columns: number): string {
  const rows = lines.map(({ length }) => Math.ceil(Math.max(length, 1) / columns));
  return "\u001B[1A\u001B[2K".repeat(rows.reduce((sum, count) => sum + count, 0));
}
