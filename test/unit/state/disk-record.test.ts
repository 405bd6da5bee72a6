import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { NOTHING_KNOWN } from "../../../src/core/written.ts";
import { readDiskRecord, writeDiskRecord } from "../../../src/state/records.ts";
import { temporaryFolder } from "../folder.ts";

const folder = temporaryFolder();
const neverFails = (why: string): void => expect.unreachable(why);
const RECORD = {
  sound: new Set(["sha256:1"]),
  written: new Map([["sha256:chain", "2026-01-01T00:00:00.000Z"]]),
};

test("what is known of the disk is known to the next run of this boot", () => {
  const where = folder.make();
  expect(readDiskRecord(where, neverFails)).toEqual(NOTHING_KNOWN);
  writeDiskRecord(where, RECORD, neverFails);
  expect(readDiskRecord(where, neverFails)).toEqual(RECORD);
  expect(readdirSync(where)).toEqual(["disk.json"]);
});

test("what was looked at in an earlier boot is looked at again, and what is written stays so", () => {
  const where = folder.make();
  writeDiskRecord(where, RECORD, neverFails);
  const file = path.join(where, "disk.json");
  const text = readFileSync(file, "utf8");
  expect(JSON.parse(text)).toMatchObject({ boot: expect.stringMatching(/^[0-9a-f-]{36}$/u) });
  for (const boot of ["another", ""]) {
    writeFileSync(file, JSON.stringify({ ...JSON.parse(text), boot }));
    expect(readDiskRecord(where, neverFails)).toEqual({ ...RECORD, sound: new Set() });
  }
});

test.each(["{", "[]", '{"boot":"x","sound":[1],"written":{}}', '{"boot":"x"}'])(
  "a record that is damaged or another version's says nothing: %s",
  (text) => {
    const where = folder.make();
    writeFileSync(path.join(where, "disk.json"), text);
    expect(readDiskRecord(where, neverFails)).toEqual(NOTHING_KNOWN);
  },
);

test("one that cannot be kept is told, and fails nothing", () => {
  const told: string[] = [];
  writeDiskRecord("/nowhere/at/all", RECORD, (why) => told.push(why));
  expect(told).toEqual([expect.stringContaining("/nowhere/at/all/disk.json")]);
});
