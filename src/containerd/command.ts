// The one door to other programs: no shell, a minimal environment, bounded in time, redacted, ended with us.
import { accessSync, constants } from "node:fs";
import type { Readable } from "node:stream";
import { execa, type Result } from "execa";
import type { Redact } from "../core/redact.ts";

export interface CommandOptions {
  /** Milliseconds after which the tool is ended, where the signal is not its only bound. */
  readonly timeout?: number;
  /** Beyond PATH, which is fixed. The only way in which a credential reaches a tool. */
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Fed to the tool's stdin, which is closed otherwise. */
  readonly input?: Readable;
}

/** Runs a tool and gives its stdout, without the line break at its end. @throws CommandError */
export type RunCommand = (tool: string, args: readonly string[], options: CommandOptions) => Promise<string>;

/**
 * A tool did not succeed. Built field by field: execa's own error carries the arguments and all output in six
 * properties, and would take a secret into a log. The message is redacted.
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

  /** What the tool said before anything was masked: for a decision, and never for anybody's eyes. */
  get raw(): string {
    return this.#raw;
  }
}

/** What BOSH itself gives to hooks. Nothing else is inherited: an agent's proxy or NODE_OPTIONS is none of the tools'. */
const PATH = "/usr/sbin:/usr/bin:/sbin:/bin";
/** From SIGTERM to SIGKILL: a stopped run must be over within 10 s. */
const GRACE = 3_000;
/** From a tool's exit to the closing of its pipes, which a child of its own may keep open for ever. */
const PIPE_GRACE = 1_000;
/** Characters that are kept of each stream: the names of a large archive, and more of an error than anybody reads. */
const MOST_OUTPUT = 4 * 2 ** 20;
const MOST_EVIDENCE = 64 * 2 ** 10;
/** From util-linux. With it the kernel ends a tool when we die, even by SIGKILL; without it a pull would go on alone. */
const SETPRIV = "/usr/bin/setpriv";

/**
 * For a tool that asks containerd one thing and waits for the answer, which is all of them but an import; a busy disk
 * can hold it up. Both are written in Go: with one thread, and no garbage collection below 16 MB, they take a tenth to
 * a fifth less CPU.
 */
export const BRIEF = { timeout: 30_000, env: { GOMAXPROCS: "1", GOGC: "400" } };

/** @param lifetime ends every tool, whatever it was started for */
export function commandRunner(redact: Redact, lifetime: AbortSignal): RunCommand {
  const [wrapper, ...wrapperArgs] = isExecutable(SETPRIV) ? [SETPRIV, "--pdeathsig", "KILL", "--"] : [];
  return async (tool, args, { timeout, env, signal, input }) => {
    const [file, argv] = wrapper === undefined ? [tool, args] : [wrapper, [...wrapperArgs, tool, ...args]];
    const subprocess = execa(file, argv, {
      env: { PATH, ...env },
      extendEnv: false,
      // Ours may have been deleted.
      cwd: "/",
      ...(input === undefined ? { stdin: "ignore" as const } : { input }),
      ...(timeout !== undefined && { timeout }),
      forceKillAfterDelay: GRACE,
      reject: false,
      // execa's own way to collect output takes four queues of 16 KB a call: an eighth of our CPU with many small images.
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
    // Masked before it is cut, or half a secret would remain.
    const message = describe(tool, result, bothEnds(redact(said)));
    throw new CommandError(message, said === "" ? message : bothEnds(said), result.timedOut);
  };
}

/** @returns what gives the text so far, which is all of it when the tool has ended */
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

/** A registry's answer may be long; the first words say what failed, and the last how it ended. */
function bothEnds(text: string): string {
  if (text.length <= MOST_EVIDENCE) return text;
  const half = MOST_EVIDENCE / 2;
  return `${text.slice(0, half)}\n…\n${text.slice(-half)}`;
}

/** The tool's last words, or how it ended when it said nothing. */
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
