import { describe, expect, onTestFinished, test, vi } from "vitest";
import { planRun } from "../../../src/core/plan.ts";
import type { RunEvent } from "../../../src/core/events.ts";
import { linesSink } from "../../../src/report/lines.ts";
import { runLog } from "../../../src/report/run-log.ts";
import { digestOf, failure, nodeOf, wanted } from "../samples.ts";
import { served } from "../containerd/served-image.ts";
import { after } from "./states.ts";

const A = "a.b/c:1";
const started: RunEvent = { type: "run-started", images: [{ name: A, names: [A], required: true }] };

/** The lines that these events lead to, without their times. */
function shown(...events: readonly RunEvent[]): string[] {
  let text = "";
  using lines = linesSink({ write: (more) => void (text += more), columns: undefined });
  const log = runLog(after(), (sink, error) => expect.unreachable(`${sink}: ${String(error)}`));
  log.watch("lines", lines.sink);
  for (const event of events) log.emit(event);
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => {
      expect(line).toMatch(/^\d\d:\d\d:\d\dZ /u);
      return line.slice("00:00:00Z ".length);
    });
}

describe("a transition is a line:", () => {
  const broken = failure("transfer", "unexpected\nEOF");
  test.each<[string, RunEvent, string]>([
    ["a wait", { type: "waiting", phase: "waiting-for-runtime", why: "no answer" }, "waiting: no answer"],
    [
      "a runtime",
      { type: "runtime-ready", containerd: "1.7.35", concurrency: 4 },
      "containerd 1.7.35, 4 images at once",
    ],
    [
      "a plan",
      {
        type: "planned",
        images: planRun([wanted(A), wanted("a.b/d:1")], nodeOf({ [A]: served("c") }), { pins: true }).images,
      },
      "2 images: 1 to pull, 1 present",
    ],
    [
      "a plan with a digest under two names",
      {
        type: "planned",
        images: planRun(
          ["a.b/c", "x.y/c"].map((name) => wanted(`${name}@${digestOf("a")}`)),
          nodeOf({}),
          { pins: true },
        ).images,
      },
      "2 images: 1 to pull, 1 to tag from another, 0 present",
    ],
    ["a pull", { type: "attempt-started", image: A, attempt: 1 }, `pulling ${A}`],
    ["another attempt", { type: "attempt-started", image: A, attempt: 2 }, `pulling ${A} (attempt 2)`],
    [
      "a retry at once",
      { type: "attempt-failed", image: A, attempt: 1, failure: broken, retryIn: 0 },
      `attempt 1 of ${A} failed (transfer), next at once: unexpected EOF`,
    ],
    [
      "a retry later",
      { type: "attempt-failed", image: A, attempt: 2, failure: broken, retryIn: 4_200 },
      `attempt 2 of ${A} failed (transfer), next in 4.2s: unexpected EOF`,
    ],
    ["a tag", { type: "tagged", image: A, target: "x.y/z:1", moved: false }, `tagged x.y/z:1 -> ${A}`],
    [
      "a moved tag",
      { type: "tagged", image: A, target: "x.y/z:1", moved: true },
      `moved tag x.y/z:1 -> ${A}`,
    ],
    ["an unpinned name", { type: "unpinned", name: A }, `unpinned ${A}`],
    [
      "a failure",
      { type: "image-failed", image: A, step: "pull", failure: broken },
      `FAILED ${A} in pull (transfer): unexpected EOF`,
    ],
    ["a warning", { type: "warning", message: "two\nlines" }, "warning: two lines"],
  ])("%s", (_what, event, line) => {
    expect(shown(started, event)).toEqual([line]);
  });

  test("a pulled image, with its time", () => {
    const lines = shown(
      started,
      { type: "attempt-started", image: A, attempt: 1 },
      { type: "pulled", image: A, attempt: 1 },
    );
    expect(lines.at(-1)).toMatch(/^pulled a\.b\/c:1 in \d+ms$/u);
  });
});

test.each<RunEvent>([
  started,
  { type: "progress", image: A, progress: { received: 1, total: 2, layersDone: 0, layers: 1 } },
  { type: "pinned", image: A, digest: digestOf("a") },
  { type: "verifying" },
  { type: "run-ended", exitCode: 0 },
  { type: "attempt-failed", image: A, attempt: 1, failure: failure("auth") },
])("nothing is said of %j, which is told elsewhere", (event) => {
  expect(shown(event)).toEqual([]);
});

test("thousands of images leave room for the summary, and say where the other lines are", () => {
  const names = Array.from({ length: 2_000 }, (_, n) => `registry.example.com/team/image-${n}:1`);
  const lines = shown(
    { type: "run-started", images: names.map((name) => ({ name, names: [name], required: true })) },
    ...names.map((name): RunEvent => ({ type: "attempt-started", image: name, attempt: 1 })),
  );
  expect(lines.join("\n").length).toBeLessThan(68_000);
  expect(lines.at(-1)).toBe("too many steps to show here: import-images.log has them all");
});

test("failures and warnings are told however many steps there were, 2,000 of them in 400 kB, of BOSH's 1 MiB", () => {
  const names = Array.from({ length: 2_000 }, (_, n) => `registry.example.com/team/image-${n}:1`);
  const lines = shown(
    { type: "run-started", images: names.map((name) => ({ name, names: [name], required: true })) },
    ...names.map((name): RunEvent => ({ type: "attempt-started", image: name, attempt: 1 })),
    { type: "warning", message: "the disk is nearly full" },
    ...names.map((image): RunEvent => ({
      type: "image-failed",
      image,
      step: "pull",
      failure: failure("server", "503 Service Unavailable ".repeat(20)),
    })),
  );
  expect(lines).toContain("warning: the disk is nearly full");
  expect(lines.filter((line) => line.startsWith("FAILED "))).toHaveLength(2_000);
  expect(lines.at(-1)).toMatch(/^FAILED registry\.example\.com\/team\/image-1999:1 in pull \(server\)/u);
  expect(lines.join("\n").length).toBeLessThan(400_000);
});

test("an archive of many names is one short line", () => {
  const names = Array.from({ length: 5_000 }, (_, n) => `a.b/image-${n}:1`);
  const archive = "/var/vcap/packages/images/all.tar";
  expect(shown({ type: "archive-done", image: archive, names, imported: true })).toEqual([
    `imported ${archive}: a.b/image-0:1, a.b/image-1:1, a.b/image-2:1, a.b/image-3:1, a.b/image-4:1 and 4995 more`,
  ]);
});

test("control characters of a registry are seen, and steer nothing", () => {
  const hostile = failure("server", "\u001B[2J\u0007\r\u009B31m\u202Eevil");
  const [line] = shown({ type: "image-failed", image: A, step: "pull", failure: hostile });
  expect(line).toBe(String.raw`FAILED ${A} in pull (server): \x1b[2J\x07 \x9b31m\u202eevil`);
});

test("half a minute later a line tells what goes on, the first of many downloads", () => {
  vi.useFakeTimers();
  let text = "";
  using lines = linesSink({ write: (more) => void (text += more), columns: undefined });
  const names = Array.from({ length: 10 }, (_, n) => `a.b/image-${n}:1`);
  const log = runLog(after(), (sink, error) => expect.unreachable(`${sink}: ${String(error)}`));
  log.watch("lines", lines.sink);
  log.emit({ type: "run-started", images: names.map((name) => ({ name, names: [name], required: true })) });
  log.emit({ type: "runtime-ready", containerd: "1.7.35", concurrency: 10 });
  const [waits = "", ...others] = names;
  log.emit({ type: "attempt-started", image: waits, attempt: 1 });
  log.emit({ type: "attempt-failed", image: waits, attempt: 1, failure: failure("server"), retryIn: 9_000 });
  for (const name of others) log.emit({ type: "attempt-started", image: name, attempt: 1 });
  vi.advanceTimersByTime(30_000);
  vi.useRealTimers();
  expect(text.trimEnd().split("\n").at(-1)).toMatch(
    /0 of 10 images done; a\.b\/image-1:1 is being looked up, .*, a\.b\/image-4:1 is being looked up and 6 more$/u,
  );
});

test("half a minute later a line tells what a run waits for, and none does once it has ended", () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  let text = "";
  using lines = linesSink({ write: (more) => void (text += more), columns: undefined });
  const log = runLog(after(started), (sink, error) => expect.unreachable(`${sink}: ${String(error)}`));
  log.watch("lines", lines.sink);
  log.emit({ type: "waiting", phase: "waiting-for-runtime", why: "no answer" });
  vi.advanceTimersByTime(30_000);
  expect(text).toMatch(/Z 0 of 1 image done; waiting: no answer\n$/u);
  log.emit({ type: "verifying" });
  vi.advanceTimersByTime(30_000);
  expect(text).toMatch(/Z 0 of 1 image done; verifying\n$/u);
  log.end({ exitCode: 0 });
  const length = text.length;
  vi.advanceTimersByTime(90_000);
  expect(text).toHaveLength(length);
});
