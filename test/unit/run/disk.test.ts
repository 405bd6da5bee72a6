import { statfs } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import type { RunEvent } from "../../../src/core/run-state.ts";
import { diskGuard } from "../../../src/run/disk.ts";
import { Interruption } from "../../../src/run/interruption.ts";
import { temporaryFolder } from "../folder.ts";

const folder = temporaryFolder();
/** No file system has more than 100 % free. */
const ALWAYS_TOO_LITTLE = 101;
/** A limit that every disk keeps, so that a pull waits for the look at it. */
const NEXT_TO_NOTHING = 0.000_001;

function guard(minFreePercent: number, find: () => Promise<string | undefined> = async () => folder.path) {
  const events: RunEvent[] = [];
  return { events, ...diskGuard(find, minFreePercent, (event) => void events.push(event)) };
}

describe("a pull is admitted", () => {
  test("when nothing is asked of the disk", async () => {
    await expect(guard(0).admit()).resolves.toBeUndefined();
  });

  test.each([
    ["does not tell where its images are", async () => undefined],
    ["does not answer", () => Promise.reject(new Error("unknown service"))],
  ])("when the runtime %s", async (_what, find) => {
    const { admit, describe: tell } = guard(ALWAYS_TOO_LITTLE, find);
    await expect(admit()).resolves.toBeUndefined();
    expect(await tell()).toBe("free space unknown");
  });
});

test("a pull is refused below the share that must stay free, with figures, place and setting", async () => {
  const error: unknown = await guard(ALWAYS_TOO_LITTLE)
    .admit()
    .catch((thrown: unknown) => thrown);
  if (!(error instanceof Interruption)) throw error;
  expect(error.class).toBe("disk");
  expect(error.message).toMatch(
    /^[\d.]+\w*B of [\d.]+\w*B \([\d.]+%\) free on \S+, and disk\.min_free_percent is 101: not pulled$/u,
  );
  expect(error.message).toContain(folder.path);
});

test("the runtime is asked once for the place, however many pulls there are", async () => {
  let asked = 0;
  const { admit } = guard(NEXT_TO_NOTHING, async () => {
    asked += 1;
    return folder.path;
  });
  await Promise.all([admit(), admit()]);
  await admit();
  expect(asked).toBe(1);
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

  test("is looked for after the pulls where nothing is refused, and not without any", async () => {
    let asked = 0;
    const find = async (): Promise<string> => {
      asked += 1;
      return folder.path;
    };
    await guard(0, find).review();
    expect(asked).toBe(0);
    const { admit, review, events } = guard(0, find);
    await admit();
    expect(asked).toBe(0);
    await review();
    expect(asked).toBe(1);
    expect(events.map((event) => event.type)).toEqual(await expected());
  });
});
