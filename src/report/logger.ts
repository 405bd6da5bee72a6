// The one door to pino: events as JSON lines, one each, with a constant message and everything else in fields.
import { stamp } from "./stamp.ts";
import path from "node:path";
import { pino, type Level, type Logger } from "pino";
import type { LogLevel } from "../config/config.ts";
import type { PlannedImage, PullDecision } from "../core/plan.ts";
import { printable } from "../core/plain-text.ts";
import { imageOf, type RunEvent, type RunState } from "../core/run-state.ts";
import type { Edge } from "../edge.ts";
import { build } from "../version.ts";
import { appendRegular } from "../state/regular-file.ts";
import { bounded } from "./log-fields.ts";
import type { Sink } from "./run-log.ts";

/** The log of one run. A log that cannot be written is told on stderr, and never fails a run. */
export function openRunLog(edge: Edge, level: LogLevel, runId: string): Disposable & { readonly sink: Sink } {
  try {
    const file = openLog(edge.paths.log, level, runId);
    file.logger.info(
      { event: "started", version: build.version, commit: build.commit, pid: edge.pid },
      "started",
    );
    return { sink: (event, state) => logEvent(file.logger, event, state), [Symbol.dispose]: file.close };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
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

/** Writes one event; what an event holds beyond its type becomes fields. */
function logEvent(logger: Logger, event: RunEvent, state: RunState): void {
  const { level, message } = LINES[event.type];
  const fields = {
    event: event.type,
    ...fieldsOf(event),
    ...evidenceOf(event, logger),
    ms: duration(event, state),
  };
  logger[level](bounded(fields), message);
}

/** What the tool said, of every final failure; of one that is tried again only to those who look closely. */
function evidenceOf(event: RunEvent, logger: Logger): object {
  const isTold =
    event.type === "image-failed" || (event.type === "attempt-failed" && logger.isLevelEnabled("debug"));
  return isTold && event.failure.evidence !== undefined ? { evidence: event.failure.evidence } : {};
}

/** Milliseconds since an image's first attempt, or of the whole run; pino leaves out what is undefined. */
function duration(event: RunEvent, state: RunState): number | undefined {
  switch (event.type) {
    case "pulled":
    case "image-done":
    case "image-failed": {
      const { startedAt, endedAt = stamp() } = imageOf(state, event.image) ?? {};
      return startedAt === undefined ? undefined : endedAt - startedAt;
    }
    case "run-ended":
      return (state.endedAt ?? state.startedAt) - state.startedAt;
    default:
      return undefined;
  }
}

const LINES: Readonly<Record<RunEvent["type"], { readonly level: Level; readonly message: string }>> = {
  "run-started": { level: "info", message: "run started" },
  waiting: { level: "info", message: "waiting" },
  "runtime-ready": { level: "info", message: "container runtime ready" },
  concurrency: { level: "debug", message: "concurrency changed" },
  "runtime-back": { level: "info", message: "container runtime back" },
  planned: { level: "info", message: "planned" },
  "attempt-started": { level: "info", message: "pull started" },
  "attempt-failed": { level: "warn", message: "pull failed" },
  progress: { level: "debug", message: "pull in progress" },
  pulled: { level: "info", message: "image pulled" },
  "archive-done": { level: "info", message: "archive in place" },
  tagged: { level: "info", message: "image tagged" },
  pinned: { level: "info", message: "image pinned" },
  unpinned: { level: "info", message: "image unpinned" },
  placed: { level: "debug", message: "image named and pinned" },
  "image-done": { level: "info", message: "image verified" },
  "image-failed": { level: "error", message: "image failed" },
  warning: { level: "warn", message: "warning" },
  note: { level: "info", message: "note" },
  verifying: { level: "debug", message: "verifying" },
  "internal-error": { level: "fatal", message: "internal error" },
  "run-ended": { level: "info", message: "run ended" },
};

function fieldsOf(event: RunEvent): object {
  switch (event.type) {
    case "run-started":
      return { images: event.images.length };
    case "planned":
      return planFields(event.images);
    case "attempt-failed":
    case "image-failed": {
      const { type: _, failure, ...rest } = event;
      return { ...rest, class: failure.class, error: failure.message };
    }
    case "image-done": {
      const { type: _, verified, ...rest } = event;
      return { ...rest, ...verified };
    }
    case "progress": {
      const { parts: _, ...progress } = event.progress;
      return { image: event.image, ...progress };
    }
    default: {
      const { type: _, ...rest } = event;
      return rest;
    }
  }
}

function planFields(images: readonly PlannedImage[]): object {
  const named = (action: PullDecision["action"]): string[] =>
    images.filter(({ decision }) => decision.action === action).map(({ image }) => image.source.name);
  return { pull: named("pull"), share: named("share"), present: named("keep").length };
}
