// The run on a terminal: bars that are redrawn, and above them lines that stay.
import type { EventType } from "../core/events.ts";
import type { RunState } from "../core/run-state.ts";
import type { Output } from "../edge.ts";
import { barLines, viewOf, type Seen } from "./bars.ts";
import { eventLine } from "./events.ts";
import { linesSink, stamped } from "./lines.ts";
import { stamp, type Watcher } from "./run-log.ts";

/**
 * Milliseconds between redraws, no more often than there is news: tmux reports a new size 250 ms after it has rewrapped
 * the lines, and a redraw in between leaves rows behind that are never cleared.
 */
const DRAW_EVERY = 1_000;
/** Milliseconds between checks for a new size. */
const LOOK_EVERY = 100;
/** Milliseconds over which a rate is averaged: long enough to be steady, short enough to show a drop. */
const WINDOW = 10_000;

const HIDE_CURSOR = "\u001B[?25l";
const SHOW_CURSOR = "\u001B[?25h";

/** Events that the bars show already, or that the table at the end will show. */
const SILENT = new Set<EventType>(["attempt-started", "tagged"]);

/** Bars on a terminal, otherwise lines. */
export const watchSink = (output: Output): Watcher =>
  output.columns === undefined ? linesSink(output) : liveSink(output);

function liveSink(output: Output): Watcher {
  let latest: RunState | undefined;
  let drawn: readonly string[] = [];
  let drawnAt = Number.NEGATIVE_INFINITY;
  let columns = 0;
  let seen: readonly Seen[] = [];
  /** Replaces the bars with `text`. */
  const show = (text: string): void => {
    output.write(`${erased(drawn, output.columns ?? columns)}${text}`);
    drawn = [];
  };
  const draw = (): void => {
    // The terminal takes no output, as after Ctrl-S. A later redraw replaces this one.
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

/** Erases lines above the cursor, including the extra rows into which a terminal that became narrower wrapped them. */
export function erased(lines: readonly string[], columns: number): string {
  const rows = lines.map(({ length }) => Math.ceil(Math.max(length, 1) / columns));
  return "\u001B[1A\u001B[2K".repeat(rows.reduce((sum, count) => sum + count, 0));
}
