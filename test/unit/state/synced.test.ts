import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import path from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { replaceRegular } from "../../../src/state/regular-file.ts";
import { temporaryFolder, timesOpen } from "../folder.ts";

const folder = temporaryFolder();

/** Calls of node:fs, in their order. */
function recorded(...names: readonly ("fsyncSync" | "renameSync")[]): string[] {
  const calls: string[] = [];
  for (const name of names) {
    const real: (...args: never[]) => void = fs[name];
    const spy = vi.spyOn(fs, name).mockImplementation((...args: readonly unknown[]) => {
      calls.push(name);
      real(...(args as never[]));
    });
    onTestFinished(() => {
      spy.mockRestore();
      syncBuiltinESMExports();
    });
  }
  syncBuiltinESMExports();
  return calls;
}

test("what must outlive a power loss is on the disk before it gets its name, and its name on return", () => {
  const file = path.join(folder.make(), "archives.json");
  const calls = recorded("fsyncSync", "renameSync");
  replaceRegular(file, "new", 0o640, "synced");
  expect(calls).toEqual(["fsyncSync", "renameSync", "fsyncSync"]);
  expect(timesOpen(path.dirname(file))).toBe(0);
});

test("what may be older after a power loss is not waited for", () => {
  const calls = recorded("fsyncSync", "renameSync");
  replaceRegular(path.join(folder.make(), "status.json"), "new", 0o640);
  expect(calls).toEqual(["renameSync"]);
});
