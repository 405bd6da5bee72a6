import { statfs } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import type { RunEvent } from "../../../src/core/events.ts";
import { Failed } from "../../../src/core/failure.ts";
import type { DiskUsage } from "../../../src/run/context.ts";
import { diskUsage, watchDisks } from "../../../src/run/disk.ts";
import { temporaryFolder } from "../folder.ts";
import { failure } from "../samples.ts";
import { config, MACHINE } from "./bench.ts";

const folder = temporaryFolder();
/** No file system has more than 100 % free. */
const ALWAYS_TOO_LITTLE = 101;
/** A limit that every disk keeps, so that a pull waits for the look at it. */
const NEXT_TO_NOTHING = 0.000_001;

function watched(minFreePercent: number, directories: readonly string[] = [folder.path], usage = diskUsage) {
  const [events, done]: [RunEvent[], string[]] = [[], []];
  const disks = watchDisks({
    config: config({ disk: { min_free_percent: minFreePercent } }),
    emit: (event) => void events.push(event),
    stop: { diskFull: (why: string) => void done.push(`stopped: ${why}`) } as never,
    directories,
    machine: { ...MACHINE, usage },
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

describe("of two disks is named", () => {
  const free: Record<string, number> = { "/content": 90, "/unpacked": 50 };
  const usage = async (directory: string): Promise<DiskUsage> => {
    const bavail = free[directory]!;
    return { device: bavail, bsize: 1_000, blocks: 100, bavail, files: 0, ffree: 0 };
  };

  test.each([
    ["the one to which the tool could not write", "write /content/x: no space left on device", "/content"],
    ["the scarcer where the tool says nothing", "no space left on device", "/unpacked"],
  ])("%s", async (_what, message, named) => {
    const { full, done } = watched(0, Object.keys(free), usage);
    const told = await full(failure("disk", message), async () => {});
    const room = `${free[named]}.0kB of 100kB (${free[named]}.0%) free on ${named}`;
    expect(told.message).toBe(`${message} (${room})`);
    expect(done).toContain(`stopped: ${room}`);
  });
});
