// `completion SHELL`: a script that teaches a shell the commands and options.
import type { CommandName, Shell } from "../cli.ts";

interface Described {
  readonly name: string;
  readonly about: string;
}

/** Options with a value have its name. */
interface Option extends Described {
  readonly value?: "FILE" | "NAME";
}

const CONFIG: Option = { name: "config", about: "the configuration, JSON or YAML", value: "FILE" };
const ONLY: Option = { name: "only", about: "narrow to this image; may be repeated", value: "NAME" };
const JSON_OUTPUT: Option = { name: "json", about: "machine-readable output" };
const HELP: Option = { name: "help", about: "show help" };

interface CommandShape extends Described {
  readonly name: CommandName | "help";
  readonly options: readonly Option[];
  /** Words that may follow, or that a file may. */
  readonly words: readonly string[] | "FILE";
}

const SHELLS: readonly Shell[] = ["bash", "zsh", "fish"];

const COMMANDS: readonly CommandShape[] = [
  { name: "run", about: "pull, tag, pin and verify", options: [CONFIG, ONLY, JSON_OUTPUT, HELP], words: [] },
  { name: "plan", about: "show what run would do", options: [CONFIG, ONLY, JSON_OUTPUT, HELP], words: [] },
  {
    name: "status",
    about: "show the last run and what is true now",
    options: [CONFIG, JSON_OUTPUT, HELP],
    words: [],
  },
  {
    name: "check",
    about: "validate a configuration or manifest",
    options: [JSON_OUTPUT, HELP],
    words: "FILE",
  },
  { name: "completion", about: "print a completion script", options: [HELP], words: SHELLS },
  {
    name: "help",
    about: "show help",
    options: [],
    words: ["run", "plan", "status", "check", "completion"],
  },
];

export const completionScript = (shell: Shell): string => SCRIPTS[shell]();

const SCRIPTS: Readonly<Record<Shell, () => string>> = { bash: bashScript, zsh: zshScript, fish: fishScript };

const names = (items: readonly Described[]): string => items.map(({ name }) => name).join(" ");
const flags = (options: readonly Option[]): string => options.map(({ name }) => `--${name}`).join(" ");

function bashScript(): string {
  const cases = COMMANDS.map(({ name, options, words }) => {
    const list = [flags(options), ...(words === "FILE" ? [] : words)].join(" ").trim();
    return `    ${name}) words='${list}' files=${words === "FILE" ? 1 : 0} ;;`;
  });
  return `# bash completion for import-images: source it, or put it into /etc/bash_completion.d
_import_images() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} command= words files=0 i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      --config | --only) ((i++)) ;;
      -*) ;;
      *) command=\${COMP_WORDS[i]}; break ;;
    esac
  done
  case $previous in
    --config) mapfile -t COMPREPLY < <(compgen -f -- "$current"); compopt -o filenames 2>/dev/null; return ;;
    --only) return ;;
  esac
  case $command in
    '') words='${names(COMMANDS)} ${flags([CONFIG, ONLY, JSON_OUTPUT, HELP])} --version' ;;
${cases.join("\n")}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  if ((files)) && [[ $current != -* ]]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
    compopt -o filenames 2>/dev/null
  fi
}
complete -F _import_images import-images
`;
}

const zshValue = ({ value }: Option): string =>
  value === undefined ? "" : value === "FILE" ? ":file:_files" : ":image:";
const zshOption = (option: Option): string =>
  `'${option.name === "only" ? "*" : ""}--${option.name}[${option.about}]${zshValue(option)}'`;

function zshScript(): string {
  const cases = COMMANDS.map(({ name, options, words }) => {
    const first =
      words === "FILE" ? ["'1:file:_files'"] : words.length > 0 ? [`'1:what:(${words.join(" ")})'`] : [];
    return `    ${name}) _arguments ${[...options.map(zshOption), ...first].join(" ")} ;;`;
  });
  return `#compdef import-images
# zsh completion for import-images: put it as _import-images into a directory of $fpath
_import_images() {
  local context state state_descr line
  typeset -A opt_args
  _arguments -C ${[CONFIG, ONLY, JSON_OUTPUT, HELP].map(zshOption).join(" ")} '--version[version and commit]' \\
    '1:command:->command' '*::argument:->argument'
  case $state in
  command)
    local -a commands=(${COMMANDS.map(({ name, about }) => `'${name}:${about}'`).join(" ")})
    _describe command commands
    ;;
  argument)
    case $line[1] in
${cases.join("\n")}
    esac
    ;;
  esac
}
if [ "$funcstack[1]" = _import-images ]; then _import_images "$@"; else compdef _import_images import-images; fi
`;
}

const fishLine = (rest: string): string => `complete -c import-images ${rest}`;

function fishScript(): string {
  const all = names(COMMANDS);
  const option = (command: string, { name, about, value }: Option): string =>
    fishLine(
      `-n '__fish_seen_subcommand_from ${command}' -l ${name}${name === "help" ? " -s h" : ""} -d '${about}'${value === undefined ? "" : value === "FILE" ? " -r -F" : " -x"}`,
    );
  return `${[
    "# fish completion for import-images: put it into ~/.config/fish/completions/import-images.fish",
    fishLine("-f"),
    fishLine(`-n 'not __fish_seen_subcommand_from ${all}' -l version -d 'version and commit'`),
    ...COMMANDS.flatMap(({ name, about, options, words }) => [
      fishLine(`-n 'not __fish_seen_subcommand_from ${all}' -a ${name} -d '${about}'`),
      ...options.map((item) => option(name, item)),
      ...(words === "FILE" ? [fishLine(`-n '__fish_seen_subcommand_from ${name}' -F`)] : []),
      ...(words !== "FILE" && words.length > 0
        ? [fishLine(`-n '__fish_seen_subcommand_from ${name}' -a '${words.join(" ")}'`)]
        : []),
    ]),
  ].join("\n")}\n`;
}
