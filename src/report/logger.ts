// The only module that uses pino. One JSON line per event: a constant message, and everything else in fields.
import path from "node:path";
import { pino, type Logger } from "pino";
import type { LogLevel } from "../config/config.ts";
import { messageOf, printable } from "../core/plain-text.ts";
import type { RunEvent } from "../core/events.ts";
import type { RunState } from "../core/run-state.ts";
import { warnOn, type Edge } from "../edge.ts";
import { build } from "../version.ts";
import { appendRegular } from "../state/regular-file.ts";
import { eventFields } from "./events.ts";
import type { Watcher } from "./run-log.ts";

/** The log of one run. If it cannot be opened, warns on stderr; this never fails a run. */
export function openRunLog(edge: Edge, level: LogLevel, run: string): Watcher {
  try {
    const file = appendRegular(path.join(edge.paths.log, "import-images.log"), 0o640);
    const timestamp = pino.stdTimeFunctions.isoTime;
    const formatters = { level: (label: string) => ({ level: label }) };
    // Written synchronously, so that nothing is lost when the process ends.
    const logger = pino({ level, base: { run }, timestamp, formatters }, { write: file.append });
    const { version, commit } = build;
    logger.info({ event: "started", version, commit, pid: edge.pid }, "started");
    return { sink: (event, state) => logEvent(logger, event, state), [Symbol.dispose]: file[Symbol.dispose] };
  } catch (error) {
    warnOn(edge)(`there is no log: ${messageOf(error)}`);
    return { sink: () => {}, [Symbol.dispose]: () => {} };
  }
}

/** The message is the event's type in words. */
function logEvent(logger: Logger, event: RunEvent, state: RunState): void {
  const { type } = event;
  const { level, fields } = eventFields(event, state);
  // The tool's output is logged for every final failure, but for a failed attempt only at level debug.
  const evidence =
    type === "attempt-failed" && !logger.isLevelEnabled("debug") ? { evidence: undefined } : {};
  logger[level](short({ event: type, ...fields, ...evidence, type: undefined }), type.replaceAll("-", " "));
}

/** Limits for each text and each list: an archive may have a thousand names, and syslog cuts long lines. */
const MOST_CHARACTERS = 2_000;
const MOST_ITEMS = 20;

/** Makes a value printable and short: what a registry says may be anything. */
function short(value: unknown): unknown {
  if (typeof value === "string") return cut(value);
  if (Array.isArray(value)) {
    const left = value.length - MOST_ITEMS;
    const shown: unknown[] = value.slice(0, MOST_ITEMS).map(short);
    return left > 0 ? [...shown, `… and ${left} more`] : shown;
  }
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, short(part)]));
}

/** Keeps line breaks, because JSON escapes them. */
function cut(text: string): string {
  const shown = text.slice(0, MOST_CHARACTERS).split("\n").map(printable).join("\n");
  const left = text.length - MOST_CHARACTERS;
  return left > 0 ? `${shown}… and ${left} more characters` : shown;
}
