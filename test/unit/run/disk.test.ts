import { describe, expect, test } from "vitest";
import type { RunEvent } from "../../../src/core/events.ts";
import { Failed, nextStep } from "../../../src/core/failure.ts";
import type { DiskUsage, Machine } from "../../../src/run/context.ts";
import { diskUsage, watchDisks } from "../../../src/run/disk.ts";
import { temporaryFolder } from "../folder.ts";
import { failure } from "../samples.ts";
import { config, MACHINE } from "./bench.ts";

const folder = temporaryFolder();
/** No file system has more than 100 % free. */
const ALWAYS_TOO_LITTLE = 101;

/** A disk of 100 kB and 100 inodes, of which so many are free. */
const free =
  (bavail: number, ffree = 100): Machine["usage"] =>
  async () => ({ device: 1, bsize: 1_000, blocks: 100, bavail, files: 100, ffree });

function watched(minFreePercent: number, directories: readonly string[] = [folder.path], usage = diskUsage) {
  const [events, done]: [RunEvent[], string[]] = [[], []];
  const disks = watchDisks({
    config: config({ disk: { min_free_percent: minFreePercent } }),
    emit: (event) => void events.push(event),
    stop: {
      diskFull: (why: string, next?: string) => void done.push(`stopped: ${why}${next ? `; ${next}` : ""}`),
    } as never,
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

describe("of what has to stay free", () => {
  test.each([
    ["bytes", free(20)],
    ["inodes", free(100, 20)],
  ])("no more is needed: %s", async (_what, usage) => {
    const { admit, events } = watched(20, ["/d"], usage);
    await admit();
    expect(events).toEqual([]);
  });

  test.each([
    ["bytes", free(19), "19.0kB of 100kB (19.0%) free on /d"],
    ["inodes", free(100, 19), "19 of 100 inodes free on /d"],
  ])("no less is enough, for a pull or an import: %s", async (_what, usage, room) => {
    const { admit } = watched(20, ["/d"], usage);
    await expect(admit()).rejects.toThrow(`${room}, and disk.min_free_percent is 20: not pulled`);
    await expect(admit("imported")).rejects.toThrow(/: not imported$/u);
  });
});

describe("a disk above the kubelet's line", () => {
  const warning = (percent: number): RunEvent => ({
    type: "warning",
    message: `${percent}.0kB of 100kB (${percent}.0%) free on /d: above 85% in use the kubelet deletes images that are neither used nor pinned`,
  });

  test.each([
    ["is warned of", free(15), [warning(15)]],
    ["is warned of where inodes are scarcer still", free(10, 5), [warning(10)]],
    ["is none with more free", free(16), []],
    ["is none with few inodes, which the kubelet does not count", free(50, 1), []],
  ])("%s", async (_what, usage, expected) => {
    const { admit, events } = watched(0, ["/d"], usage);
    await admit();
    expect(events).toEqual(expected);
  });

  test("is warned of once, whatever two directories it has", async () => {
    const { admit, review, events } = watched(0, ["/c", "/d"], free(10));
    await admit();
    await admit();
    await review();
    expect(events).toEqual([warning(10)]);
  });

  test("is warned of where the pulls have filled it", async () => {
    let left = 50;
    const { admit, review, events } = watched(0, ["/d"], () => free(left)("/d"));
    await admit();
    expect(events).toEqual([]);
    left = 10;
    await review();
    expect(events).toEqual([warning(10)]);
  });

  test("is not looked for when nothing was pulled", async () => {
    const { review, events } = watched(0, ["/d"], free(10));
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

test.each([
  ["free space", free(0, 50), "0B of 100kB (0.0%) free on /d"],
  ["inodes", free(50, 0), "0 of 100 inodes free on /d"],
])("a full disk is reported with what it lacks: %s", async (_what, usage, room) => {
  const { full, done } = watched(0, ["/d"], usage);
  const next = nextStep("disk");
  const reported = await full({ ...failure("disk", "no space left on device"), next }, async () => {});
  expect(reported.message).toBe(`no space left on device (${room})`);
  expect(done).toEqual([`stopped: ${room}; ${next}`, "let go"]);
});

test("of a broken disk no free space is reported, but what to do", async () => {
  const { full, done } = watched(0, ["/d"], free(50));
  const broken = { ...failure("disk", "read-only file system"), next: "replace the disk" };
  expect(await full(broken, async () => {})).toEqual(broken);
  expect(done).toEqual(["stopped: read-only file system; replace the disk", "let go"]);
});

describe("of two disks is named", () => {
  const left: Record<string, number> = { "/content": 90, "/unpacked": 50 };
  const usage = async (directory: string): Promise<DiskUsage> => {
    const bavail = left[directory]!;
    return { device: bavail, bsize: 1_000, blocks: 100, bavail, files: 0, ffree: 0 };
  };

  test.each([
    ["the one to which the tool could not write", "write /content/x: no space left on device", "/content"],
    ["the scarcer where the tool says nothing", "no space left on device", "/unpacked"],
  ])("%s", async (_what, message, named) => {
    const { full, done } = watched(0, Object.keys(left), usage);
    const told = await full(failure("disk", message), async () => {});
    const room = `${left[named]}.0kB of 100kB (${left[named]}.0%) free on ${named}`;
    expect(told.message).toBe(`${message} (${room})`);
    expect(done).toContain(`stopped: ${room}`);
  });
});
