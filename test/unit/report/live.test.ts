import { describe, expect, it, onTestFinished, vi } from "vitest";
import { applyEvent, type RunEvent } from "../../../src/core/events.ts";
import { startState, type RunState } from "../../../src/core/run-state.ts";
import { downloads } from "../../../src/core/downloads.ts";
import { progressOf } from "../../../src/core/transfer.ts";
import { barLines, viewOf, type Screen } from "../../../src/report/bars.ts";
import { erased, watchSink } from "../../../src/report/live.ts";
import { parseStatus, statusText } from "../../../src/state/status.ts";

const START = Date.parse("2026-01-01T00:00:00Z");
const MB = 1_000_000;
const [A, B, C] = ["harbor.example.com/platform/base:v1", "harbor.example.com/b:1", "harbor.example.com/c:1"];

/** Base and b share a layer of 60 MB. */
const progress = (own: string, shared: number, rest: number): RunEvent & { type: "progress" } => ({
  type: "progress",
  image: own,
  progress: progressOf(
    [
      { digest: "sha256:shared", size: 60 * MB },
      { digest: `sha256:${own}`, size: 40 * MB },
    ],
    {
      downloads: new Map([
        ["sha256:shared", shared * MB],
        [`sha256:${own}`, rest * MB],
      ]),
      finished: new Set(),
      at: START,
    },
  ),
});

const listed = (...names: readonly string[]): RunEvent => ({
  type: "run-started",
  images: names.map((name) => ({ name, names: [name], required: true })),
});
const READY: RunEvent = { type: "runtime-ready", containerd: "1.7.20", concurrency: 3 };
const begun = (image: string, attempt = 1): RunEvent => ({ type: "attempt-started", image, attempt });

/** Each event a second after the one before. */
const after = (...events: readonly RunEvent[]): RunState =>
  events.reduce(
    (state, event, index) => applyEvent(state, event, START + index * 1_000),
    startState("run", "1.0.0", 1, START),
  );

/** What is drawn of a state ten seconds after the start. */
const drawn = (state: RunState, columns: number, more: Partial<Screen> = {}): string[] =>
  barLines({ view: viewOf(state), at: START + 10_000 }, { columns, rows: 24, ...more });

describe("the view of a run", () => {
  const busy = after(listed(A, B, C), READY, begun(A), begun(B), progress(A, 30, 20), progress(B, 30, 0));

  it("has a bar for each image in work and a line for all", () => {
    expect(drawn(busy, 100)).toEqual([
      "harbor.example.com/platform/base:v1  50% [=====>    ]  50.0MB/100MB 6.25MB/s     8s left",
      "harbor.example.com/b:1               30% [===>      ]  30.0MB/100MB 4.29MB/s    17s left",
      "0/3 images, 10s                                       50.0MB so far",
    ]);
  });

  it("counts a layer that two images share once, and so knows the end when all images are known", () => {
    const known = after(listed(A, B), READY, begun(A), begun(B), progress(A, 30, 20), progress(B, 30, 0));
    expect(downloads(known.images)).toEqual({ received: 50 * MB, total: 140 * MB, unknown: 0 });
    expect(drawn(known, 100).at(-1)).toMatch(/35% \[=+> +\] +50\.0MB\/140MB/u);
  });

  it.for([20, 21, 30, 40, 57, 80, 120, 250])("is never wider than a terminal of %i columns", (columns) => {
    const lines = drawn(busy, columns);
    expect(lines.length).toBe(3);
    for (const line of lines) expect(line.length).toBeLessThan(columns);
    expect(lines[0]).toContain("50%");
    expect(lines[0]).toMatch(/:v1/u);
  });

  it.for([1, 2, 5])("survives a terminal of %i columns", (columns) => {
    for (const line of drawn(busy, columns))
      expect(line.length).toBeLessThanOrEqual(Math.max(columns - 1, 1));
  });

  it("is never higher than the terminal", () => {
    const names = Array.from({ length: 30 }, (_, index) => `harbor.example.com/a:${index}`);
    const state = after(listed(...names), READY, ...names.map((name) => begun(name)));
    const lines = drawn(state, 80, { rows: 10 });
    expect(lines.length).toBe(10);
    expect(lines.at(-2)).toBe("… and 22 more");
    expect(lines.at(-1)).toMatch(/^0\/30 images/u);
  });

  it.for<[string, string, readonly RunEvent[]]>([
    ["looking up", "a manifest", [begun(A)]],
    ["unpacking", "what was loaded", [begun(A), progress(A, 60, 40)]],
    ["names and pins", "its names", [begun(A), { type: "pulled", image: A, attempt: 1 }]],
    ["looking up, attempt 2", "a manifest again", [begun(A, 2)]],
    [
      "attempt 2 in 24s (network)",
      "its next attempt",
      [
        begun(A),
        {
          type: "attempt-failed",
          image: A,
          attempt: 1,
          failure: { class: "network", message: "" },
          retryIn: 31_000,
        },
      ],
    ],
  ])("says %s of an image that waits for %s", ([text, , events]) => {
    expect(drawn(after(listed(A), READY, ...events), 100)[0]).toContain(text);
  });

  it.for<[string, RunEvent]>([
    ["0/0 images, waiting (start_jitter), 10s", { type: "waiting", phase: "waiting-for-start", why: "" }],
    ["0/0 images, waiting for another run, 10s", { type: "waiting", phase: "waiting-for-lock", why: "" }],
    ["0/0 images, waiting for containerd, 10s", { type: "waiting", phase: "waiting-for-runtime", why: "" }],
  ])("says %s", ([text, event]) => {
    expect(drawn(after(event), 80)).toEqual([text]);
  });

  it("is starting, and waits for no lock, once it has its list", () => {
    expect(drawn(after(listed(A)), 80)).toEqual(["0/1 images, starting, 10s"]);
  });

  it("counts failures", () => {
    const failure = { class: "auth", message: "" } as const;
    const state = after(listed(A, B), READY, { type: "image-failed", image: A, step: "pull", failure });
    expect(drawn(state, 80)).toEqual(["1/2 images, 1 failed, 10s"]);
    expect(drawn(state, 20)).toEqual(["…ges, 1 failed, 10s"]);
  });

  it("is the same from status.json", () => {
    const read = parseStatus(statusText(busy));
    expect(barLines({ view: read, at: START + 10_000 }, { columns: 100, rows: 24 })).toEqual(
      drawn(busy, 100),
    );
  });

  it("leaves single layers out of status.json", () => {
    expect(statusText(busy)).not.toContain("sha256:shared");
  });
});

describe("a rate", () => {
  const state = after(listed(A), READY, begun(A), progress(A, 30, 20));
  const earlier = (own: RunState, at: number) => ({ earlier: { view: viewOf(own), at: START + at } });

  it("is that since an earlier look, of the image and of the run", () => {
    const before = after(listed(A), READY, begun(A), progress(A, 30, 0));
    const [one, all] = drawn(state, 100, earlier(before, 0));
    expect(one).toMatch(/ 2\.00MB\/s +25s left$/u);
    expect(all).toMatch(/ 2\.00MB\/s +25s left$/u);
  });

  it("is the average since the first attempt where the image was not seen yet, or began anew", () => {
    const unseen = after(listed(A), READY, begun(A));
    const more = after(listed(A), READY, begun(A), progress(A, 60, 0));
    for (const before of [unseen, more])
      expect(drawn(state, 100, earlier(before, 0))[0]).toMatch(/ 6\.25MB\/s +8s left$/u);
  });

  it("is zero where nothing comes, which promises no end", () => {
    const [line] = drawn(state, 100, earlier(state, 0));
    expect(line).toContain("0B/s");
    expect(line).not.toContain("left");
  });

  it("is none after too short a time", () => {
    expect(drawn(state, 100, earlier(state, 9_600))[0]).toMatch(/MB$/u);
  });
});

const ESCAPE = String.raw`\u001B\[`;
const TOKEN = new RegExp(String.raw`${ESCAPE}[?\d;]*[A-Za-z]|[^]`, "gu");
const SEQUENCE = new RegExp(String.raw`${ESCAPE}[?\d;]*[A-Za-z]`, "gu");
const COLOUR = new RegExp(String.raw`${ESCAPE}[\d;]*m`, "u");

/** Just enough of a terminal: lines, a cursor, erasing, and wrapping at its width. */
function terminal(columns: number) {
  let [row, column, raw] = [0, 0, ""];
  const lines: string[] = [""];
  const put = (char: string): void => {
    if (column >= columns) [row, column] = [row + 1, 0];
    lines[row] =
      (lines[row] ?? "").padEnd(column).slice(0, column) + char + (lines[row] ?? "").slice(column + 1);
    column += 1;
  };
  const control = (sequence: string): void => {
    const count = Number(/\d+/u.exec(sequence)?.[0] ?? 1);
    if (sequence.endsWith("A")) row = Math.max(row - count, 0);
    if (sequence.endsWith("B")) row += count;
    if (sequence.endsWith("G")) column = 0;
    if (sequence.endsWith("K")) lines[row] = sequence === "[2K" ? "" : (lines[row] ?? "").slice(0, column);
  };
  return {
    columns,
    rows: 24,
    write: (text: string): void => {
      raw += text;
      for (const [token] of text.matchAll(TOKEN)) {
        if (token.startsWith("\u001B")) control(token.slice(1));
        else if (token === "\n") [row, column] = [row + 1, 0];
        else put(token);
      }
    },
    shown: (): string[] => lines.map((line) => line.trimEnd()).filter((line) => line !== ""),
    raw: () => raw,
  };
}

describe("a run on a terminal", () => {
  async function watched(output: Parameters<typeof watchSink>[0]) {
    vi.useFakeTimers({ now: START });
    onTestFinished(() => void vi.useRealTimers());
    const watching = watchSink(output);
    let state = startState("run", "1.0.0", 1, START);
    const emit = (...events: readonly RunEvent[]): void => {
      for (const event of events) {
        state = applyEvent(state, event, Date.now());
        watching.sink(event, state);
      }
    };
    return { watching, emit };
  }
  const failed: RunEvent = {
    type: "image-failed",
    image: B,
    step: "pull",
    failure: { class: "auth", message: "401" },
  };

  it("keeps what happened above the bars, and draws them in place", async () => {
    const output = terminal(80);
    const { emit } = await watched(output);
    emit(listed(A, B), READY, begun(A), begun(B), progress(A, 30, 20));
    vi.advanceTimersByTime(1_000);
    emit(failed);
    vi.advanceTimersByTime(1_000);
    expect(output.shown()).toEqual([
      "00:00:00Z containerd 1.7.20, 3 images at once",
      `00:00:01Z FAILED ${B} in pull (auth): 401`,
      expect.stringMatching(/base:v1 +50% \[=+> +\]/u),
      expect.stringMatching(/^1\/2 images, 1 failed, 2s/u),
    ]);
  });

  it("leaves a clean screen when it ends, by a signal too", async () => {
    const output = terminal(80);
    const { emit, watching } = await watched(output);
    emit(listed(A, B), READY, begun(A), progress(A, 30, 20));
    vi.advanceTimersByTime(1_000);
    emit({ type: "run-ended", exitCode: 130, stopped: "stopped by SIGINT" });
    watching[Symbol.dispose]();
    vi.advanceTimersByTime(5_000);
    expect(output.shown()).toEqual(["00:00:00Z containerd 1.7.20, 3 images at once"]);
  });

  it("follows the size of the terminal", async () => {
    const output = { ...terminal(100) };
    const { emit } = await watched(output);
    emit(listed(A), READY, begun(A), progress(A, 30, 20));
    vi.advanceTimersByTime(500);
    output.columns = 20;
    const before = output.raw().length;
    vi.advanceTimersByTime(500);
    const redrawn = output.raw().slice(before).replaceAll(SEQUENCE, "");
    for (const line of redrawn.split("\n")) expect(line.length).toBeLessThan(20);
    expect(redrawn).toContain("50%");
  });

  it("clears the rows that a narrower terminal made of a line", () => {
    const lines = ["x".repeat(79), "x".repeat(30)];
    const rows = (columns: number) => erased(lines, columns).match(/\[1A/gu)?.length;
    expect([120, 80, 40, 20].map(rows)).toEqual([2, 2, 3, 6]);
    expect(erased([], 80)).toBe("");
  });

  it("uses no colour", async () => {
    const output = terminal(80);
    const { emit } = await watched(output);
    emit(listed(A, B), READY, begun(A), progress(A, 30, 20), failed);
    vi.advanceTimersByTime(1_000);
    expect(output.raw()).toContain("50%");
    expect(output.raw()).not.toMatch(COLOUR);
  });

  it("is plain lines where there is no terminal", async () => {
    const output = { ...terminal(80), columns: undefined };
    const { emit } = await watched(output);
    emit(listed(A, B), READY, begun(A), progress(A, 30, 20), failed, { type: "run-ended", exitCode: 1 });
    expect(output.raw()).not.toContain("\u001B");
    expect(output.raw()).toContain(`pulling ${A}\n`);
  });
});
