// The job's scripts: how they start the program.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, expect, onTestFinished, test } from "vitest";
import { parseCommand } from "../../src/cli.ts";
import { jobDir } from "../bosh/templates.ts";

describe("the job", () => {
  const scriptOf = (template: string): string => readFileSync(join(jobDir, "templates", template), "utf8");

  test.each(["post-start", "run"])("has a %s that is one exec, with nothing interpolated", (template) => {
    const script = scriptOf(template);
    const [shebang, exec, ...more] = script.trimEnd().split("\n");
    expect(shebang).toBe("#!/bin/sh");
    expect(exec).toMatch(
      /^exec \/usr\/bin\/env -i PATH=\S+ \/var\/vcap\/packages\/import-images\/bin\/import-images run$/u,
    );
    expect(more).toEqual([]);
    expect(script).not.toContain("<%");
  });

  test.each([
    ["post-start", [], "run", []],
    ["run", [], "run", []],
    ["import-images", ["plan", "--only", "a b"], "plan --only a b", ["TERM=xterm", "IMPORT_IMAGES_NOHUP="]],
  ])("starts the program by %s in a clean environment, with its arguments", (template, args, line, more) => {
    expect(started(template, args, "env")).toEqual({ line, environment: [PATH, ...more] });
  });

  test("tells the program of nohup, which Node takes back", () => {
    const { environment } = started("import-images", [], "nohup");
    expect(environment).toContain("IMPORT_IMAGES_NOHUP=1");
  });

  const PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";

  test.each([
    "",
    "run --only a.b/c:1",
    "plan --config new.yml --json",
    "status",
    "list --in-use",
    "check runtime-config.yml",
    "help",
    "help check",
    "status --help",
    "--version",
  ])("has every command work through bin/import-images: %j", (words) => {
    const args = words.split(" ").filter((word) => word !== "");
    const given = started("import-images", args, "env").line?.split(" ") ?? [];
    expect(parseCommand(given.filter((word) => word !== ""))).toEqual(parseCommand(args));
  });

  /** What the script gives to the program, in whose place a shell script tells it. */
  function started(template: string, args: readonly string[], by: string) {
    const folder = mkdtempSync(join(tmpdir(), "templates-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const program = join(folder, "program");
    writeFileSync(program, '#!/bin/sh\necho "$*"; tr "\\0" "\\n" </proc/self/environ\n', { mode: 0o755 });
    const script = join(folder, template);
    const text = scriptOf(template).replace("/var/vcap/packages/import-images/bin/import-images", program);
    writeFileSync(script, text, { mode: 0o755 });
    const env = { ...process.env, TERM: "xterm", NODE_DEBUG: "child_process", nohup: "1" };
    const told = execFileSync(by, [script, ...args], { encoding: "utf8", env })
      .trimEnd()
      .split("\n");
    const environment = told.slice(1).filter((entry) => !/^(?:PWD|_|SHLVL|OLDPWD)=/u.test(entry));
    return { line: told[0], environment };
  }
});
