import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { listing } from "../../../src/core/plan.ts";
import { archiveRecord } from "../../../src/state/archive-record.ts";
import { temporaryFolder } from "../folder.ts";
import { present } from "../samples.ts";

const folder = temporaryFolder();
let count = 0;
function directory(): string {
  const made = path.join(folder.path, `state-${(count += 1)}`);
  mkdirSync(made);
  return made;
}
const neverFails = (why: string): void => expect.unreachable(why);
const TAR = "/var/vcap/packages/images/all.tar";
const imported = async (where: string, onProblem: (why: string) => void): Promise<void> => {
  const record = archiveRecord(where, onProblem);
  record.imported(TAR, { size: 5, mtimeMs: 7 }, ["a.b/c:1"]);
  await record.confirm(listing([present("sha256:1", ["a.b/c:1"])]));
};

test("what was imported is known to the next run, with the ids that its names had", async () => {
  const where = directory();
  await imported(where, neverFails);
  expect(await archiveRecord(where, neverFails).read(TAR)).toEqual({
    size: 5,
    mtimeMs: 7,
    names: new Map([["a.b/c:1", "sha256:1"]]),
  });
  expect(readdirSync(where)).toEqual(["archives.json"]);
});

test("a damaged record costs an import, no more", async () => {
  const where = directory();
  writeFileSync(path.join(where, "archives.json"), "{");
  expect(await archiveRecord(where, neverFails).read(TAR)).toBeUndefined();
  await imported(where, neverFails);
  expect(await archiveRecord(where, neverFails).read(TAR)).toBeDefined();
});

test("a FIFO in its place is neither waited for nor replaced, and is told once", async () => {
  const where = directory();
  const file = path.join(where, "archives.json");
  execFileSync("mkfifo", [file]);
  const problems: string[] = [];
  await imported(where, (why) => void problems.push(why));
  expect(problems).toEqual([
    `the next run imports archives again: ${file} is a FIFO, not a regular file: remove it`,
  ]);
});
