import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { identify } from "../../scripts/build-identity.ts";

let root = "";
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), "import-images-unit-"));
  await mkdir(path.join(root, "src"));
  await writeFile(path.join(root, "package.json"), `{ "version": "1.2.3" }`);
});
afterEach(() => rm(root, { recursive: true }));

const git = (...args: string[]): string =>
  execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@example.org", ...args], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  }).trim();
const commit = async (file: string, text: string): Promise<string> => {
  await writeFile(path.join(root, file), text);
  git("add", ".");
  git("commit", "--message", file);
  return git("rev-parse", "--short=12", "HEAD");
};

test("the commit baked in stays the same when only the documentation changes", async () => {
  git("init");
  const built = await commit("src/main.ts", "1");
  await commit("README.md", "words");
  expect(await identify(root)).toEqual({ version: "1.2.3", commit: built });
});

test("a changed or a new source makes the commit dirty, a changed document does not", async () => {
  git("init");
  const built = await commit("src/main.ts", "1");
  await writeFile(path.join(root, "README.md"), "words");
  expect((await identify(root)).commit).toBe(built);
  await writeFile(path.join(root, "src", "new.ts"), "");
  expect((await identify(root)).commit).toBe(`${built}-dirty`);
});

test("an exported tree, which is no clone, builds with an unknown commit", async () => {
  expect((await identify(root)).commit).toBe("unknown");
});
