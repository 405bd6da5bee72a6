import { execFileSync } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { readArchiveRecord, writeArchiveRecord } from "../../../src/state/records.ts";
import { temporaryFolder } from "../folder.ts";

const folder = temporaryFolder();
const neverFails = (why: string): void => expect.unreachable(why);
const TAR = "/var/vcap/packages/images/all.tar";
const NOTHING = { imported: {} };
const APP = { mediaType: "x", digest: "sha256:1", size: 1 };
const RECORD = {
  imported: { [TAR]: { size: 5, mtimeMs: 7.5, ctimeMs: 8, names: { "a.b/c:1": APP.digest } } },
  begun: { path: TAR, names: [{ name: "a.b/c:1", digests: [], ids: ["sha256:2"], before: APP }] },
};

test("what was imported is known to the next run, with the digests that its names had", () => {
  const where = folder.make();
  expect(readArchiveRecord(where, neverFails)).toEqual(NOTHING);
  writeArchiveRecord(where, RECORD, neverFails);
  expect(readArchiveRecord(where, neverFails)).toEqual(RECORD);
  expect(readdirSync(where)).toEqual(["archives.json"]);
});

test.each(["{", "[]", `{"${TAR}":{"size":5,"mtimeMs":7,"names":{}}}`])(
  "a record that is damaged or another version's costs an import, no more: %s",
  (text) => {
    const where = folder.make();
    writeFileSync(path.join(where, "archives.json"), text);
    expect(readArchiveRecord(where, neverFails)).toEqual(NOTHING);
    writeArchiveRecord(where, RECORD, neverFails);
    expect(readArchiveRecord(where, neverFails)).toEqual(RECORD);
  },
);

test("a FIFO in its place is neither waited for nor replaced, and is told", () => {
  const where = folder.make();
  const file = path.join(where, "archives.json");
  execFileSync("mkfifo", [file]);
  const problems: string[] = [];
  const told = `the next run imports archives again: ${file}: not a regular file: remove it`;
  expect(readArchiveRecord(where, (why) => void problems.push(why))).toEqual(NOTHING);
  writeArchiveRecord(where, RECORD, (why) => void problems.push(why));
  expect(problems).toEqual([told, told]);
});
