// The edge: argv, environment, signals, streams and the exit code. Nothing else touches `process`.
import { availableParallelism } from "node:os";
import process from "node:process";
import { parseCommand, type Command } from "./cli.ts";
import type { Edge, Output } from "./edge.ts";
import { EXIT, ExitError, signalExit } from "./exit.ts";
import { paths } from "./paths.ts";
import { Interruption } from "./run/interruption.ts";
import { build } from "./version.ts";

/** Each command is loaded when it is called for: parsing all of them takes longer than telling the version. */
async function dispatch(command: Command, edge: Edge): Promise<number> {
  switch (command.name) {
    case "version":
      edge.stdout.write(`import-images ${build.version} (${build.commit})\n`);
      return EXIT.ok;
    case "help": {
      const { HELP, TOPICS } = await import("./help.ts");
      edge.stdout.write(command.topic === undefined ? HELP : TOPICS[command.topic]);
      return EXIT.ok;
    }
    case "completion": {
      const { completionScript } = await import("./commands/completion.ts");
      edge.stdout.write(completionScript(command.shell));
      return EXIT.ok;
    }
    case "check":
      return (await import("./commands/check.ts")).checkCommand(command, edge, async () =>
        (await import("node:stream/consumers")).text(process.stdin),
      );
    case "run":
      return (await import("./commands/run.ts")).runCommand(command, edge);
    case "plan":
      return (await import("./commands/plan.ts")).planCommand(command, edge);
    case "status":
      return (await import("./commands/status.ts")).statusCommand(command, edge);
  }
}

/** SIGHUP as well: it is what an ssh session's end sends. */
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
/** Milliseconds after a signal in which everything has to be over; BOSH kills an errand after 10 s. */
const LAST_CALL = 9_500;

function makeEdge(): Edge {
  const stop = new AbortController();
  let stoppedBy: NodeJS.Signals | undefined;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      if (stoppedBy !== undefined) return;
      stoppedBy = signal;
      stop.abort(new Interruption({ class: "cancelled", message: `stopped by ${signal}` }));
      setTimeout(() => process.exit(signalExit(signal)), LAST_CALL).unref();
    });
  }
  return {
    stdout: output(process.stdout),
    stderr: output(process.stderr),
    paths: paths(process.env),
    pid: process.pid,
    cpus: availableParallelism(),
    platform: { os: process.platform, architecture: process.arch === "x64" ? "amd64" : process.arch },
    signal: stop.signal,
    stoppedBy: () => stoppedBy,
  };
}

function output(stream: NodeJS.WriteStream): Output {
  // Whoever read our output has gone; that is no reason to leave a node half done.
  stream.on("error", () => {});
  const isScreen = stream.isTTY && process.env["TERM"] !== "dumb";
  return {
    write: (text) => void stream.write(text),
    // A serial line tells 0.
    get columns() {
      return isScreen ? stream.columns || 80 : undefined;
    },
    get rows() {
      return isScreen ? stream.rows || 24 : undefined;
    },
  };
}

function tell(error: unknown): number {
  if (error instanceof ExitError) {
    process.stderr.write(`import-images: ${error.message}\n`);
    return error.exitCode;
  }
  const what =
    error instanceof Error
      ? `${error.name} at ${error.stack?.match(/\((?<place>[^()]*:\d+:\d+)\)/u)?.groups?.["place"]}`
      : typeof error;
  process.stderr.write(
    `import-images: internal error, please report it with the version and the log: ${what}\n`,
  );
  return EXIT.bug;
}

try {
  process.exitCode = await dispatch(parseCommand(process.argv.slice(2)), makeEdge());
} catch (error) {
  process.exitCode = tell(error);
}
