// The command line: one table of its commands and options, from which the help is made too.
import { parseArgs } from "node:util";
import { messageOf } from "./core/plain-text.ts";
import { parseReference } from "./core/reference.ts";
import { EXIT, ExitError } from "./exit.ts";

/** What stands for an argument, or for an option's value, where they are shown. */
export type Placeholder = "FILE" | "NAME" | "COMMAND";

export interface OptionShape {
  readonly type: "string" | "boolean";
  readonly multiple?: boolean;
  readonly about: string;
  readonly short?: string;
  readonly value?: Placeholder;
}

/** As `parseArgs` takes them, and for people. */
export const OPTIONS = {
  config: { type: "string", value: "FILE", about: "the configuration, JSON or YAML" },
  only: {
    type: "string",
    multiple: true,
    value: "NAME",
    about: "limit to this image of the list (repeatable)",
  },
  json: { type: "boolean", about: "machine-readable output on stdout" },
  help: { type: "boolean", short: "h", about: "help, after a command the help for it" },
  version: { type: "boolean", about: "version and commit" },
} as const satisfies Readonly<Record<string, OptionShape>>;
export type OptionName = keyof typeof OPTIONS;

export interface CommandShape {
  readonly about: string;
  /** Beside --help. */
  readonly options: readonly OptionName[];
  /** The one that it needs. */
  readonly argument?: Placeholder;
}

export const COMMANDS = ["run", "plan", "status", "check"] as const;
export type CommandName = (typeof COMMANDS)[number];

export const SHAPES: Readonly<Record<CommandName | "help", CommandShape>> = {
  run: {
    about: "pull, tag, pin and verify every image of the configuration (the default)",
    options: ["config", "only", "json"],
  },
  plan: {
    about: "show what run would do and why, and change nothing",
    options: ["config", "only", "json"],
  },
  status: {
    about: "show the last run or the one in progress, and what is on this node now",
    options: ["config", "json"],
  },
  check: {
    about: "validate a configuration, runtime config or manifest, also on a workstation",
    options: ["json"],
    argument: "FILE",
  },
  help: { about: "show this, or more about one command", options: [], argument: "COMMAND" },
};

export interface RunArguments {
  /** Path of the configuration, if one was given. */
  readonly config?: string;
  readonly json: boolean;
  /** Normalised names. */
  readonly only: readonly string[];
}

export type Command =
  | { readonly name: "help"; readonly topic?: CommandName }
  | { readonly name: "version" }
  | { readonly name: "check"; readonly file: string; readonly json: boolean }
  | ({ readonly name: "run" | "plan" | "status" } & RunArguments);

/** @throws ExitError (usage) */
export function parseCommand(argv: readonly string[]): Command {
  const { values, positionals } = parse(argv);
  const [first, argument] = positionals;
  if (values.version === true) return { name: "version" };
  if (first === "help" || values.help === true) return helpFor(first === "help" ? argument : first);
  const name = oneOf(COMMANDS, first ?? "run", "command");
  const { options, argument: needed } = SHAPES[name];
  const foreign = Object.keys(values).find((given) => !options.some((option) => option === given));
  if (foreign !== undefined) throw usage(`--${foreign} is not for ${name}`);
  const unexpected = positionals[needed === undefined ? 1 : 2];
  if (unexpected !== undefined) throw usage(`unexpected argument ${JSON.stringify(unexpected)}`);
  if (needed !== undefined && argument === undefined) throw usage(`${name} needs a ${needed}`);
  return command(name, argument ?? "", values);
}

type Values = ReturnType<typeof parse>["values"];

function command(name: CommandName, argument: string, { config, json = false, only = [] }: Values): Command {
  if (name === "check") return { name, json, file: argument };
  return { name, json, only: only.map(normalised), ...(config === undefined ? {} : { config }) };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    // node:util's own messages are for people, but end with advice about `--` that fits nothing here.
    throw usage(messageOf(error).split(". ", 1).join(""));
  }
}

const helpFor = (topic: string | undefined): Command =>
  topic === undefined ? { name: "help" } : { name: "help", topic: oneOf(COMMANDS, topic, "command") };

function oneOf<Word extends string>(words: readonly Word[], given: string, what: string): Word {
  const word = words.find((known) => known === given);
  if (word === undefined) throw usage(`there is no ${what} ${JSON.stringify(given)}`);
  return word;
}

function normalised(name: string): string {
  const parsed = parseReference(name);
  if (typeof parsed === "object") return parsed.name;
  throw usage(`--only ${JSON.stringify(name)}: ${parsed}`);
}

const usage = (message: string): ExitError =>
  new ExitError(EXIT.usage, `${message}; see import-images --help`);
