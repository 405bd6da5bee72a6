// The documents: what they name is there, what they list is complete, and what they show is what the program prints.
import { existsSync, globSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { COMMANDS } from "../../src/cli.ts";
import { checkCommand } from "../../src/commands/check.ts";
import { checkText } from "../../src/config/check.ts";
import { FAILURE_CLASSES } from "../../src/core/failure.ts";
import { EXIT } from "../../src/exit.ts";

const repository = path.join(import.meta.dirname, "../..");
const read = (file: string): string => readFileSync(path.join(repository, file), "utf8");
const exists = (file: string): boolean => existsSync(path.join(repository, file));
const documents = globSync(
  ["*.md", "src/*.md", "test/*.md", "test/bench/*.md", "bosh-release/*.md", "bosh-release/examples/**/*.md"],
  { cwd: repository },
);

/** As GitHub makes them of headings. */
const anchors = (text: string): string[] =>
  [...text.matchAll(/^#+ (?<heading>.+)$/gmu)].map(({ groups }) =>
    (groups?.["heading"] ?? "")
      .toLowerCase()
      .replaceAll(/[^\w\- ]/gu, "")
      .replaceAll(" ", "-"),
  );

/** First cells of the tables' rows, without their backticks. */
const firstCells = (text: string): string[] =>
  [...text.matchAll(/^\| `?(?<cell>[^|`]+?)`? \|/gmu)].map(({ groups }) => groups?.["cell"] ?? "");

describe.each(documents)("%s", (file) => {
  const text = read(file);

  test("links to files and headings that are there", () => {
    const links = [...text.matchAll(/\]\((?!https?:)(?<link>[^)\s]+)\)/gu)];
    const broken = links
      .map(({ groups }) => groups?.["link"] ?? "")
      .filter((link) => {
        const [target = "", anchor] = link.split("#");
        const to = target === "" ? file : path.join(path.dirname(file), target);
        return !exists(to) || (anchor !== undefined && !anchors(read(to)).includes(anchor));
      });
    expect(broken).toEqual([]);
  });

  test("names scripts that are there", () => {
    const named = [...text.matchAll(/(?<![\w/-])scripts\/[\w-]+/gu)].map(([script]) => script);
    expect(named.filter((script) => !exists(script) && !exists(`${script}.ts`))).toEqual([]);
  });
});

describe("README.md", () => {
  const text = read("README.md");
  const runtimeConfig = /```yaml\n(?<yaml>[^]*?)```/u.exec(text)?.groups?.["yaml"] ?? "";

  test("is read in a few minutes", () => {
    expect(text.split(/\s+/u).filter((word) => word !== "").length).toBeLessThanOrEqual(1_500);
  });

  test("has every command and every exit code", () => {
    const cells = firstCells(text).map((cell) => cell.split(" ")[0]);
    expect(cells).toEqual(expect.arrayContaining([...COMMANDS]));
    expect(cells).toEqual(expect.arrayContaining(Object.values(EXIT).map(String)));
  });

  test("has a runtime config that check takes", () => {
    expect(checkText(runtimeConfig)).toMatchObject({ problems: [], warnings: [], jobs: 1, images: 2 });
  });

  test("shows what check prints", async () => {
    const shown = /\$ import-images check runtime-config\.yml\n(?<output>[^]*?)```/u.exec(text)?.groups;
    const mistaken = runtimeConfig
      .replace("base/debian", "base/Debian")
      .replace("retagAs: [", "auth: robot:secret\n        retagas: [");
    let printed = "";
    const write = (part: string): void => void (printed += part);
    const output = { write, columns: undefined };
    const stdin = () => new Blob([mistaken]).stream();
    await checkCommand({ file: "-", json: false }, { stdin, stdout: output, stderr: output });
    expect(shown?.["output"]).toBe(printed.replaceAll(/^stdin/gmu, "runtime-config.yml"));
  });
});

describe("src/README.md", () => {
  const text = read("src/README.md");
  const sources = globSync("src/**/*.ts", { cwd: repository });
  const source = sources.map(read).join("\n");
  const quoted = [...text.matchAll(/(?<!`)`(?<code>[^`\n]+)`(?!`)/gu)].map(
    ({ groups }) => groups?.["code"] ?? "",
  );

  test("names files that are there", () => {
    const files = quoted.filter((code) => /^[\w./-]+\.(?:ts|yml|json|md|erb)$/u.test(code));
    const found = files.filter((file) =>
      [file, `src/${file}`, `src/containerd/${file}`, `src/config/${file}`].some(exists),
    );
    expect(files.length).toBeGreaterThan(30);
    expect(files).toEqual(found);
  });

  test("names the file in which something is", () => {
    const places = [...text.matchAll(/`(?<what>\w+)` in `(?<file>[\w/-]+\.ts)`/gu)];
    const wrong = places.filter(
      ({ groups }) => !new RegExp(`\\b${groups?.["what"]}\\b`, "u").test(read(`src/${groups?.["file"]}`)),
    );
    expect(places.length).toBeGreaterThan(5);
    expect(wrong.map(([place]) => place)).toEqual([]);
  });

  test("names words that the code has", () => {
    const words = quoted.filter((code) => /^(?:[A-Z]?[a-z]+[A-Z]\w*|[A-Z][a-z]+)(?:\.\w+)?$/u.test(code));
    const missing = words.filter((word) =>
      word.split(".").some((part) => !new RegExp(`\\b${part}\\b`, "u").test(source)),
    );
    expect(words.length).toBeGreaterThan(10);
    expect(missing).toEqual([]);
  });
});

test("bosh-release/README.md tells what to do about every exit code that is not 0", () => {
  const codes = Object.values(EXIT).filter((code) => code !== EXIT.ok);
  expect(firstCells(read("bosh-release/README.md"))).toEqual(expect.arrayContaining(codes.map(String)));
});

test("bosh-release/FAILURES.md tells what to do about every class of failure", () => {
  const text = read("bosh-release/FAILURES.md");
  expect(FAILURE_CLASSES.filter((name) => !text.includes(`| \`${name}\` |`))).toEqual([]);
});

describe("bosh-release/KUBELET.md", () => {
  const comments = read("bosh-release/KUBELET.md").matchAll(
    /<!-- (?<suite>kubelet-\w+): (?<title>.+?) -->/gu,
  );
  const held = [...comments].map(({ groups }) => [groups?.["suite"] ?? "", groups?.["title"] ?? ""] as const);

  test("names the tests that hold its statements", () => {
    expect(held.length).toBeGreaterThan(15);
  });

  test.each(held)("%s has the test that the page names: %s", (suite, title) => {
    expect(read(`test/real/${suite}.test.ts`)).toContain(`test("${title}"`);
  });
});

test("every file says the same version", () => {
  const { version } = JSON.parse(read("package.json")) as { version: string };
  const [, entry] = /^## (?<version>\S+)$/mu.exec(read("CHANGELOG.md")) ?? [];
  const files = [...documents, ...globSync("bosh-release/examples/*.yml", { cwd: repository })];
  const named = files.flatMap((file) =>
    [
      ...read(file).matchAll(
        /name: import-images\n +version: (?<release>\S+)|create-release --version (?<built>\S+)/gu,
      ),
    ].map(({ groups }) => `${file}: ${groups?.["release"] ?? groups?.["built"]}`),
  );
  expect(entry).toBe(version);
  expect(named.length).toBeGreaterThan(5);
  expect(named.filter((each) => !each.endsWith(`: ${version}`))).toEqual([]);
});
