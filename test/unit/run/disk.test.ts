import { statfs } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import type { RunEvent } from "../../../src/core/events.ts";
import { Failed } from "../../../src/core/failure.ts";
import { diskUsage, watchDisks } from "../../../src/run/disk.ts";
import { temporaryFolder } from "../folder.ts";
import { failure } from "../samples.ts";
import { config, MACHINE } from "./bench.ts";

const folder = temporaryFolder();
/** No file system has more than 100 % free. */
const ALWAYS_TOO_LITTLE = 101;
/** A limit that every disk keeps, so that a pull waits for the look at it. */
const NEXT_TO_NOTHING = 0.000_001;

function watched(minFreePercent: number, directories: readonly string[] = [folder.path]) {
  const [events, done]: [RunEvent[], string[]] = [[], []];
  const disks = watchDisks({
    config: config({ disk: { min_free_percent: minFreePercent } }),
    emit: (event) => void events.push(event),
    stop: { diskFull: (why: string) => void done.push(`stopped: ${why}`) } as never,
    directories,
    machine: { ...MACHINE, usage: diskUsage },
    leases: { release: async () => void done.push("let go") },
  });
  return { events, done, ...disks };
}

describe("a pull is admitted", () => {
  test("when nothing is asked of the disk", async () => {
    await expect(watched(0).admit()).resolves.toBeUndefined();
  });

  test.each([
    ["is not told", []],
    ["cannot be looked at", [`${folder.path}/nothing`]],
  ])(
    "where the place of the images %s, with a warning that the limit cannot be checked",
    async (_what, directories) => {
      const { admit, full, events } = watched(ALWAYS_TOO_LITTLE, directories);
      await admit();
      await admit();
      expect(events).toEqual([
        { type: "warning", message: expect.stringContaining("disk.min_free_percent cannot be checked") },
      ]);
      const told = await full(failure("disk", "no space left"), async () => {});
      expect(told.message).toBe("no space left (free space unknown)");
    },
  );

  test("without a word where the place is unknown and nothing is asked of it", async () => {
    const { admit, events } = watched(0, []);
    await admit();
    expect(events).toEqual([]);
  });
});

test.each([
  ["the only one", [folder.path]],
  ["one of two", ["/proc", folder.path]],
])(
  "a pull is refused where a disk has less than has to stay free, %s, with figures, place and setting",
  async (_what, directories) => {
    const error: unknown = await watched(ALWAYS_TOO_LITTLE, directories)
      .admit()
      .catch((thrown: unknown) => thrown);
    if (!(error instanceof Failed)) throw error;
    expect(error.failure.class).toBe("disk");
    expect(error.message).toMatch(
      /^[\d.]+\w*B of [\d.]+\w*B \([\d.]+%\) free on \S+, and disk\.min_free_percent is 101: not pulled$/u,
    );
  },
);

describe("a disk above the kubelet's line", () => {
  const expected = async (): Promise<string[]> => {
    const { blocks, bavail } = await statfs(folder.path);
    return 100 - (100 * bavail) / blocks >= 85 ? ["warning"] : [];
  };

  test("is warned of, once", async () => {
    const { admit, review, events } = watched(NEXT_TO_NOTHING, [folder.path, `${folder.path}/.`]);
    await admit();
    await admit();
    await review();
    expect(events.map((event) => event.type)).toEqual(await expected());
  });

  test("is not looked for when nothing was pulled", async () => {
    const { review, events } = watched(NEXT_TO_NOTHING);
    await review();
    expect(events).toEqual([]);
  });
});

test("a full disk stops the run, then ends what may hold more, then lets go of what is held", async () => {
  const { full, done } = watched(0);
  const told = await full(
    failure("disk", "no space left on device"),
    async () => void done.push("ended"),
    "it needs much; ",
  );
  expect(done).toEqual([expect.stringMatching(/^stopped: .* free on /u), "ended", "let go"]);
  expect(told.message).toMatch(/^no space left on device \(it needs much; .* free on .*\)$/u);
});

test("of two disks the one that the tool could not write to is named", async () => {
  const { full } = watched(0, ["/", "/dev/shm"]);
  for (const directory of ["/", "/dev/shm"]) {
    const told = await full(failure("disk", `write ${directory}/x: no space left on device`), async () => {});
    expect(told.message).toMatch(/ free on \/\S*\)$/u);
  }
});
