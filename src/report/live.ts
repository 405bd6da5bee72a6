// The run on a terminal: bars that are drawn again and again, and lines above them that stay.
import { Writable } from "node:stream";
import type { createLogUpdate } from "log-update";
import type { EventType, RunEvent } from "../core/events.ts";
import type { RunState } from "../core/run-state.ts";
import type { Output } from "../edge.ts";
import { barLines, viewOf, WHOLE_RUN } from "./bars.ts";
import { eventLine } from "./events.ts";
import { linesSink, stamped } from "./lines.ts";
import { stamp, type Watcher } from "./run-log.ts";
import { noRates, withMark, type Rates } from "./transfer-rate.ts";

type Draw = ReturnType<typeof createLogUpdate>;

/**
 * Milliseconds between two drawings. Not more often than there is news: tmux tells of a new size 250 ms after it has
 * wrapped the lines anew, and what is drawn in between leaves rows behind that nobody clears.
 */
const DRAW_EVERY = 1_000;
/** Milliseconds after which a new size is seen. */
const LOOK_EVERY = 100;
/** The lines of a terminal that does not say. */
const ROWS = 24;

/** Bars on a terminal, lines where there is none. */
export async function watchSink(output: Output): Promise<Watcher> {
  if (output.columns === undefined) return linesSink(output);
  // Loaded only here: no run of BOSH has a terminal.
  const { createLogUpdate } = await import("log-update");
  // It would show the cursor again when the process ends, synchronously, for which a stopped terminal does not let go.
  return liveSink(output, createLogUpdate(terminal(output), { showCursor: true }));
}

const HIDE_CURSOR = "\u001B[?25l";
const SHOW_CURSOR = "\u001B[?25h";

/** What the bars show already, or the table at the end will. */
const SILENT = new Set<EventType>(["attempt-started", "tagged"]);

function liveSink(output: Output, draw: Draw): Watcher {
  let latest: RunState | undefined;
  let rates = noRates;
  let drawn: Frame = { lines: [], columns: 0 };
  let drawnAt = 0;
  const render = (): void => {
    // Somebody has stopped the terminal: it gets the next drawing that it has time for.
    if (latest === undefined || (output.pending ?? 0) > 0) return;
    const columns = output.columns ?? 80;
    const now = stamp();
    output.write(drawnAt === 0 ? HIDE_CURSOR : clearReflowed(drawn, columns));
    drawnAt = now;
    const rows = (output.rows ?? ROWS) - 1;
    drawn = { lines: barLines(viewOf(latest), { columns, rows, now, rates }), columns };
    draw(drawn.lines.join("\n"));
  };
  const wipe = (): void => {
    output.write(clearReflowed(drawn, output.columns ?? 80));
    drawn = { lines: [], columns: 0 };
    draw.clear();
  };
  const timer = setInterval(() => {
    if (output.columns !== drawn.columns || stamp() - drawnAt >= DRAW_EVERY) render();
  }, LOOK_EVERY).unref();
  const end = (): void => {
    clearInterval(timer);
    if (latest !== undefined) wipe();
    latest = undefined;
    if (drawnAt !== 0) output.write(SHOW_CURSOR);
    drawnAt = 0;
    draw.done();
  };
  return {
    sink: (event, state) => {
      latest = state;
      rates = measured(rates, event, state);
      const line = SILENT.has(event.type) ? undefined : eventLine(event, state);
      if (line !== undefined) {
        wipe();
        output.write(stamped(line));
      }
      if (event.type === "run-ended") end();
      else if (line !== undefined) render();
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

/**
 * A terminal that became narrower has wrapped what was drawn: the rows that this made are cleared here, from below, as
 * the library knows only of those that it drew.
 */
export function clearReflowed({ lines, columns: before }: Frame, columns: number): string {
  if (columns >= before) return "";
  const more = lines.reduce((sum, line) => sum + Math.ceil(Math.max(line.length, 1) / columns) - 1, 0);
  return "\u001B[2K\u001B[1A".repeat(more);
}

/** The part of a terminal that the library needs, with the size that it has at the moment. */
function terminal(output: Output): Writable {
  const stream = new Writable({
    decodeStrings: false,
    write: (chunk, _encoding, done) => {
      output.write(String(chunk));
      done();
    },
  });
  return Object.defineProperties(stream, {
    columns: { get: () => output.columns },
    rows: { get: () => output.rows ?? ROWS },
    isTTY: { value: true },
  });
}
