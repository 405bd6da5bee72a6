// The one door to pino: events as JSON lines, one each, with a constant message and everything else in fields.
import path from "node:path";
import { pino, type Logger } from "pino";
import type { LogLevel } from "../config/config.ts";
import { messageOf, printable } from "../core/plain-text.ts";
import type { RunEvent, RunState } from "../core/run-state.ts";
import type { Edge } from "../edge.ts";
import { build } from "../version.ts";
import { appendRegular } from "../state/regular-file.ts";
import { eventFields } from "./events.ts";
import { bounded } from "./log-fields.ts";
import type { Watcher } from "./run-log.ts";

/** The log of one run. A log that cannot be written is told on stderr, and never fails a run. */
export function openRunLog(edge: Edge, level: LogLevel, runId: string): Watcher {
  try {
    const file = openLog(edge.paths.log, level, runId);
    file.logger.info(
      { event: "started", version: build.version, commit: build.commit, pid: edge.pid },
      "started",
    );
    return { sink: (event, state) => logEvent(file.logger, event, state), [Symbol.dispose]: file.close };
  } catch (error) {
    const why = messageOf(error);
    edge.stderr.write(`warning: there is no log: ${printable(why)}\n`);
    return { sink: () => {}, [Symbol.dispose]: () => {} };
  }
}

/** Written synchronously, which loses nothing when the process ends, and by nobody but pino. */
function openLog(directory: string, level: LogLevel, runId: string) {
  const file = appendRegular(path.join(directory, "import-images.log"), 0o640);
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: file.append },
  ).child({ run: runId });
  return { logger, close: file.close };
}

/** Writes one event. The message is its type in words, which never varies. */
function logEvent(logger: Logger, event: RunEvent, state: RunState): void {
  const { level, fields } = eventFields(event, state);
  // What the tool said, of every final failure; of one that is tried again only to those who look closely.
  const isTold = event.type !== "attempt-failed" || logger.isLevelEnabled("debug");
  const evidence = isTold ? {} : { evidence: undefined };
  const { type } = event;
  logger[level](bounded({ event: type, ...fields, ...evidence, type: undefined }), type.replaceAll("-", " "));
}
