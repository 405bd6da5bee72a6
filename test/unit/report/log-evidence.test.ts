import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import type { LogLevel } from "../../../src/config/config.ts";
import type { RunEvent } from "../../../src/core/events.ts";
import type { Edge } from "../../../src/edge.ts";
import { openRunLog } from "../../../src/report/logger.ts";
import { temporaryFolder } from "../folder.ts";
import { after } from "./states.ts";

const folder = temporaryFolder();
const A = "a.b/c:1";
const failure = { class: "server", message: "503", evidence: `all of it, ${"x".repeat(10_000)}` } as const;
const EVENTS: readonly RunEvent[] = [
  { type: "attempt-failed", image: A, attempt: 1, failure, retryIn: 5 },
  { type: "image-failed", image: A, step: "pull", failure },
];

/** What the log has of the evidence, by event. */
function told(level: LogLevel): (string | undefined)[] {
  const log = path.join(folder.path, level);
  const edge = { paths: { config: "", log, state: "" }, pid: 1 } as Edge;
  {
    using file = openRunLog(edge, level, "run-1");
    for (const event of EVENTS) file.sink(event, after());
  }
  const lines = readFileSync(path.join(log, "import-images.log"), "utf8").trim().split("\n");
  for (const line of lines) expect(Buffer.byteLength(line)).toBeLessThan(4_096);
  const parsed = lines.map((line) => JSON.parse(line) as { event: string; evidence?: string });
  return EVENTS.map(({ type }) => parsed.find(({ event }) => event === type)?.evidence?.slice(0, 10));
}

test("what a tool said is logged of every final failure, and of each attempt only under debug", () => {
  expect(told("info")).toEqual([undefined, "all of it,"]);
  expect(told("debug")).toEqual(["all of it,", "all of it,"]);
});

test("what a tool said is no part of the state, which is written at each step", () => {
  const state = after({ type: "run-started", images: [{ name: A, names: [A], required: true }] }, ...EVENTS);
  expect(state.images[0]?.failure).toEqual({
    class: "server",
    message: "503",
    step: "pull",
    next: expect.stringContaining("log and health"),
  });
});
