// Loads a configuration file: config.json, or a document for BOSH that `check` accepts too.
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { codeOf } from "../core/plain-text.ts";
import { counted } from "../core/units.ts";
import { EXIT, ExitError } from "../exit.ts";
import { isForBosh } from "./check-bosh.ts";
import type { Config } from "./config.ts";
import { decodeConfig } from "./decode.ts";
import { parseJson } from "./value.ts";

export type Input = () => AsyncIterable<Uint8Array>;

/** @param path of the file, or `-`. @throws ExitError (usage) with every problem of the file */
export async function loadConfig(path: string, input: Input): Promise<Config> {
  const text = await readText(path, input);
  const json = parseJson(text);
  // BOSH renders JSON, and loading the YAML parser takes longer than reading such a file, so load it only if needed.
  const decoded = json === undefined || isForBosh(json) ? undefined : decodeConfig(json);
  if (decoded?.ok === true) return decoded.config;
  const { checkText, findingLines } = await import("./check.ts");
  const { problems, configs } = checkText(text, "filled");
  const [config, ...others] = configs;
  const refusal = (why: string, lines: readonly string[] = []): ExitError =>
    new ExitError(EXIT.usage, [`${nameOf(path)}: ${why}, nothing was done`, ...lines].join("\n"));
  if (problems.length > 0 || config === undefined)
    throw refusal(
      `${counted(problems.length, "problem")} in the configuration`,
      findingLines(nameOf(path), problems),
    );
  if (others.length === 0) return config;
  throw refusal(`${configs.length} jobs import-images: only check takes a file with more than one`);
}

/** Name of the file for messages. */
export const nameOf = (path: string): string => (path === "-" ? "stdin" : path);

const READ_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: "does not exist",
  EACCES: "cannot be read by this user (run as root)",
};

/** @param path of the file, or `-`. @throws ExitError (usage) if it cannot be read or is empty */
export async function readText(path: string, input: Input): Promise<string> {
  const refusal = (why: string): ExitError => new ExitError(EXIT.usage, `${nameOf(path)} ${why}`);
  const parts = await (path === "-" ? Array.fromAsync(input()) : partsOf(path)).catch((error: unknown) => {
    const code = codeOf(error);
    throw refusal(READ_PROBLEMS[code ?? ""] ?? `cannot be read (${code})`);
  });
  if (parts === undefined) throw refusal("is not a regular file: pipe it in, and give - as its name");
  const text = Buffer.concat(parts).toString();
  if (text.trim() === "") throw refusal("is empty");
  return text;
}

/** @returns undefined if it is not a regular file: a FIFO may block forever, and a device has no end */
async function partsOf(path: string): Promise<Uint8Array[] | undefined> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return (await file.stat()).isFile() ? [await file.readFile()] : undefined;
}
