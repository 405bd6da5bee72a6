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
const ONLY: Option = { name: "only", about: "only this image (repeatable)", value: "NAME" };
const JSON_OUTPUT: Option = { name: "json", about: "machine-readable output" };
const HELP: Option = { name: "help", about: "show help" };

/** Also without a command, which is run. */
const RUN_OPTIONS: readonly Option[] = [CONFIG, ONLY, JSON_OUTPUT, HELP];

interface CommandShape extends Described {
  readonly name: CommandName | "help";
  readonly options: readonly Option[];
  /** Words that may follow, or that a file may. */
  readonly words: readonly string[] | "FILE";
}

const SHELLS: readonly Shell[] = ["bash", "zsh", "fish"];

const COMMANDS: readonly CommandShape[] = [
  { name: "run", about: "pull, tag, pin and verify", options: RUN_OPTIONS, words: [] },
  { name: "plan", about: "show what run would do", options: RUN_OPTIONS, words: [] },
  {
    name: "status",
    about: "show the last run and what is on the node",
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
  const cases = COMMANDS.map(({ name, options, words }) =>
    words === "FILE"
      ? `    ${name}) options='${flags(options)}' files=1 ;;`
      : `    ${name}) options='${flags(options)}' words='${words.join(" ")}' ;;`,
  );
  return `# bash completion for import-images: source it, or put it into /etc/bash_completion.d
_import_images() {
  local current=$2 previous= command= options= words= files=0 count=0 line word
  # Split anew, because for bash = and : end a word. The x is for a last word that is empty as yet.
  read -a line <<<"\${COMP_LINE:0:COMP_POINT}x"
  for word in "\${line[@]:1:\${#line[@]}-2}"; do
    case $previous in
      --config | --only) previous= ; continue ;;
    esac
    previous=$word
    [[ $word == -* ]] && continue
    command=\${command:-$word}
    ((++count))
  done
  case $command in
    '') options='${flags(RUN_OPTIONS)} --version' words='${names(COMMANDS)}' ;;
${cases.join("\n")}
  esac
  ((count > 1)) && words= files=0
  case "$previous \${line[-1]}" in
    --config\\ * | *\\ --config=*) words= files=1 ;;
    --only\\ * | *\\ --only=*) return ;;
    *\\ -*) words=$options files=0 ;;
  esac
  if ((files)); then
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
    compopt -o filenames 2>/dev/null
  else
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  fi
}
complete -F _import_images import-images
`;
}

const zshValue = ({ value }: Option): string =>
  value === undefined ? "" : value === "FILE" ? ":file:_files" : ":image:";
const zshOption = (option: Option): string =>
  `'${option.name === "only" ? "*" : ""}--${option.name}${option.value === undefined ? "" : "="}[${option.about}]${zshValue(option)}'`;

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
  _arguments -C -A '-*' ${RUN_OPTIONS.map(zshOption).join(" ")} '--version[version and commit]' \\
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

const FISH_VALUES = { FILE: " -r -F", NAME: " -x" } as const;

function fishOption(command: string, { name, about, value }: Option): string {
  const [short, takes] = [name === "help" ? " -s h" : "", value === undefined ? "" : FISH_VALUES[value]];
  return fishLine(`-n '__import_images_at "${command}"' -l ${name}${short} -d '${about}'${takes}`);
}

function fishScript(): string {
  const lines = COMMANDS.flatMap(({ name, about, options, words }) => [
    fishLine(`-n '__import_images_at "" 0' -a ${name} -d '${about}'`),
    ...options.map((option) => fishOption(name, option)),
    ...(words.length === 0
      ? []
      : [
          fishLine(
            `-n '__import_images_at ${name} 1' ${words === "FILE" ? "-F" : `-a '${words.join(" ")}'`}`,
          ),
        ]),
  ]);
  return `# fish completion for import-images: put it into ~/.config/fish/completions/import-images.fish
# Whether the command, "" for none, and the number of words that are no options are these.
function __import_images_at
  set -l words
  set -l previous
  for word in (commandline -opc)[2..-1]
    if contains -- "$previous" --config --only
      set previous
      continue
    end
    set previous $word
    string match -q -- '-*' $word; or set -a words $word
  end
  test "$words[1]" = "$argv[1]"; or return
  test (count $argv) = 1; or test (count $words) = $argv[2]
end
${[
  fishLine("-f"),
  ...RUN_OPTIONS.map((option) => fishOption("", option)),
  fishOption("", { name: "version", about: "version and commit" }),
  ...lines,
].join("\n")}
`;
}
