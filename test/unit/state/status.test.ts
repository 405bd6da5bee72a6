import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { RunEvent } from "../../../src/core/events.ts";
import type { RunState } from "../../../src/core/run-state.ts";
import {
  holderIn,
  parseStatus,
  readStatus,
  sizesIn,
  statusFile,
  statusText,
} from "../../../src/state/status.ts";
import { temporaryFolder } from "../folder.ts";
import { failure } from "../samples.ts";
import { after, ended, image } from "../report/states.ts";

const folder = temporaryFolder();
const neverFails = (why: string): void => expect.unreachable(why);
const read = (where: string): Record<string, unknown> =>
  JSON.parse(readFileSync(path.join(where, "status.json"), "utf8")) as Record<string, unknown>;

describe("the file", () => {
  test("is written when it is closed, and readable by its group alone", () => {
    const where = folder.make();
    using file = statusFile(where, neverFails);
    file.update(ended([image("a.b/c:1")]));
    file[Symbol.dispose]();
    expect(read(where)).toMatchObject({ schema: 1, phase: "ended", images: [{ name: "a.b/c:1" }] });
    expect(statSync(path.join(where, "status.json")).mode & 0o777).toBe(0o640);
  });

  test("is written at once when the phase changes, and else after a while, with the latest of many states", async () => {
    const where = folder.make();
    using file = statusFile(where, neverFails);
    for (let n = 0; n <= 1_000; n += 1) file.update(ended([], { warnings: [String(n)] }));
    expect(read(where)["warnings"]).toEqual(["0"]);
    await expect.poll(() => read(where)["warnings"], { timeout: 5_000 }).toEqual(["1000"]);
  });

  test("is written at the latest when it is closed, and not again after that", () => {
    const where = folder.make();
    const file = statusFile(where, neverFails);
    file.update(ended([], { exitCode: 7 }));
    file[Symbol.dispose]();
    expect(read(where)).toMatchObject({ exitCode: 7 });
    const written = statSync(path.join(where, "status.json"));
    file[Symbol.dispose]();
    expect(statSync(path.join(where, "status.json"))).toEqual(written);
  });

  test("is replaced as a whole: nothing is left beside it, and an open reader keeps what it reads", () => {
    const where = folder.make();
    using file = statusFile(where, neverFails);
    file.update(ended([], { exitCode: 1 }));
    file[Symbol.dispose]();
    const before = statSync(path.join(where, "status.json"));
    file.update(ended([], { exitCode: 0 }));
    file[Symbol.dispose]();
    expect(statSync(path.join(where, "status.json")).ino).not.toBe(before.ino);
    expect(readdirSync(where)).toEqual(["status.json"]);
  });

  test("that cannot be written is told once, and fails nothing", () => {
    const where = folder.write("a-file", "");
    const problems: string[] = [];
    using file = statusFile(path.join(where, "below"), (why) => void problems.push(why));
    for (const exitCode of [0, 1]) {
      file.update(ended([], { exitCode }));
      file[Symbol.dispose]();
    }
    expect(problems).toEqual([
      expect.stringMatching(/^status\.json cannot be written: .*ENOTDIR: not a directory$/u),
    ]);
  });
});

test("nothing is left to be done after the last write, which would keep the program", () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const file = statusFile(folder.make(), neverFails);
  file.update(ended([]));
  file.update(ended([]));
  expect(vi.getTimerCount()).toBe(1);
  file[Symbol.dispose]();
  expect(vi.getTimerCount()).toBe(0);
});

test.each([
  ["200 ms where a write takes no time", 0, 200],
  ["twenty times as long as a write takes", 30, 600],
  ["one second where a write takes long", 100, 1_000],
])("between two writes there are %s", (_what, took, pause) => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const where = folder.make();
  using file = statusFile(where, neverFails);
  // Called when the state is made into text, in the middle of the write.
  const slow = { toJSON: () => (vi.advanceTimersByTime(took), "1") };
  file.update(ended([], { warnings: [slow as never] }));
  file.update(ended([], { warnings: ["2"] }));
  vi.advanceTimersByTime(pause - 1);
  expect(read(where)["warnings"]).toEqual(["1"]);
  vi.advanceTimersByTime(1);
  expect(read(where)["warnings"]).toEqual(["2"]);
});

describe("what an earlier run left", () => {
  test("is read back, with the sizes of its images and who it was", async () => {
    const where = folder.make();
    using file = statusFile(where, neverFails);
    file.update(ended([image("a.b/c:1", { size: 5 }), image("a.b/d:1", { phase: "waiting" })]));
    file[Symbol.dispose]();
    const earlier = readStatus(where, neverFails);
    if (earlier === undefined) throw new Error("nothing was read back");
    expect(sizesIn(earlier)).toEqual(new Map([["a.b/c:1", 5]]));
    expect(earlier).toMatchObject({ phase: "ended", exitCode: 0 });
  });

  test.each([
    ["nothing", undefined],
    ["an empty file", ""],
    ["half a file", '{"schema": 1, "run"'],
    ["another program's JSON", "[1]"],
    ["a field of another type", statusText(ended([])).replace(`"pid": 77`, `"pid": "77"`)],
  ])("is ignored when it is %s", async (_what, text) => {
    const where = folder.make();
    if (text !== undefined) folder.write(path.join(path.basename(where), "status.json"), text);
    const problems: string[] = [];
    expect(readStatus(where, (why) => void problems.push(why))).toBeUndefined();
    expect(problems).toEqual(text === undefined ? [] : [expect.stringContaining("/status.json is damaged")]);
  });

  test("is told as what it is when it is no file", () => {
    const where = folder.make();
    mkdirSync(path.join(where, "status.json"));
    const problems: string[] = [];
    expect(readStatus(where, (why) => void problems.push(why))).toBeUndefined();
    expect(problems).toEqual([expect.stringMatching(/status\.json: not a regular file: remove it$/u)]);
  });

  test("is read when a later version wrote more into it", async () => {
    const where = folder.make();
    const text = statusText(ended([])).replace('"schema": 1', '"schema": 2, "news": true');
    folder.write(path.join(path.basename(where), "status.json"), text);
    expect(readStatus(where, neverFails)).toBeDefined();
  });
});

describe("who holds the lock", () => {
  const status = (overrides: Partial<RunState>) =>
    parseStatus(statusText({ ...ended([]), ...overrides } as RunState));

  test("is named while it lives", () => {
    expect(holderIn(status({ phase: "importing", pid: process.pid }))).toBe(
      `run id-1, pid ${process.pid}, in progress since 2025-01-02T03:04:05.000Z`,
    );
  });

  test("is not named where nothing was recorded", () => {
    expect(holderIn(undefined)).toBe("it has recorded nothing");
  });

  test.each([
    ["that ended", { phase: "ended", pid: process.pid }],
    // Above the highest number that Linux gives.
    ["that was killed", { phase: "importing", pid: 2 ** 22 + 1 }],
  ] as const)("is not named after a run %s", (_what, overrides) => {
    expect(holderIn(status(overrides))).toBe("it has recorded nothing");
  });
});

test("the state is told with times that people read, images as a list, and totals", () => {
  const started: RunEvent = {
    type: "run-started",
    images: [{ name: "a.b/c:1", names: ["a.b/c:1"], required: true }],
  };
  const state = after(
    started,
    { type: "runtime-ready", containerd: "1.7.35", concurrency: 4 },
    { type: "attempt-started", image: "a.b/c:1", attempt: 1 },
    {
      type: "attempt-failed",
      image: "a.b/c:1",
      attempt: 1,
      failure: failure("server", "503"),
      retryIn: 2_000,
    },
  );
  expect(JSON.parse(statusText(state))).toMatchObject({
    run: "id-1",
    version: "1.2.3",
    pid: 77,
    phase: "importing",
    startedAt: "2025-01-02T03:04:05.000Z",
    containerd: "1.7.35",
    concurrency: 4,
    totals: { present: 0, pulled: 0, kept: 0, failed: 0, unfinished: 1 },
    images: [
      {
        name: "a.b/c:1",
        phase: "retrying",
        attempts: 1,
        startedAt: "2025-01-02T03:04:08.000Z",
        retryAt: "2025-01-02T03:04:11.000Z",
        failure: { class: "server", message: "503", step: "pull" },
      },
    ],
    unpinned: [],
    warnings: [],
  });
});

test("an image that was never pulled began at no time", () => {
  const name = "a.b/c:1";
  const verified = { id: "sha256:1", digest: "sha256:2", size: 5, pinned: true };
  const state = after(
    { type: "run-started", images: [{ name, names: [name], required: true }] },
    { type: "image-done", image: name, phase: "present", verified },
  );
  const [parsed] = parseStatus(statusText(state)).images;
  expect(parsed).toMatchObject({ phase: "present", endedAt: Date.UTC(2025, 0, 2, 3, 4, 7), ...verified });
  expect(parsed?.startedAt).toBeUndefined();
});
