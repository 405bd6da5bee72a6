import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import type { LogLevel } from "../../../src/config/config.ts";
import { planRun } from "../../../src/core/plan.ts";
import type { RunEvent } from "../../../src/core/events.ts";
import type { Edge } from "../../../src/edge.ts";
import { openRunLog } from "../../../src/report/logger.ts";
import { runLog } from "../../../src/report/run-log.ts";
import { temporaryFolder } from "../folder.ts";
import { failure, nodeOf, wanted } from "../samples.ts";
import { after } from "./states.ts";

const folder = temporaryFolder();
let count = 0;

/** An edge whose log is in a directory of its own. */
function edge(log = path.join(folder.path, `log-${(count += 1)}`)) {
  const said: string[] = [];
  const output = { write: (text: string) => void said.push(text), columns: undefined };
  const made: Edge = {
    stdin: () => new Blob().stream(),
    stdout: output,
    stderr: output,
    paths: { config: "", log, state: "" },
    pid: 77,
    platform: { os: "linux", architecture: "amd64" },
    signal: new AbortController().signal,
    stoppedBy: () => undefined,
  };
  const text = (): string => readFileSync(path.join(log, "import-images.log"), "utf8");
  const lines = (): Record<string, unknown>[] =>
    text()
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { made, said, text, lines };
}
const neverBreaks = (sink: string, error: unknown): void => expect.unreachable(`${sink}: ${String(error)}`);

function logged(events: readonly RunEvent[], level: LogLevel = "trace", target = edge()) {
  using file = openRunLog(target.made, level, "run-1");
  const log = runLog(after(), neverBreaks);
  log.watch("log", file.sink);
  for (const event of events) log.emit(event);
  return target.lines();
}

const A = "a.b/c:1";
const HOSTILE = 'line\nbreak "quote" \\ \u0000 \u001b[2J ü';
const EVENTS: readonly RunEvent[] = [
  { type: "run-started", images: [{ name: A, names: [A], required: true }] },
  { type: "waiting", phase: "waiting-for-runtime", why: HOSTILE },
  { type: "runtime-ready", containerd: "1.7.35", concurrency: 4 },
  { type: "planned", images: planRun([wanted(A)], nodeOf({}), { pins: true }).images },
  { type: "attempt-started", image: A, attempt: 1 },
  { type: "progress", image: A, progress: { received: 5, total: 10, layersDone: 0, layers: 2 } },
  { type: "attempt-failed", image: A, attempt: 1, failure: failure("transfer", HOSTILE), retryIn: 0 },
  { type: "pulled", image: A, attempt: 2 },
  { type: "tagged", image: A, target: "x.y/z:1", moved: true },
  { type: "pinned", image: A, digest: "sha256:2" },
  { type: "unpinned", name: "x.y/z:1" },
  {
    type: "image-done",
    image: A,
    phase: "pulled",
    verified: { id: "sha256:1", digest: "sha256:2", size: 5, pinned: true },
  },
  { type: "image-failed", image: A, step: "verify", failure: failure("unknown", "gone") },
  { type: "warning", message: HOSTILE },
  { type: "verifying" },
  { type: "run-ended", exitCode: 1, stopped: "stopped by SIGTERM" },
];

describe("the log", () => {
  test("has one line of JSON for each event, with time, level, run and a message that never varies", () => {
    const lines = logged(EVENTS);
    expect(lines).toHaveLength(EVENTS.length + 1);
    for (const line of lines) {
      expect(line).toMatchObject({
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/u),
        level: expect.stringMatching(/^(?:debug|info|warn|error|fatal)$/u),
        run: "run-1",
        msg: expect.stringMatching(/^[a-z ]+$/u),
      });
    }
    expect(lines.slice(1).map((line) => line["event"])).toEqual(EVENTS.map((event) => event.type));
  });

  test("begins with who writes it", () => {
    expect(logged([])).toEqual([expect.objectContaining({ event: "started", pid: 77, msg: "started" })]);
  });

  test("holds what an event says in fields", () => {
    const byEvent = new Map(logged(EVENTS).map((line) => [line["event"], line]));
    expect(byEvent.get("attempt-failed")).toMatchObject({
      level: "warn",
      image: A,
      attempt: 1,
      class: "transfer",
      error: String.raw`line
break "quote" \ \x00 \x1b[2J ü`,
      retryIn: 0,
    });
    expect(byEvent.get("planned")).toMatchObject({ pull: [A], share: [], present: 0 });
    expect(byEvent.get("progress")).toMatchObject({ level: "debug", image: A, received: 5, total: 10 });
    expect(byEvent.get("image-done")).toMatchObject({
      phase: "pulled",
      id: "sha256:1",
      size: 5,
      pinned: true,
    });
    expect(byEvent.get("image-failed")).toMatchObject({ level: "error", step: "verify", error: "gone" });
    expect(byEvent.get("run-ended")).toMatchObject({ exitCode: 1, stopped: "stopped by SIGTERM" });
  });

  test("leaves out what is below its level", () => {
    expect(logged(EVENTS, "error").map((line) => line["event"])).toEqual(["image-failed"]);
    expect(logged(EVENTS, "info").map((line) => line["event"])).not.toContain("progress");
  });

  test("is appended to by the next run", () => {
    const target = edge();
    logged([{ type: "verifying" }], "trace", target);
    expect(logged([{ type: "verifying" }], "trace", target)).toHaveLength(4);
  });

  test("that cannot be written is told on stderr, and fails nothing", () => {
    const target = edge(path.join(folder.write("file", ""), "below"));
    using file = openRunLog(target.made, "info", "run-1");
    file.sink({ type: "verifying" }, after());
    expect(target.said).toEqual([
      expect.stringMatching(/^warning: there is no log: \S+: ENOTDIR: not a directory\n$/u),
    ]);
  });
});

describe("the events of a run", () => {
  test("go to every sink, with the state that they led to", () => {
    const seen: string[] = [];
    const log = runLog(after(), neverBreaks);
    log.watch("test", (event, state) => void seen.push(`${event.type} ${state.phase}`));
    log.emit({ type: "verifying" });
    expect(log.end({ exitCode: 0 })).toMatchObject({ phase: "ended", exitCode: 0 });
    expect(seen).toEqual(["verifying verifying", "run-ended ended"]);
  });

  test("go to a later sink from then on", () => {
    const seen: string[] = [];
    const log = runLog(after(), neverBreaks);
    log.emit({ type: "verifying" });
    log.watch("test", (event) => void seen.push(event.type));
    log.end({ exitCode: 0 });
    expect(seen).toEqual(["run-ended"]);
  });

  test("go on when a sink throws, which is told once and then left out", () => {
    const [seen, broken]: [string[], unknown[]] = [[], []];
    const log = runLog(after(), (...told) => void broken.push(told));
    const full = new Error("the disk is full");
    log.watch("its log", () => {
      throw full;
    });
    log.watch("test", (event) => void seen.push(event.type));
    log.emit({ type: "verifying" });
    log.end({ exitCode: 0 });
    expect(seen).toEqual(["verifying", "run-ended"]);
    expect(broken).toEqual([["its log", full]]);
  });
});

describe("a line of the log is below 8 kB", () => {
  const names = Array.from({ length: 5_000 }, (_, n) => `registry.example.com/team/image-${n}:1`);
  test.each<[string, RunEvent]>([
    [
      "the plan of 5,000 images",
      {
        type: "planned",
        images: planRun(
          names.map((name) => wanted(name)),
          nodeOf({}),
          { pins: true },
        ).images,
      },
    ],
    ["an archive of 5,000 names", { type: "archive-done", image: "/a.tar", names, imported: true }],
    ["a registry's long answer", { type: "warning", message: '\u0007é"'.repeat(100_000) }],
    ["a long stack", { type: "internal-error", stack: "at x\n".repeat(10_000) }],
  ])("with %s", (_what, event) => {
    const target = edge();
    logged([event], "trace", target);
    const bytes = target
      .text()
      .split("\n")
      .map((line) => Buffer.byteLength(line));
    expect(Math.max(...bytes)).toBeLessThan(8_192);
    expect(Math.max(...bytes)).toBeGreaterThan(900);
  });

  test("and says how many names it leaves out", () => {
    const [, line] = logged([{ type: "archive-done", image: "/a.tar", names, imported: true }]);
    const told = line?.["names"] as string[];
    expect(told.slice(0, -1)).toEqual(names.slice(0, told.length - 1));
    expect(told.at(-1)).toBe(`… and ${5_001 - told.length} more`);
  });
});
