// The command line: the commands, and the options that each takes.
import { parseArgs } from "node:util";
import { messageOf } from "./core/plain-text.ts";
import { isScope, registryScope, type RegistryScope } from "./core/credentials.ts";
import { parseReference } from "./core/reference.ts";
import { EXIT, ExitError } from "./exit.ts";

const OPTIONS = {
  config: { type: "string" },
  only: { type: "string", multiple: true },
  "in-use": { type: "boolean" },
  from: { type: "string" },
  registry: { type: "string" },
  deep: { type: "boolean" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean" },
} as const;

export const COMMANDS = ["run", "plan", "status", "list", "check"] as const;
export type CommandName = (typeof COMMANDS)[number];

/** In addition to --help. */
export const TAKES: Readonly<Record<CommandName, readonly (keyof typeof OPTIONS)[]>> = {
  run: ["config", "only", "json"],
  plan: ["config", "only", "json"],
  status: ["config", "deep", "json"],
  list: ["in-use", "from", "registry", "config"],
  check: ["json"],
};

export interface RunArguments {
  /** The path of the configuration, if given. */
  readonly config?: string;
  readonly json: boolean;
  /** For `status` only. */
  readonly deep: boolean;
  /** Normalized names. */
  readonly only: readonly string[];
}

export interface ListArguments {
  /** The path of the configuration, which tells where containerd is. */
  readonly config?: string;
  readonly inUse: boolean;
  /** A path, or `-` for standard input: lists names from there instead of the node. */
  readonly from?: string;
  /** The registry from which the workers will pull. */
  readonly registry?: RegistryScope;
}

export type Command =
  | { readonly name: "help"; readonly topic?: CommandName }
  | { readonly name: "version" }
  | ({ readonly name: "list" } & ListArguments)
  | { readonly name: "check"; readonly file: string; readonly json: boolean }
  | ({ readonly name: "run" | "plan" | "status" } & RunArguments);

/** @throws ExitError (usage) */
export function parseCommand(argv: readonly string[]): Command {
  const { values, positionals } = parse(argv);
  const [first, argument] = positionals;
  if (values.version === true) return { name: "version" };
  if (first === "help" || values.help === true) return helpFor(first === "help" ? argument : first);
  const name = oneOf(COMMANDS, first ?? "run", "command");
  const foreign = Object.keys(values).find((given) => !TAKES[name].some((option) => option === given));
  if (foreign !== undefined) throw usage(`--${foreign} is not for ${name}`);
  const [, file, second] = positionals;
  const unexpected = name === "check" ? second : file;
  if (unexpected !== undefined) throw usage(`unexpected argument ${JSON.stringify(unexpected)}`);
  if (name === "check" && file === undefined) throw usage("check needs a FILE");
  return command(name, argument ?? "", values);
}

type Values = ReturnType<typeof parse>["values"];

function command(name: CommandName, argument: string, values: Values): Command {
  const { config, json = false, deep = false, only = [] } = values;
  const configured = config === undefined ? {} : { config };
  if (name === "check") return { name, json, file: argument };
  if (name === "list") return { name, ...configured, ...listed(values) };
  return { name, json, deep, only: only.map(normalised), ...configured };
}

function listed({ "in-use": inUse = false, from, registry }: Values): Omit<ListArguments, "config"> {
  if (inUse && from !== undefined) throw usage("--in-use asks this node, and --from does not");
  const named = from === undefined ? {} : { from };
  return { inUse, ...named, ...(registry === undefined ? {} : { registry: scopeOf(registry) }) };
}

function scopeOf(registry: string): RegistryScope {
  const scope = registryScope(registry);
  if (isScope(scope) && !/[*?]/u.test(registry)) return scope;
  throw usage(`--registry ${JSON.stringify(registry)}: must be a registry such as harbor.example.com/mirror`);
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    // Messages of node:util are for people, but end with advice about `--` that fits no option here.
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
