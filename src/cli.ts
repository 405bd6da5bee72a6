// The command line, read into a value.
import { parseArgs } from "node:util";
import { parseReference } from "./core/reference.ts";
import { EXIT, ExitError } from "./exit.ts";

export const COMMANDS = ["run", "plan", "status", "check", "completion"] as const;
export type CommandName = (typeof COMMANDS)[number];

const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

export type Command =
  | { readonly name: "help"; readonly topic?: CommandName }
  | { readonly name: "version" }
  | { readonly name: "check"; readonly file: string; readonly json: boolean }
  | { readonly name: "completion"; readonly shell: Shell }
  | {
      readonly name: "run" | "plan" | "status";
      /** Path of the configuration, if one was given. */
      readonly config?: string;
      readonly json: boolean;
      /** Normalised source names. */
      readonly only: readonly string[];
    };

const OPTIONS = {
  config: { type: "string" },
  json: { type: "boolean" },
  only: { type: "string", multiple: true },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean" },
} as const;

/** @throws ExitError (usage) */
export function parseCommand(argv: readonly string[]): Command {
  const { values, positionals } = parse(argv);
  const [first = "run", ...rest] = positionals;
  if (values.version === true) return { name: "version" };
  if (first === "help") return help(rest[0]);
  const name = COMMANDS.find((command) => command === first);
  if (name === undefined) throw usage(`there is no command ${JSON.stringify(first)}`);
  if (values.help === true)
    return positionals.length === 0 ? { name: "help" } : { name: "help", topic: name };
  const { config, json = false, only = [] } = values;
  if (name === "check" || name === "completion") {
    const given = (["config", "only", ...(name === "check" ? [] : (["json"] as const))] as const).find(
      (option) => values[option] !== undefined,
    );
    if (given !== undefined) throw usage(`--${given} is not for ${name}`);
    const argument = onlyArgument(name, rest);
    return name === "check" ? { name, json, file: argument } : { name, shell: shellNamed(argument) };
  }
  if (rest.length > 0) throw usage(`${name} takes no argument ${JSON.stringify(rest[0])}`);
  if (name === "status" && only.length > 0) throw usage("--only is for run and plan");
  return { name, json, only: only.map(sourceName), ...(config === undefined ? {} : { config }) };
}

const ARGUMENTS = {
  check: "FILE (- for the standard input)",
  completion: "SHELL: bash, zsh or fish",
} as const;

function onlyArgument(name: keyof typeof ARGUMENTS, [argument, ...others]: readonly string[]): string {
  if (argument === undefined) throw usage(`${name} needs a ${ARGUMENTS[name]}`);
  if (others.length === 0) return argument;
  throw usage(`${name} takes one argument, not ${others.length + 1}`);
}

function shellNamed(argument: string): Shell {
  const shell = SHELLS.find((known) => known === argument);
  if (shell === undefined) throw usage(`there is no completion for ${JSON.stringify(argument)}`);
  return shell;
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    // node:util's own messages are for people, but end with advice about `--` that fits nothing here.
    const message = error instanceof Error ? error.message : String(error);
    throw usage(message.split(". ")[0] ?? message);
  }
}

function help(topic: string | undefined): Command {
  if (topic === undefined) return { name: "help" };
  const name = COMMANDS.find((command) => command === topic);
  if (name === undefined) throw usage(`there is no command ${JSON.stringify(topic)}`);
  return { name: "help", topic: name };
}

function sourceName(text: string): string {
  const parsed = parseReference(text);
  if (parsed.ok) return parsed.reference.name;
  throw usage(`--only ${JSON.stringify(text)}: ${parsed.problem}`);
}

const usage = (message: string): ExitError =>
  new ExitError(EXIT.usage, `${message}; see import-images --help`);
