// Reads a configuration file, JSON or YAML.
import { readFile } from "node:fs/promises";
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
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    const problem = READ_PROBLEMS[error.code ?? ""] ?? `cannot be read (${error.code})`;
    throw new ExitError(EXIT.usage, `configuration ${path} ${problem}`);
  });
  if (text.trim() === "") throw new ExitError(EXIT.usage, `configuration ${path} is empty`);
  return text;
}

/** BOSH renders JSON: a YAML parser, which takes longer to load than the whole of such a file to read, is not needed then. */
async function parseText(path: string, text: string): Promise<unknown> {
  return parseJson(text) ?? (await import("./source.ts")).parseYaml(path, text);
}
