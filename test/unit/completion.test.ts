import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { COMMANDS } from "../../src/cli.ts";
import { completionScript } from "../../src/commands/completion.ts";

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
