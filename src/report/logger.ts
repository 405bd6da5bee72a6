// The one door to pino: events as JSON lines, one each, with a constant message and everything else in fields.
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

/** The log of one run. A log that cannot be written is told on stderr, and never fails a run. */
export function openRunLog(edge: Edge, level: LogLevel, run: string): Watcher {
  try {
    const file = appendRegular(path.join(edge.paths.log, "import-images.log"), 0o640);
    const timestamp = pino.stdTimeFunctions.isoTime;
    const formatters = { level: (label: string) => ({ level: label }) };
    // Written synchronously, which loses nothing when the process ends.
    const logger = pino({ level, base: { run }, timestamp, formatters }, { write: file.append });
    const { version, commit } = build;
    logger.info({ event: "started", version, commit, pid: edge.pid }, "started");
    return { sink: (event, state) => logEvent(logger, event, state), [Symbol.dispose]: file[Symbol.dispose] };
  } catch (error) {
    warnOn(edge)(`there is no log: ${messageOf(error)}`);
    return { sink: () => {}, [Symbol.dispose]: () => {} };
  }
}

/** Writes one event. The message is its type in words, which never varies. */
function logEvent(logger: Logger, event: RunEvent, state: RunState): void {
  const { type } = event;
  const { level, fields } = eventFields(event, state);
  // What the tool said, of every final failure; of one that is tried again only to those who look closely.
  const evidence =
    type === "attempt-failed" && !logger.isLevelEnabled("debug") ? { evidence: undefined } : {};
  logger[level](bounded({ event: type, ...fields, ...evidence, type: undefined }), type.replaceAll("-", " "));
}

/** Bytes of JSON: with the time, the run and the message a line stays below 4 kB. */
const MOST = 3_600;
const SMALLEST = 64;

/**
 * Harmless and short: what a registry says may be anything, and syslog cuts lines.
 * @param limit characters of each text and each list, halved until all fits
 */
function bounded(fields: object, limit = 2_048): unknown {
  const short = shortened(fields, limit);
  const fits = Buffer.byteLength(JSON.stringify(short)) <= MOST;
  return fits || limit <= SMALLEST ? short : bounded(fields, limit / 2);
}

function shortened(value: unknown, limit: number): unknown {
  if (typeof value === "string") return cut(value, limit);
  if (Array.isArray(value)) return firstOf(value, limit);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, shortened(part, limit)]));
}

/** Line breaks stay: JSON escapes them. */
function cut(text: string, limit: number): string {
  const short = text.slice(0, limit).split("\n").map(printable).join("\n");
  return text.length <= limit ? short : `${short}… and ${text.length - limit} more characters`;
}

/** As many as have room, and the number of the others. */
function firstOf(list: readonly unknown[], limit: number): unknown[] {
  let room = limit;
  const shown = list.filter((item) => (room -= JSON.stringify(item).length) >= 0);
  const left = list.length - shown.length;
  return [...shown.map((item) => shortened(item, limit)), ...(left === 0 ? [] : [`… and ${left} more`])];
}
