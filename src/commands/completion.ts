// `completion SHELL`: a script that teaches a shell the commands and options.
import { COMMANDS, OPTIONS, SHAPES, SHELLS, type OptionName, type OptionShape, type Shell } from "../cli.ts";

/** What may follow a command: options anywhere, and then a word or a file. */
interface Place {
  /** Empty where there is none as yet. */
  readonly command: string;
  readonly options: readonly OptionName[];
  readonly words: readonly string[] | "FILE";
}

const WORDS = { FILE: "FILE", NAME: [], SHELL: SHELLS, COMMAND: COMMANDS } as const;
const PLACES = Object.entries(SHAPES).map(([command, { options, argument = "NAME" }]): Place => ({
  command,
  options: [...options, "help"],
  words: WORDS[argument],
}));
/** Without a command it is run, which has the same options. */
const START: Place = {
  command: "",
  options: [...SHAPES.run.options, "version", "help"],
  words: Object.keys(SHAPES),
};

export const completionScript = (shell: Shell): string => SCRIPTS[shell]();

const SCRIPTS: Readonly<Record<Shell, () => string>> = { bash: bashScript, zsh: zshScript, fish: fishScript };

function bashCase({ command, options, words }: Place): string {
  const follow = words === "FILE" ? "files=1" : `words='${words.join(" ")}'`;
  return `    '${command}') options='${options.map((name) => `--${name}`).join(" ")}' ${follow} ;;`;
}

function bashScript(): string {
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
${[START, ...PLACES].map(bashCase).join("\n")}
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

function zshOption(name: OptionName): string {
  const { about, value }: OptionShape = OPTIONS[name];
  const [equals, action] =
    value === undefined ? ["", ""] : ["=", value === "FILE" ? ":file:_files" : ":image:"];
  return `'${name === "only" ? "*" : ""}--${name}${equals}[${about}]${action}'`;
}

function zshCase({ command, options, words }: Place): string {
  const argument =
    words === "FILE" ? ["'1:file:_files'"] : words.length > 0 ? [`'1:what:(${words.join(" ")})'`] : [];
  return `    ${command}) _arguments ${[...options.map(zshOption), ...argument].join(" ")} ;;`;
}

function zshScript(): string {
  const commands = Object.entries(SHAPES).map(([name, { about }]) => `'${name}:${about}'`);
  return `#compdef import-images
# zsh completion for import-images: put it as _import-images into a directory of $fpath
_import_images() {
  local context state state_descr line
  typeset -A opt_args
  _arguments -C -A '-*' ${START.options.map(zshOption).join(" ")} \\
    '1:command:->command' '*::argument:->argument'
  case $state in
  command)
    local -a commands=(${commands.join(" ")})
    _describe command commands
    ;;
  argument)
    case $line[1] in
${PLACES.map(zshCase).join("\n")}
    esac
    ;;
  esac
}
if [ "$funcstack[1]" = _import-images ]; then _import_images "$@"; else compdef _import_images import-images; fi
`;
}

function fishLines({ command, options, words }: Place): string[] {
  const at = `complete -c import-images -n '__import_images_at "${command}"`;
  const nth = command === "" ? 0 : 1;
  return [
    ...options.map((name) => {
      const { about, value, short }: OptionShape = OPTIONS[name];
      const takes = value === undefined ? "" : value === "FILE" ? " -r -F" : " -x";
      return `${at}' -l ${name}${short === undefined ? "" : ` -s ${short}`} -d '${about}'${takes}`;
    }),
    ...(words === "FILE" ? [`${at} ${nth}' -F`] : words.map((word) => `${at} ${nth}' -a ${word}`)),
  ];
}

function fishScript(): string {
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
complete -c import-images -f
${[START, ...PLACES].flatMap(fishLines).join("\n")}
`;
}
