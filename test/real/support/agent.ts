// The agent as a test runs it: against one containerd, with a folder of its own for configuration, log and state.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Containerd } from "../../rig/containerd.ts";
import { poll } from "../../rig/poll.ts";
import { onProcessEnd } from "../../rig/process-end.ts";
import { agentCommand } from "./executable.ts";
import type { LogLine, Status } from "./status.ts";

export interface Ended {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
}

/** Of an output. */
export const lastLine = (text: string): string => text.trimEnd().split("\n").at(-1) ?? "";

export interface Running {
  readonly pid: number;
  readonly ended: Promise<Ended>;
  kill(signal: NodeJS.Signals): void;
}

/** Properties as an operator writes them. */
export type Properties = Record<string, unknown>;

export interface Agent {
  /** Also the working directory of every run. */
  readonly folder: string;
  readonly stateDirectory: string;
  readonly logDirectory: string;
  /** Runs a command to its end; `run` when no argument is given. */
  run(properties: Properties, ...args: string[]): Promise<Ended>;
  start(properties: Properties, ...args: string[]): Running;
  /** Without a configuration of ours; `command` replaces the program. */
  exec(args: readonly string[], command?: readonly string[]): Promise<Ended>;
  /** Writes a configuration as it is, and gives its path. */
  write(text: string): string;
  /** Properties with where this containerd is. */
  complete(properties: Properties): Properties;
  status(): Status;
  log(): LogLine[];
  /** Waits for a line of the log. */
  logged(what: string, matches: (line: LogLine) => boolean): Promise<LogLine>;
}

/** So short that a test of failures is over soon; the number of attempts stays a matter of each test. */
const impatient = {
  retry: { attempts: 2, min_delay: "20ms", max_delay: "100ms" },
  registry_timeout: "8s",
};

/** Where no run gets as far as a containerd. */
export const agentWithoutContainerd = (folder: string): Agent =>
  agentFor({ folder, crictlPath: "/nowhere", ctrPath: "/nowhere", socket: "/nowhere" });

export function agentFor(
  containerd: Pick<Containerd, "folder" | "crictlPath" | "ctrPath" | "socket">,
): Agent {
  const folder = mkdtempSync(path.join(containerd.folder, "agent-"));
  const [stateDirectory, logDirectory] = [path.join(folder, "state"), path.join(folder, "log")];
  const env = {
    PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
    IMPORT_IMAGES_STATE_DIR: stateDirectory,
    IMPORT_IMAGES_LOG_DIR: logDirectory,
  };
  const write = (text: string): string => {
    const file = path.join(folder, "config.json");
    writeFileSync(file, text);
    return file;
  };
  const complete = (properties: Properties): Properties => ({
    ...impatient,
    ...properties,
    containerd: {
      crictl: containerd.crictlPath,
      ctr: containerd.ctrPath,
      socket: containerd.socket,
      ready_timeout: "10s",
      ...(properties["containerd"] as Properties | undefined),
    },
  });
  const launch = (args: readonly string[], command: readonly string[] = agentCommand()): Running =>
    startAgent([...command, ...args], folder, env);
  const agent: Agent = {
    folder,
    stateDirectory,
    logDirectory,
    start: (properties, ...args) =>
      launch([
        ...(args.length === 0 ? ["run"] : args),
        "--config",
        write(JSON.stringify(complete(properties))),
      ]),
    run: (properties, ...args) => agent.start(properties, ...args).ended,
    exec: (args, command) => launch(args, command).ended,
    write,
    complete,
    status: () => JSON.parse(readFileSync(path.join(stateDirectory, "status.json"), "utf8")) as Status,
    log: () => readLog(logDirectory),
    logged: (what, matches) => poll(what, () => agent.log().find(matches), { bound: 60_000 }),
  };
  mkdirSync(stateDirectory);
  return agent;
}

function readLog(directory: string): LogLine[] {
  const file = path.join(directory, "import-images.log");
  if (!existsSync(file)) return [];
  // The last piece is empty, or a line that is being written.
  const lines = readFileSync(file, "utf8").split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line) as LogLine);
}

function startAgent(command: readonly string[], cwd: string, env: Record<string, string>): Running {
  const [file = "", ...args] = command;
  const started = performance.now();
  const child = spawn(file, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  const forget = onProcessEnd(() => child.kill("SIGKILL"));
  const texts = [textOf(child.stdout), textOf(child.stderr)] as const;
  const ended = async (): Promise<Ended> => {
    const [exitCode, signal] = await ending(child);
    forget();
    const seconds = (performance.now() - started) / 1000;
    return { exitCode, signal, stdout: texts[0](), stderr: texts[1](), seconds };
  };
  return { pid: child.pid ?? 0, ended: ended(), kill: (name) => void child.kill(name) };
}

const ending = (child: ChildProcess): Promise<[number | null, NodeJS.Signals | null]> =>
  once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;

function textOf(stream: NodeJS.ReadableStream): () => string {
  let text = "";
  stream.setEncoding("utf8").on("data", (part: string) => {
    text += part;
  });
  return () => text;
}
