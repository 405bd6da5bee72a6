// The only place that runs other programs: no shell, minimal environment, time limit, redacted output, ended with us.
import { accessSync, constants } from "node:fs";
import type { Readable } from "node:stream";
import { execa, type Result } from "execa";
import type { Redact } from "../core/redact.ts";

export interface CommandOptions {
  /** Time limit in milliseconds; if omitted, only the signal ends the tool. */
  readonly timeout?: number;
  /** Added to the fixed PATH. Carries credentials to a tool. */
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** The tool's stdin, which is empty otherwise. */
  readonly input?: Readable;
}

/** Runs a tool. @returns its stdout without white space at the end. @throws CommandError */
export type RunCommand = (tool: string, args: readonly string[], options: CommandOptions) => Promise<string>;

/**
 * A tool failed. Built field by field, because execa's error carries the arguments and all output in six properties,
 * and would put a secret into a log. The message is redacted.
 */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly timedOut: boolean;
  readonly #raw: string;

  constructor(message: string, raw: string, timedOut: boolean) {
    super(message);
    this.#raw = raw;
    this.timedOut = timedOut;
  }

  /** The tool's unredacted output, for decisions only: never show or log it. */
  get raw(): string {
    return this.#raw;
  }
}

/** PATH that BOSH gives to hooks. Tools inherit nothing else: an agent's proxy or NODE_OPTIONS is not for them. */
const PATH = "/usr/sbin:/usr/bin:/sbin:/bin";
/** Milliseconds from SIGTERM to SIGKILL. A stopped run must end within 10 s. */
const GRACE = 3_000;
/** Milliseconds from a tool's exit until its pipes are closed, which a child of its own may keep open forever. */
const PIPE_GRACE = 1_000;
/** Characters to keep of a stream, enough for a large archive's names; and of an error, more than anyone reads. */
const MOST_OUTPUT = 4 * 2 ** 20;
const MOST_EVIDENCE = 64 * 2 ** 10;
/** From util-linux. Has the kernel kill a tool when we die, even by SIGKILL; otherwise a pull would continue alone. */
const SETPRIV = "/usr/bin/setpriv";

/**
 * For tools that wait for one answer from containerd, which a busy disk can delay. Not for an import or an unpack.
 * crictl and ctr are Go programs: with one thread, and no garbage collection below 16 MB, they use 10 to 20 % less CPU.
 */
export const BRIEF = { timeout: 30_000, env: { GOMAXPROCS: "1", GOGC: "400" } };

/** @param lifetime ends every tool */
export function commandRunner(redact: Redact, lifetime: AbortSignal): RunCommand {
  const wrapper = isExecutable(SETPRIV) ? [SETPRIV, "--pdeathsig", "KILL", "--"] : [];
  return async (tool, args, { timeout = 0, env, signal, input }) => {
    const [file = tool, ...argv] = [...wrapper, tool, ...args];
    const subprocess = execa(file, argv, {
      env: { PATH, ...env },
      extendEnv: false,
      // Our own directory may have been deleted.
      cwd: "/",
      ...(input === undefined ? { stdin: "ignore" as const } : { input }),
      timeout,
      forceKillAfterDelay: GRACE,
      reject: false,
      // execa's own buffering takes four queues of 16 KB per call: an eighth of our CPU with many small images.
      buffer: false,
      cancelSignal: signal === undefined ? lifetime : AbortSignal.any([signal, lifetime]),
    });
    const [stdout, stderr] = [collect(subprocess.stdout), collect(subprocess.stderr)];
    subprocess.nodeChildProcess.once("exit", () => {
      const pipes = [subprocess.stdout, subprocess.stderr];
      setTimeout(() => pipes.forEach((pipe) => pipe.destroy()), PIPE_GRACE).unref();
    });
    const result = await subprocess;
    if (!result.failed) return stdout().trimEnd();
    const said = stderr().trim();
    // Redacted before it is shortened, or half a secret could remain.
    const message = describe(tool, result, bothEnds(redact(said)));
    throw new CommandError(message, bothEnds(said), result.timedOut);
  };
}

/** @returns a function that returns the text so far, which is complete when the tool has ended */
function collect(stream: Readable): () => string {
  let text = "";
  stream.setEncoding("utf8").on("data", (part: string) => {
    if (text.length < MOST_OUTPUT) text += part;
  });
  return () => text;
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Shortens a long answer in the middle: its first words say what failed, its last how it ended. */
function bothEnds(text: string): string {
  if (text.length <= MOST_EVIDENCE) return text;
  const half = MOST_EVIDENCE / 2;
  return `${text.slice(0, half)}\n…\n${text.slice(-half)}`;
}

/** The tool's stderr, or how the tool ended if that is empty. */
function describe(
  tool: string,
  result: Pick<Result, "code" | "exitCode" | "signal" | "timedOut">,
  stderr: string,
): string {
  const name = tool.slice(tool.lastIndexOf("/") + 1);
  if (result.timedOut) return `${name} did not answer in time${stderr === "" ? "" : `: ${stderr}`}`;
  if (stderr !== "") return stderr;
  if (result.signal !== undefined) return `${name} was ended by ${result.signal}`;
  return result.exitCode === undefined
    ? `${name} could not be started (${result.code})`
    : `${name} exited with ${result.exitCode} and said nothing`;
}
