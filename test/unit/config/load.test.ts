import { execFileSync } from "node:child_process";
import path from "node:path";
import process from "node:process";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../../src/config/load.ts";
import { EXIT, ExitError } from "../../../src/exit.ts";
import { temporaryFolder } from "../folder.ts";

const folder = temporaryFolder();
/** What is asked for `-`. */
const noInput = (): never => {
  throw new Error("the standard input is not asked for");
};
const IMAGES = [{ source: { name: "docker.io/library/nginx:1" }, required: false }];

/** How a file of this text is refused, without the file's own path. */
async function refusal(text: string): Promise<string> {
  return refusalOf(folder.write("config.yml", text));
}
async function refusalOf(file: string): Promise<string> {
  const error: unknown = await loadConfig(file, noInput).then(
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
    expect((await loadConfig(folder.write("good.yml", text), noInput)).images).toMatchObject(IMAGES);
  });

  test("that is the standard input", async () => {
    const input = () => new Blob(["images: [{name: 'nginx:1', required: false}]\n"]).stream();
    expect((await loadConfig("-", input)).images).toMatchObject(IMAGES);
  });

  const JOB = "{name: import-images, release: r, properties: {images: [{name: 'nginx:1', required: no}]}}";
  test.each([
    ["a runtime config", `releases: []\naddons: [{name: a, jobs: [{name: other}, ${JOB}]}]\n`],
    ["a manifest", `name: d\ninstance_groups: [{name: a, jobs: [${JOB}]}, {name: b, jobs: []}]\n`],
    [
      "a manifest in JSON",
      '{"instance_groups": [{"jobs": [{"name": "import-images", "properties": {"images": [{"name": "nginx:1", "required": false}]}}]}]}',
    ],
  ])("that is %s with one job of ours", async (_what, text) => {
    expect((await loadConfig(folder.write("manifest.yml", text), noInput)).images).toMatchObject(IMAGES);
  });

  test("that BOSH rendered, in which two brackets are part of a password", async () => {
    const images = [{ name: "nginx:1", username: "u", password: "((a))" }];
    const { credentials } = await loadConfig(
      folder.write("config.json", JSON.stringify({ images })),
      noInput,
    );
    expect(credentials).toMatchObject([{ password: "((a))" }]);
  });

  test("whose docker_config is an object in YAML", async () => {
    const text = "images: [{name: a.b/c:1}]\ndocker_config:\n  auths:\n    a.b: {username: u, password: p}\n";
    const { images } = await loadConfig(folder.write("docker.yml", text), noInput);
    expect(images[0]?.credential?.password).toBe("p");
  });
});

describe("a file is refused", () => {
  test("that does not exist", async () => {
    expect(await refusalOf(path.join(folder.path, "missing.json"))).toBe("FILE does not exist");
  });

  test("that is a directory", async () => {
    expect(await refusalOf(folder.path)).toContain("is not a regular file");
  });

  test.each(["/dev/zero", "FIFO"])("that is none, without waiting for it: %s", async (what) => {
    const fifo = path.join(folder.path, "fifo");
    if (what === "FIFO") execFileSync("mkfifo", [fifo]);
    expect(await refusalOf(what === "FIFO" ? fifo : what)).toBe(
      "FILE is not a regular file: pipe it in, and give - as its name",
    );
  });

  test.each([
    [
      "no job of ours",
      "addons: [{jobs: [{name: import-image}]}]\n",
      "FILE:1:1: configuration: has no job import-images (in addons[].jobs[] or instance_groups[].jobs[])",
    ],
    [
      "open variables, each of which it names",
      "addons: [{jobs: [{name: import-images, properties: {images: [{name: ((host))/a:((tag)), auth: ((/x/auth))}]}}]}]\n",
      "FILE:1:69: images[0].name: has ((host)) and ((tag)), which only BOSH fills in: write the value (bosh int does it)",
    ],
    ["open variables in properties alone", "images: ((list))\n", "FILE:1:9: images: has ((list))"],
  ])("that has %s", async (_what, text, problem) => {
    expect(await refusal(text)).toContain(`\n${problem}`);
  });

  test("that has two jobs of ours", async () => {
    const job = "{name: import-images, properties: {images: []}}";
    expect(await refusal(`addons: [{jobs: [${job}, ${job}]}]\n`)).toBe(
      "FILE: 2 jobs import-images: only check takes a file with more than one, nothing was done",
    );
  });

  test.skipIf(process.getuid?.() === 0)("that this user may not read", async () => {
    expect(await refusalOf(folder.write("secret.json", "{}", 0o000))).toContain("run as root");
  });

  test("whose path leads through a file", async () => {
    const file = folder.write("file", "x");
    expect(await refusalOf(path.join(file, "config.json"))).toBe("FILE cannot be read (ENOTDIR)");
  });

  test.each(["", " \n\t\n", "\uFEFF\n"])("that is empty: %j", async (text) => {
    expect(await refusal(text)).toBe("FILE is empty");
  });

  test.each([
    ["a text", "hunter2"],
    ["a list", "- images\n"],
    ["a number", "7"],
  ])("that holds %s instead of properties", async (_what, text) => {
    expect(await refusal(text)).toBe(
      "FILE: 1 problem in the configuration, nothing was done\nFILE:1:1: configuration: must be a set of properties",
    );
  });

  test("with every problem on a line of its own", async () => {
    expect(await refusal('{"images": [{"name": "Bad Name"}, {}], "deadline": 1}')).toBe(
      [
        "FILE: 3 problems in the configuration, nothing was done",
        "FILE:1:22: images[0].name: contains white space or a control character",
        "FILE:1:35: images[1].name: is missing",
        "FILE:1:52: deadline: must be a duration such as 500ms, 60s or 1h30m, at most 24 days",
      ].join("\n"),
    );
  });
});

test.each([
  ["JSON cut off", '{"images": [\n  {"name": "hunter2', "FILE:2:20: "],
  ["bad indentation", "images:\n  - name: a\n - hunter2\n", "FILE:3:"],
])(
  "a broken file is refused with line and column, and nothing of its text: %s",
  async (_what, text, start) => {
    const [, problem] = (await refusal(text)).split("\n");
    expect(problem?.slice(0, start.length)).toBe(start);
    expect(problem).toContain("configuration: is not valid JSON or YAML: ");
    expect(problem).not.toContain("hunter2");
  },
);

const ALIASES = Array.from(
  { length: 12 },
  (_, n) => `l${n}: &l${n} [${`*l${n - 1}, `.repeat(n === 0 ? 0 : 9)}x]`,
);

describe("a file that is made to do harm", () => {
  test.each([
    ["deep JSON", `${'{"images":['.repeat(1_000)}${"]}".repeat(1_000)}`],
    ["deep YAML", `{images: ${"[".repeat(10_000)}${"]".repeat(10_000)}}`],
    ["aliases that multiply", ALIASES.join("\n")],
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
