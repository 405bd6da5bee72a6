// Reads a configuration file, JSON or YAML.
import { constants, createReadStream, fstatSync, openSync } from "node:fs";
import { codeOf } from "../core/plain-text.ts";
import { counted } from "../core/units.ts";
import { EXIT, ExitError } from "../exit.ts";
import type { Config } from "./config.ts";
import { decodeConfig } from "./decode.ts";
import { firstOf, type Issue } from "./issue.ts";
import { parseJson } from "./value.ts";

/** @throws ExitError (usage) with every problem of the file */
export async function loadConfig(path: string): Promise<Config> {
  const decoded = decodeConfig(await parseText(path, await readText(path)));
  if (decoded.ok) return decoded.config;
  throw new ExitError(EXIT.usage, configMessage(path, decoded.issues));
}

function configMessage(path: string, issues: readonly Issue[]): string {
  const lines = firstOf(issues.map((issue) => `${issue.path}: ${issue.problem}`)).map((line) => `  ${line}`);
  return [
    `${path}: ${counted(issues.length, "problem")} in the configuration, nothing was done`,
    ...lines,
  ].join("\n");
}

const READ_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: "does not exist",
  EACCES: "cannot be read by this user (run as root)",
  EISDIR: "is a directory",
};

/** @throws ExitError (usage) when the file cannot be read or holds nothing */
export async function readText(path: string): Promise<string> {
  const text = await textOf(path, opened(path));
  if (text.trim() === "") throw new ExitError(EXIT.usage, `configuration ${path} is empty`);
  return text;
}

/** Bytes: five times what 5,000 images with logins have. A YAML parser takes hundreds of times as much memory. */
const MOST = 4 * 2 ** 20;

/** @throws ExitError (usage) when it cannot be read, or does not end */
export async function textOf(name: string, input: AsyncIterable<Uint8Array>): Promise<string> {
  const refusal = (problem: string) => new ExitError(EXIT.usage, `configuration ${name} ${problem}`);
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of input) {
      size += chunk.length;
      if (size > MOST) break;
      chunks.push(chunk);
    }
  } catch (error) {
    const code = codeOf(error);
    throw refusal(READ_PROBLEMS[code ?? ""] ?? `cannot be read (${code})`);
  }
  if (size > MOST) throw refusal("has more than 4 MiB, so it is no configuration");
  return Buffer.concat(chunks).toString();
}

/** A pipe is waited for as Node waits for its own input: a thread that hangs in it would outlast a signal. */
async function* opened(path: string): AsyncIterable<Uint8Array> {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const kind = fstatSync(fd);
  // Neither is loaded at the start of a program that reads a file.
  if (kind.isFIFO()) return yield* new (await import("node:net")).Socket({ fd, writable: false });
  const tty = kind.isCharacterDevice() ? await import("node:tty") : undefined;
  yield* tty?.isatty(fd) === true ? new tty.ReadStream(fd) : createReadStream(path, { fd });
}

/** BOSH renders JSON: a YAML parser, which takes longer to load than the whole of such a file to read, is not needed then. */
async function parseText(path: string, text: string): Promise<unknown> {
  return parseJson(text) ?? (await import("./source.ts")).parseYaml(path, text);
}
