// The program's boundary: argv, environment, signals, streams and the exit code. No other module touches `process`.
import { writeFileSync } from "node:fs";
import process from "node:process";
import { Writable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { Failed } from "./core/failure.ts";
import { parseCommand, type Command } from "./cli.ts";
import { paths, type Edge } from "./edge.ts";
import { EXIT, ExitError, signalExit } from "./exit.ts";
import { printableLine } from "./core/plain-text.ts";
import { drained, output } from "./report/output.ts";
import { build } from "./version.ts";

/** Loads only the command that is called: parsing all of them takes longer than printing the version. */
async function dispatch(command: Command, edge: Edge): Promise<number> {
  switch (command.name) {
    case "version":
      edge.stdout.write(`import-images ${build.version} (${build.commit})\n`);
      return EXIT.ok;
    case "help":
      edge.stdout.write((await import("./help.ts")).help(command.topic));
      return EXIT.ok;
    case "list":
      return (await import("./commands/list.ts")).listCommand(command, edge);
    case "check":
      return (await import("./commands/check.ts")).checkCommand(command, edge);
    case "run":
      return (await import("./commands/run.ts")).runCommand(command, edge);
    case "plan":
      return (await import("./commands/plan.ts")).planCommand(command, edge);
    case "status":
      return (await import("./commands/status.ts")).statusCommand(command, edge);
  }
}

/** Includes SIGHUP, which the end of an ssh session sends. */
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
/** Milliseconds from a signal to a forced exit. BOSH kills an errand after 10 s. */
const LAST_CALL = 9_500;
/** Milliseconds to wait for a reader that takes nothing. Commands that only report wait forever, like any program. */
const READER = { ofRun: 5_000, ofOthers: Number.POSITIVE_INFINITY, afterSignal: 1_000 };

const stderr = output(process.stderr, process.env["TERM"], () => {});
let isLost = false;
const stdout = output(process.stdout, process.env["TERM"], (why) => {
  isLost = true;
  stderr.write(`warning: stdout cannot be written, its output is lost: ${why}\n`);
});

/**
 * Discards process.stderr, the only stream that Node itself writes to: under NODE_DEBUG, it would get each tool's
 * environment, with its credential. Keeps memory out of core files, also that of tools, which inherit the setting.
 */
function keepSecrets(): void {
  Object.defineProperty(process, "stderr", {
    value: new Writable({ write: (_chunk, _encoding, done) => done() }),
  });
  try {
    writeFileSync("/proc/self/coredump_filter", "0");
  } catch {
    // Not on Linux.
  }
}

/** nohup sets SIGHUP to be ignored, but Node resets that before it runs us, so only the caller can tell. */
const hasNohup = (): boolean =>
  process.env["IMPORT_IMAGES_NOHUP"] === "1" || (process.env["_"] ?? "").endsWith("/nohup");

/** @param onSignal called once, with the first signal */
function makeEdge(onSignal: (signal: NodeJS.Signals) => void): Edge {
  const stop = new AbortController();
  let stoppedBy: NodeJS.Signals | undefined;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      if (stoppedBy !== undefined || (signal === "SIGHUP" && hasNohup())) return;
      stoppedBy = signal;
      stop.abort(new Failed({ class: "cancelled", message: `stopped by ${signal}` }));
      onSignal(signal);
    });
  }
  return {
    stdin: () => process.stdin,
    stdout,
    stderr,
    paths: paths(process.env),
    pid: process.pid,
    platform: { os: process.platform, architecture: process.arch === "x64" ? "amd64" : process.arch },
    signal: stop.signal,
    stoppedBy: () => stoppedBy,
  };
}

/** For commands other than `run`: they have nothing to clean up. */
function endAtOnce(signal: NodeJS.Signals): void {
  stderr.write(`import-images: stopped by ${signal}\n`);
  process.exit(signalExit(signal));
}

function endSoon(signal: NodeJS.Signals): void {
  const end = (): void => {
    // The live view has hidden the cursor.
    if (stdout.columns !== undefined) stdout.write("\u001B[?25h");
    endAtOnce(signal);
  };
  setTimeout(end, LAST_CALL).unref();
}

async function main(): Promise<void> {
  keepSecrets();
  const command = parseCommand(process.argv.slice(2));
  const isRun = command.name === "run";
  const edge = makeEdge(isRun ? endSoon : endAtOnce);
  const exitCode = await dispatch(command, edge).catch(report);
  const patience = isRun ? READER.ofRun : READER.ofOthers;
  // The error event of the last write comes after the write.
  await setImmediate();
  await drained([stdout, stderr], () => (edge.signal.aborted ? READER.afterSignal : patience));
  // Exits despite open sockets and pipes. Lost output fails a command, except `run`, which does more than report.
  process.exit(isLost && !isRun && exitCode === EXIT.ok ? EXIT.usage : exitCode);
}

/** Prints the reason last, after its details. BOSH does not show it, and people see the last line first. */
function report(error: unknown): number {
  if (error instanceof ExitError) {
    const [reason = "", ...details] = error.message.split("\n").map(printableLine);
    stderr.write([...details, `import-images: ${reason}`, ""].join("\n"));
    return error.exitCode;
  }
  const place = error instanceof Error ? /\((?<place>[^()]*:\d+:\d+)\)/u.exec(error.stack ?? "") : null;
  const what = error instanceof Error ? `${error.name} at ${place?.groups?.["place"]}` : typeof error;
  stderr.write(`import-images: internal error, please report it with the version and the log: ${what}\n`);
  return EXIT.bug;
}

process.on("uncaughtException", (error) => process.exit(report(error)));
void main().catch((error: unknown) => process.exit(report(error)));
