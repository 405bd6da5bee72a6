import { execFileSync } from "node:child_process";
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import process from "node:process";
import { describe, expect, onTestFinished, test } from "vitest";
import { appendRegular, readRegular, replaceRegular } from "../../../src/state/regular-file.ts";
import { temporaryFolder, timesOpen } from "../folder.ts";

const folder = temporaryFolder();
let count = 0;
function place(): string {
  const directory = path.join(folder.path, `place-${(count += 1)}`);
  mkdirSync(directory);
  return path.join(directory, "status.json");
}

const OTHERS = [
  ["FIFO", (file: string) => void execFileSync("mkfifo", [file])],
  ["directory", (file: string) => mkdirSync(file)],
  ["symbolic link", (file: string) => symlinkSync("/dev/zero", file)],
] as const;

describe.each(OTHERS)("where a %s stands", (_kind, make) => {
  test("nothing is read or replaced, and what stands there is told", () => {
    const file = place();
    make(file);
    const problem = `${file}: not a regular file: remove it`;
    expect(() => readRegular(file)).toThrow(problem);
    expect(() => replaceRegular(file, "new", 0o640)).toThrow(problem);
    expect(() => appendRegular(file, 0o640)).toThrow(problem);
    expect(lstatSync(file).isFile()).toBe(false);
    expect(readdirSync(path.dirname(file))).toEqual(["status.json"]);
  });
});

test("a device is not read", () => {
  expect(() => readRegular("/dev/zero")).toThrow("/dev/zero: not a regular file: remove it");
});

test("the new file is made anew where a link or a FIFO lies in wait, and the link's end stays untouched", () => {
  const file = place();
  const victim = folder.write("victim", "untouched");
  symlinkSync(victim, `${file}.new`);
  replaceRegular(file, "first", 0o640);
  expect([readFileSync(file, "utf8"), readFileSync(victim, "utf8")]).toEqual(["first", "untouched"]);
  execFileSync("mkfifo", [`${file}.new`]);
  replaceRegular(file, "second", 0o640);
  expect(readFileSync(file, "utf8")).toBe("second");
  expect(readdirSync(path.dirname(file))).toEqual(["status.json"]);
});

test("a directory in the place of the new file is told", () => {
  const file = place();
  mkdirSync(`${file}.new`);
  expect(() => replaceRegular(file, "new", 0o640)).toThrow(`${file}.new`);
  expect(() => readFileSync(file)).toThrow("ENOENT");
});

test("a file that is not there is no problem to read; one whose directory is missing is one to write", () => {
  const file = place();
  expect(readRegular(file)).toBeUndefined();
  const deep = path.join(path.dirname(file), "none", "x");
  expect(() => replaceRegular(deep, "new", 0o640)).toThrow(`${deep}: ENOENT: no such file or directory`);
});

test("the mode is the one asked for, whatever the umask is, and an open reader keeps what it reads", () => {
  const file = place();
  const before = process.umask(0o077);
  onTestFinished(() => void process.umask(before));
  writeFileSync(file, "old");
  const { ino } = statSync(file);
  replaceRegular(file, "new", 0o644);
  expect(statSync(file)).toMatchObject({ mode: 0o100644 });
  expect(statSync(file).ino).not.toBe(ino);
});

test("what is appended comes behind what is there, until the file is closed", () => {
  const file = place();
  writeFileSync(file, "one");
  {
    using opened = appendRegular(file, 0o640);
    opened.append(" two");
    opened.append(" three");
    expect(timesOpen(file)).toBe(1);
  }
  expect(readFileSync(file, "utf8")).toBe("one two three");
  expect(timesOpen(file)).toBe(0);
});

test("no file stays open, and the system's error is the cause of what is told", () => {
  const file = place();
  replaceRegular(file, "new", 0o640);
  expect(timesOpen(file)).toBe(0);
  const below = path.join(file, "below");
  expect(() => replaceRegular(below, "new", 0o640)).toThrow(
    expect.objectContaining({ cause: expect.objectContaining({ code: "ENOTDIR" }) }),
  );
});
