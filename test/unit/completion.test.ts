import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { COMMANDS, parseCommand } from "../../src/cli.ts";
import { completionScript } from "../../src/commands/completion.ts";
import { TOPICS } from "../../src/help.ts";

/** What bash offers for a command line whose last word is being written; test/real/completion.test.ts has the keys. */
function offered(...words: readonly string[]): string[] {
  const line = ["import-images", ...words].join(" ");
  const script = `${completionScript("bash")}
COMP_LINE=$1 COMP_POINT=\${#1}; _import_images import-images "$2"; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const output = execFileSync("bash", ["-c", script, "bash", line, words.at(-1) ?? ""], {
    encoding: "utf8",
    cwd: import.meta.dirname,
  });
  return output.split("\n").filter((word) => word !== "");
}

describe("bash completion", () => {
  it.for<[readonly string[], readonly string[]]>([
    [["st"], ["status"]],
    [["c"], ["check", "completion"]],
    [["plan", "--o"], ["--only"]],
    [
      ["status", "--"],
      ["--config", "--json", "--help"],
    ],
    [["--config", "plan", "st"], ["status"]],
    [
      ["completion", ""],
      ["bash", "zsh", "fish"],
    ],
    [["check", "completion.t"], ["completion.test.ts"]],
    [["run", "--config", "completion.t"], ["completion.test.ts"]],
    [["run", "--only", ""], []],
  ])("offers after %j: %j", ([words, expected]) => {
    expect(offered(...words)).toEqual(expected);
  });
});

it.for(["bash", "zsh", "fish"] as const)("%s completion knows every command", (shell) => {
  for (const command of COMMANDS)
    expect(completionScript(shell)).toMatch(new RegExp(`\\b${command}\\b`, "u"));
});

describe("the command line", () => {
  it("reads check and completion", () => {
    expect(parseCommand(["check", "-", "--json"])).toEqual({ name: "check", file: "-", json: true });
    expect(parseCommand(["completion", "zsh"])).toEqual({ name: "completion", shell: "zsh" });
  });

  it.for([
    [["check"], /needs a FILE/u],
    [["check", "a", "b"], /takes one argument/u],
    [["check", "a", "--only", "b"], /--only is not for check/u],
    [["completion"], /bash, zsh or fish/u],
    [["completion", "tcsh"], /no completion for "tcsh"/u],
    [["completion", "zsh", "--json"], /--json is not for completion/u],
  ] as const)("refuses %j", ([argv, message]) => {
    expect(() => parseCommand(argv)).toThrow(message);
  });

  it.for(COMMANDS)("has help for %s that fits a terminal", (command) => {
    for (const line of TOPICS[command].split("\n")) expect(line.length).toBeLessThanOrEqual(100);
  });
});
