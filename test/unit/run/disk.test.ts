import { statfs } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { Failed } from "../../../src/core/failure.ts";
import type { RunEvent } from "../../../src/core/events.ts";
import { diskGuard } from "../../../src/run/disk.ts";
import { temporaryFolder } from "../folder.ts";

const folder = temporaryFolder();
/** No file system has more than 100 % free. */
const ALWAYS_TOO_LITTLE = 101;
/** A limit that every disk keeps, so that a pull waits for the look at it. */
const NEXT_TO_NOTHING = 0.000_001;

function guard(minFreePercent: number, directory: string | undefined = folder.path) {
  const events: RunEvent[] = [];
  return { events, ...diskGuard(directory, minFreePercent, (event) => void events.push(event)) };
}

describe("a pull is admitted", () => {
  test("when nothing is asked of the disk", async () => {
    await expect(guard(0).admit()).resolves.toBeUndefined();
  });

  test.each([
    ["is not told", undefined],
    ["cannot be looked at", `${folder.path}/nothing`],
  ])(
    "where the place of the images %s, with a warning that the limit cannot be checked",
    async (_what, directory) => {
      const events: RunEvent[] = [];
      const { admit, describe: tell } = diskGuard(
        directory,
        ALWAYS_TOO_LITTLE,
        (event) => void events.push(event),
      );
      await admit();
      await admit();
      expect(events).toEqual([
        { type: "warning", message: expect.stringContaining("disk.min_free_percent cannot be checked") },
      ]);
      expect(await tell()).toBe("free space unknown");
    },
  );

  test("without a word where the place is unknown and nothing is asked of it", async () => {
    const events: RunEvent[] = [];
    await diskGuard(undefined, 0, (event) => void events.push(event)).admit();
    expect(events).toEqual([]);
  });
});

test("a pull is refused below the share that must stay free, with figures, place and setting", async () => {
  const error: unknown = await guard(ALWAYS_TOO_LITTLE)
    .admit()
    .catch((thrown: unknown) => thrown);
  if (!(error instanceof Failed)) throw error;
  expect(error.failure.class).toBe("disk");
  expect(error.message).toMatch(
    /^[\d.]+\w*B of [\d.]+\w*B \([\d.]+%\) free on \S+, and disk\.min_free_percent is 101: not pulled$/u,
  );
  expect(error.message).toContain(folder.path);
});

describe("a disk above the kubelet's line", () => {
  const expected = async (): Promise<string[]> => {
    const { blocks, bavail } = await statfs(folder.path);
    return 100 - (100 * bavail) / blocks >= 85 ? ["warning"] : [];
  };

  test("is warned of, once", async () => {
    const { admit, review, events } = guard(NEXT_TO_NOTHING);
    await admit();
    await admit();
    await review();
    expect(events.map((event) => event.type)).toEqual(await expected());
  });

  test("is not looked for when nothing was pulled", async () => {
    const { review, events } = guard(NEXT_TO_NOTHING);
    await review();
    expect(events).toEqual([]);
  });
});
