import { describe, expect, test } from "vitest";
import { COMMANDS, parseCommand, TAKES } from "../../src/cli.ts";
import { EXIT, ExitError } from "../../src/exit.ts";
import { help } from "../../src/help.ts";

const nothing = { json: false, deep: false, only: [] };

describe("a command line is read:", () => {
  test.each([
    ["", { name: "run", ...nothing }],
    ["run", { name: "run", ...nothing }],
    ["plan", { name: "plan", ...nothing }],
    ["status", { name: "status", ...nothing }],
    ["--config /x/config.json", { name: "run", ...nothing, config: "/x/config.json" }],
    ["--config=/x/config.json run", { name: "run", ...nothing, config: "/x/config.json" }],
    ["plan --json", { name: "plan", ...nothing, json: true }],
    ["status --json --config c", { name: "status", ...nothing, json: true, config: "c" }],
    ["status --deep", { name: "status", ...nothing, deep: true }],
    ["run --only nginx", { name: "run", ...nothing, only: ["docker.io/library/nginx:latest"] }],
    [
      "plan --only a.b/c:1 --only x",
      { name: "plan", ...nothing, only: ["a.b/c:1", "docker.io/library/x:latest"] },
    ],
    ["list", { name: "list", inUse: false }],
    ["list --in-use --config c", { name: "list", inUse: true, config: "c" }],
    [
      "list --from - --registry harbor.example.com/mirror/",
      { name: "list", inUse: false, from: "-", registry: { host: "harbor.example.com", path: "mirror" } },
    ],
    ["check config.json", { name: "check", json: false, file: "config.json" }],
    ["check - --json", { name: "check", json: true, file: "-" }],
    ["--help", { name: "help" }],
    ["-h", { name: "help" }],
    ["help", { name: "help" }],
    ["help plan", { name: "help", topic: "plan" }],
    ["plan --help", { name: "help", topic: "plan" }],
    ["check -h", { name: "help", topic: "check" }],
    ["--version", { name: "version" }],
    ["run --version", { name: "version" }],
  ])("%s", (line, command) => {
    expect(parseCommand(line.split(" ").filter((word) => word !== ""))).toEqual(command);
  });
});

describe("a command line is refused with what is wrong, and where help is:", () => {
  test.each([
    [["pull"], 'there is no command "pull"'],
    [["--verbose"], "Unknown option '--verbose'"],
    [["-x"], "Unknown option '-x'"],
    [["run", "nginx"], 'unexpected argument "nginx"'],
    [["plan", "a", "b"], 'unexpected argument "a"'],
    [["run", "--deep"], "--deep is not for run"],
    [["status", "--only", "nginx"], "--only is not for status"],
    [["--config"], "Option '--config <value>' argument missing"],
    [["--json=yes"], "Option '--json' does not take an argument"],
    [["--only", "Bad Name"], '--only "Bad Name": contains white space or a control character'],
    [["--only", ""], '--only "": is empty'],
    [["help", "pull"], 'there is no command "pull"'],
    [["list", "--in-use", "--from", "x"], "--in-use asks this node, and --from does not"],
    [["list", "--only", "a"], "--only is not for list"],
    ...["harbor", "*.example.com", "harbor.example.com/A", "a.b/c:1"].map((registry): [string[], string] => [
      ["list", "--registry", registry],
      `--registry ${JSON.stringify(registry)}: must be a registry such as harbor.example.com/mirror`,
    ]),
    [["check"], "check needs a FILE"],
    [["check", "a", "b"], 'unexpected argument "b"'],
    [["check", "a", "--config", "b"], "--config is not for check"],
    [["check", "a", "--only", "b"], "--only is not for check"],
    [["run\n"], 'there is no command "run\\n"'],
  ])("%j", (argv, problem) => {
    const parse = (): unknown => parseCommand(argv);
    expect(parse).toThrow(ExitError);
    expect(parse).toThrow(
      expect.objectContaining({ exitCode: EXIT.usage, message: `${problem}; see import-images --help` }),
    );
  });
});

describe("help", () => {
  test.each(COMMANDS)("names %s, and has a topic for it that shows its usage", (name) => {
    expect(help()).toMatch(new RegExp(`^ {2}${name}\\b`, "mu"));
    expect(help(name)).toMatch(new RegExp(`^import-images ${name}\\b`, "u"));
  });

  test.each([undefined, ...COMMANDS])("fits a terminal: %s", (topic) => {
    for (const line of help(topic).split("\n")) expect(line.length).toBeLessThanOrEqual(100);
  });

  test.each(COMMANDS)("names every option that %s takes, and no other", (name) => {
    const [, options = ""] = help(name).split("\n\n");
    const named = [...options.matchAll(/^ {2}--(?<option>[a-z-]+)/gmu)].map(
      ({ groups }) => groups?.["option"],
    );
    expect(new Set(named)).toEqual(new Set(TAKES[name]));
  });

  test("shows what a command takes", () => {
    expect(help("plan")).toMatch(/^import-images plan \[--config FILE\] \[--only NAME\]\.\.\. \[--json\]\n/u);
    expect(help("check")).toMatch(/^import-images check FILE \[--json\]\n/u);
  });

  test("tells every exit code", () => {
    for (const code of Object.values(EXIT)) expect(help()).toMatch(new RegExp(`\\b${code} {2}`, "u"));
  });
});
