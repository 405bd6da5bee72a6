import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import process from "node:process";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../../src/config/load.ts";
import { EXIT, ExitError } from "../../../src/exit.ts";
import { temporaryFolder } from "../folder.ts";

const folder = temporaryFolder();
const IMAGES = [{ source: { name: "docker.io/library/nginx:1" }, required: false }];

/** How a file of this text is refused, without the file's own path. */
async function refusal(text: string): Promise<string> {
  return refusalOf(folder.write("config.yml", text));
}
async function refusalOf(file: string): Promise<string> {
  const error: unknown = await loadConfig(file).then(
    () => "was accepted",
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof ExitError)) throw error;
  expect(error.exitCode).toBe(EXIT.usage);
  return error.message.replaceAll(file, "FILE");
}

describe("a file is read", () => {
  test.each([
    ["JSON", '{"images": [{"name": "nginx:1", "required": false}]}'],
    ["JSON after a byte order mark", '\uFEFF{"images": [{"name": "nginx:1", "required": false}]}'],
    ["YAML", "# of ours\nimages:\n- name: nginx:1\n  required: false\n"],
    ["YAML with Windows' line ends", "images:\r\n- name: nginx:1\r\n  required: false\r\n"],
    ["YAML in a document of its own", "---\nimages: [{name: 'nginx:1', required: false}]\n...\n"],
    ["YAML with an anchor and an alias", "images: [&x {name: 'nginx:1', required: false}, *x]\n"],
  ])("that is %s", async (_what, text) => {
    expect((await loadConfig(folder.write("good.yml", text))).images).toMatchObject(IMAGES);
  });

  test("that is a FIFO, once somebody has written it", async () => {
    const fifo = path.join(folder.path, "fifo");
    execFileSync("mkfifo", [fifo]);
    const loading = loadConfig(fifo);
    await writeFile(fifo, "images: [{name: 'nginx:1', required: false}]\n");
    expect((await loading).images).toMatchObject(IMAGES);
  });

  test("whose docker_config is an object in YAML", async () => {
    const text = "images: [{name: a.b/c:1}]\ndocker_config:\n  auths:\n    a.b: {username: u, password: p}\n";
    const { images } = await loadConfig(folder.write("docker.yml", text));
    expect(images[0]?.credential?.password).toBe("p");
  });
});

describe("a file is refused", () => {
  test("that does not exist", async () => {
    expect(await refusalOf(path.join(folder.path, "missing.json"))).toBe("configuration FILE does not exist");
  });

  test("that is a directory", async () => {
    expect(await refusalOf(folder.path)).toBe("configuration FILE is a directory");
  });

  test.skipIf(process.getuid?.() === 0)("that this user may not read", async () => {
    expect(await refusalOf(folder.write("secret.json", "{}", 0o000))).toContain("run as root");
  });

  test("whose path leads through a file", async () => {
    const file = folder.write("file", "x");
    expect(await refusalOf(path.join(file, "config.json"))).toBe(
      "configuration FILE cannot be read (ENOTDIR)",
    );
  });

  test.each(["", " \n\t\n", "\uFEFF\n"])("that is empty: %j", async (text) => {
    expect(await refusal(text)).toBe("configuration FILE is empty");
  });

  test("that has no end", async () => {
    expect(await refusalOf("/dev/zero")).toBe(
      "configuration FILE has more than 4 MiB, so it is no configuration",
    );
  });

  test("that is longer than any configuration, by a byte", async () => {
    const most = 4 * 1024 * 1024;
    expect(await refusal(" ".repeat(most))).toBe("configuration FILE is empty");
    expect(await refusal(" ".repeat(most + 1))).toContain("has more than 4 MiB");
  });

  test.each([
    ["only a comment", "# nothing\n"],
    ["a text", "hunter2"],
    ["a list", "- images\n"],
    ["a number", "7"],
    ["null", "null"],
  ])("that holds %s instead of properties", async (_what, text) => {
    expect(await refusal(text)).toBe(
      "FILE: 1 problem in the configuration, nothing was done\n  configuration: must be a set of properties",
    );
  });

  test("with every problem on a line of its own", async () => {
    expect(await refusal('{"images": [{"name": "Bad Name"}, {}], "deadline": 1}')).toBe(
      [
        "FILE: 3 problems in the configuration, nothing was done",
        "  images[0].name: contains white space or a control character",
        "  images[1].name: is missing",
        '  deadline: must be a duration such as "500ms", "60s" or "1h30m", at most 24 days',
      ].join("\n"),
    );
  });
});

describe("a broken file is refused with line and column, and nothing of its text", () => {
  const NOT = "is not valid JSON or YAML:";
  test.each([
    [
      "brackets without end",
      `images: []\nx: ${"[ {".repeat(300_000)}`,
      `FILE:2:4: ${NOT} brackets are nested too deeply`,
    ],
    ["JSON cut off", '{"images": [\n  {"name": "hunter2', `FILE:2:20: ${NOT} the text ends too early`],
    ["a missing comma", '{"images": []\n"pin": "hunter2"}', "FILE:2:"],
    ["a stray bracket", "images: []\nhunter2: ]\n", "FILE:2:10:"],
    ["a tab", "images:\n\t- name: hunter2\n", "FILE:2:1:"],
    ["bad indentation", "images:\n  - name: a\n - hunter2\n", "FILE:3:"],
    ["a property given twice", "pin: true\npin: hunter2\n", `FILE:2:1: ${NOT} a property is given twice`],
    ["a value that begins with @", "images: @hunter2\n", "FILE:1:9:"],
    ["an open quote", 'images: "hunter2', "FILE:1:17:"],
  ])("%s", async (_what, text, start) => {
    const message = await refusal(text);
    expect(message.slice(0, start.length)).toBe(start);
    expect(message).toContain(NOT);
    expect(message).not.toContain("hunter2");
    expect(message).not.toContain("\n");
  });

  test("also where the parser gives up by itself", async () => {
    expect(await refusal("{a: ".repeat(20_000))).toMatch(/^FILE:1:\d+: .* it is nested too deeply$/u);
  });
});

test("a second document is refused at its beginning", async () => {
  expect(await refusal("images: []\n---\nhunter2: 1\n")).toBe(
    "FILE:2:1: is a second document: a configuration has only one",
  );
});

describe("a file that is made to do harm", () => {
  test("is refused when its aliases multiply", async () => {
    const levels = Array.from(
      { length: 12 },
      (_, n) => `l${n}: &l${n} [${`*l${n - 1}, `.repeat(n === 0 ? 0 : 9)}x]`,
    );
    expect(await refusal(levels.join("\n"))).toBe("FILE:1:1: has an alias that is used too often");
  });

  test("is refused when an alias has no anchor", async () => {
    expect(await refusal("images: *hunter2\n")).toBe("FILE:1:9: is an alias without an anchor before it");
  });

  test("is refused when an alias contains itself", async () => {
    expect(await refusal("images: &x [*x]\n")).toBe("FILE:1:13: is an alias that contains itself");
  });

  test.each([
    ["deep JSON", `${'{"images":['.repeat(50_000)}${"]}".repeat(50_000)}`],
    ["deep YAML", `{images: ${"[".repeat(10_000)}${"]".repeat(10_000)}}`],
    ["YAML that is never closed", "[".repeat(10_000)],
    ["deep block YAML", Array.from({ length: 1_000 }, (_, n) => `${" ".repeat(n)}a:\n`).join("")],
    [
      "a deep docker_config",
      JSON.stringify({ images: [], docker_config: "[".repeat(50_000) + "]".repeat(50_000) }),
    ],
  ])("is refused, and does not hang: %s", async (_what, text) => {
    expect(await refusal(text)).toMatch(/^FILE/u);
  });

  test.each([
    "!!binary aHVudGVyMg==",
    "!!js/function 'x'",
    "!hunter2 x",
    "!!timestamp 2001-01-01",
    "!!set {a, b}",
  ])("gets nothing from a tag: %s", async (value) => {
    expect(await refusal(`images: ${value}\n`)).toMatch(/^FILE/u);
  });

  test("cannot reach a prototype", async () => {
    const text =
      '{"images": [], "__proto__": {"pin": false, "polluted": 1}, "constructor": {"prototype": {"polluted": 1}}}';
    expect(await refusal(text)).toContain("is not a property that this job knows");
    expect(await refusal("images: []\n__proto__: {polluted: 1}\n")).toContain("is not a property");
    expect({}).not.toHaveProperty("polluted");
  });
});
