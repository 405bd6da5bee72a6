// The completion scripts in the shells they are for, installed as their help says and asked with real keys.
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Folder, temporaryFolder } from "../rig/folder.ts";
import { poll } from "../rig/poll.ts";
import { describeReal } from "../rig/suite.ts";
import type { Tool } from "../rig/tools.ts";
import { agentCommand } from "./support/executable.ts";

const PROMPT = "ready>";

/** How a shell is started, what its startup file is called, and what that holds. */
interface ShellSetup {
  readonly tools: readonly Tool[];
  readonly command: string;
  readonly startup: string;
  readonly text: string;
}

const shells = {
  bash: {
    tools: [],
    command: "bash --noprofile --rcfile .bashrc",
    startup: ".bashrc",
    text: `PS1='${PROMPT} '
bind 'set show-all-if-ambiguous on'
source <(import-images completion bash)`,
  },
  zsh: {
    tools: ["zsh"],
    command: "zsh --no-globalrcs",
    startup: ".zshrc",
    text: `PROMPT='${PROMPT} '
mkdir -p .zfunc && import-images completion zsh > .zfunc/_import-images
fpath=($HOME/.zfunc $fpath)
autoload -U compinit && compinit -D`,
  },
  fish: {
    tools: ["fish"],
    command: "fish",
    startup: ".config/fish/config.fish",
    // What it suggests by itself would stand where a completion is looked for.
    text: `function fish_prompt; echo -n '${PROMPT} '; end
set -g fish_greeting
set -g fish_autosuggestion_enabled 0
mkdir -p ~/.config/fish/completions && import-images completion fish > ~/.config/fish/completions/import-images.fish`,
  },
} as const satisfies Record<string, ShellSetup>;

/** Where there is one candidate: what is typed before Tab, and what stands there when an x is typed after it. */
const completions = [
  ["st", "status x"],
  ["c", "cx"],
  ["status --o", "status --ox"],
  ["check --c", "check --cx"],
  ["--ver", "--version x"],
  ["--js", "--json x"],
  ["--config so", "--config some.yml x"],
  ["run --config so", "run --config some.yml x"],
  ["run --config=so", "run --config=some.yml x"],
  ["--config some.yml st", "--config some.yml status x"],
  ["--config run st", "--config run status x"],
  ["--json st", "--json status x"],
  ["--only one:1 pl", "--only one:1 plan x"],
  ["plan --only one:1 --only two:1 --j", "plan --only one:1 --only two:1 --json x"],
  ["run --only so", "run --only sox"],
  ["run so", "run sox"],
  ["check so", "check some.yml x"],
  ["check --json so", "check --json some.yml x"],
  ["check some.yml --j", "check some.yml --json x"],
  ["completion f", "completion fish x"],
  ["completion fish b", "completion fish bx"],
  ["help comp", "help completion x"],
  ["help run pl", "help run plx"],
] as const;

/** Where there are several: what has to be shown, and what must not be. */
const COMMANDS = ["run", "plan", "status", "check", "completion", "help"];
const OPTIONS = ["--config", "--only", "--json", "--help", "--version"];
const listed = [
  ["", COMMANDS],
  ["run --", ["--config", "--only", "--json", "--help"]],
  ["plan --", ["--config", "--only", "--json", "--help"]],
  ["status --", ["--config", "--json", "--help"]],
  ["check --", ["--json", "--help"]],
  ["--", OPTIONS],
  ["completion ", ["bash", "zsh", "fish"]],
  ["help ", ["run", "plan", "status", "check", "completion"]],
] as const;

for (const [name, setup] of Object.entries(shells)) {
  describeReal(`completion in ${name}`, "1.7", () => inShell(setup), setup.tools);
}

describeReal(
  "completion in zsh, sourced",
  "1.7",
  () => {
    test("is there as well", async () => {
      using folder = temporaryFolder();
      using terminal = openTerminal(folder.path, {
        ...shells.zsh,
        text: `PROMPT='${PROMPT} '
autoload -U compinit && compinit -D
source <(import-images completion zsh)`,
      });
      await poll("the shell is ready", () => terminal.line() === PROMPT || undefined);
      terminal.type("import-images completion f", "Tab", "x");
      await poll("the x is there", () => terminal.line().endsWith("x") || undefined);

      expect(terminal.line()).toBe(`${PROMPT} import-images completion fish x`);
    });
  },
  ["zsh"],
);

function inShell(setup: ShellSetup): void {
  let folder: Folder;
  let terminal: Terminal;

  beforeAll(async () => {
    folder = temporaryFolder();
    terminal = openTerminal(folder.path, setup);
    await poll("the shell is ready", () => terminal.line() === PROMPT || undefined);
  });
  afterAll(() => {
    terminal[Symbol.dispose]();
    folder[Symbol.dispose]();
  });

  /** What stands after the program's name when Tab and an x were typed. */
  async function completed(typed: string, program = "import-images"): Promise<string> {
    await terminal.clear();
    terminal.type(`${program} ${typed}`, "Tab", "x");
    await poll("the x is there", () => terminal.line().endsWith("x") || undefined);
    return terminal.line().replace(`${PROMPT} ${program} `, "");
  }

  test.for(completions)("makes of %j: %j", async ([typed, expected]) => {
    expect(await completed(typed)).toBe(expected);
  });

  // zsh puts an = there, which goes when a space is typed.
  test.for(["plan", "run --json --config some.yml", "--json"])(
    "lets a value follow an option of %j",
    async (typed) => {
      expect(await completed(`${typed} --o`)).toMatch(new RegExp(`^${typed} --only[ =]x$`, "u"));
    },
  );

  test.for(listed)("shows for %j: %j", async ([typed, expected]) => {
    await terminal.clear();
    terminal.type(`import-images ${typed}`, "Tab");

    const shown = () => wordsOf(terminal.screen());
    await poll("all are shown", () => expected.every((word) => shown().includes(word)) || undefined);
    const candidates = [...COMMANDS, ...OPTIONS, "bash", "zsh", "fish", "some.yml"];
    expect(new Set(candidates.filter((word) => shown().includes(word)))).toEqual(new Set(expected));
  });

  test("knows the program by its path as well", async () => {
    expect(await completed("st", "bin/import-images")).toBe("status x");
  });
}

/** The candidates on a screen: not what was typed, nor what zsh and fish tell of each. */
const wordsOf = (screen: string): string[] =>
  screen
    .split("\n")
    .filter((text) => !text.startsWith(PROMPT))
    .flatMap((text) => text.replaceAll(/ -- .*|\([^)]*\)/gu, "").split(/\s+/u));

type Terminal = ReturnType<typeof openTerminal>;

/** A home with nothing in it but the shell's startup file, the program, and a file to complete. */
function openTerminal(home: string, { command, startup, text }: ShellSetup) {
  const server = path.join(home, "tmux");
  for (const directory of ["bin", path.dirname(startup)])
    mkdirSync(path.join(home, directory), { recursive: true });
  writeFileSync(path.join(home, startup), `${text}\n`);
  writeFileSync(path.join(home, "some.yml"), "images: []\n");
  const executable = path.join(home, "bin/import-images");
  writeFileSync(executable, `#!/bin/sh\nexec ${agentCommand().join(" ")} "$@"\n`);
  chmodSync(executable, 0o755);
  const env = { HOME: home, PATH: `${home}/bin:/usr/bin:/bin`, LC_ALL: "C.UTF-8" };
  const tmux = (...args: string[]): string =>
    execFileSync("tmux", ["-S", server, "-f", "/dev/null", ...args], { encoding: "utf8", env });
  tmux("new-session", "-d", "-x", "120", "-y", "30", "-c", home, command);
  const screen = (): string => tmux("capture-pane", "-p", "-J");
  /** The line that is being edited. */
  const line = (): string =>
    screen()
      .split("\n")
      .findLast((row) => row.startsWith(PROMPT))
      ?.trim() ?? "";
  return {
    screen,
    line,
    /** Literal text, then keys by their names. */
    type: (typed: string, ...keys: string[]): void => {
      tmux("send-keys", "-l", typed);
      tmux("send-keys", ...keys);
    },
    /** Leaves whatever was typed or is shown. */
    clear: async (): Promise<void> => {
      tmux("send-keys", "C-c");
      await poll("a new line", () => line() === PROMPT || undefined);
      tmux("send-keys", "C-l");
      await poll("an empty screen", () => screen().trim() === PROMPT || undefined);
    },
    [Symbol.dispose]: () => void tmux("kill-server"),
  };
}
