import { fsyncSync, renameSync } from "node:fs";
import path from "node:path";
import { beforeEach, expect, test, vi } from "vitest";
import { replaceRegular } from "../../../src/state/regular-file.ts";
import { temporaryFolder, timesOpen } from "../folder.ts";

vi.mock(import("node:fs"), { spy: true });
beforeEach(() => void vi.clearAllMocks());

const folder = temporaryFolder();
/** When each call was made. */
const orderOf = (call: typeof fsyncSync | typeof renameSync): number[] =>
  vi.mocked(call).mock.invocationCallOrder;

test("what must outlive a power loss is on the disk before it gets its name, and its name on return", () => {
  const file = path.join(folder.make(), "archives.json");
  replaceRegular(file, "new", 0o640, "synced");
  const [[content, name], [renamed]] = [orderOf(fsyncSync), orderOf(renameSync)];
  expect([content, renamed, name].toSorted((a = 0, b = 0) => a - b)).toEqual([content, renamed, name]);
  expect(orderOf(fsyncSync)).toHaveLength(2);
  expect(timesOpen(path.dirname(file))).toBe(0);
});

test("what may be older after a power loss is not waited for", () => {
  replaceRegular(path.join(folder.make(), "status.json"), "new", 0o640);
  expect([orderOf(renameSync).length, orderOf(fsyncSync).length]).toEqual([1, 0]);
});
