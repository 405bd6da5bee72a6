import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { endingBy, endingOf } from "../../../src/commands/ending.ts";
import { decodeConfig } from "../../../src/config/decode.ts";
import type { Config } from "../../../src/config/config.ts";
import { Failed, FAILURE_CLASSES } from "../../../src/core/failure.ts";
import type { RunEvent } from "../../../src/core/events.ts";
import { isComplete, type RunState } from "../../../src/core/run-state.ts";
import { ExitError } from "../../../src/exit.ts";
import { reason } from "../../../src/report/failures.ts";
import { summary } from "../../../src/report/summary.ts";
import { after, endedAfter } from "./states.ts";

const NAMES = ["a.b/c:1", "a.b/d:1", "/var/vcap/e.tar"];
const image = fc.constantFrom(...NAMES, "a.b/of-nobody:1");
/** Anything that a tool may have said. */
const said = fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("", "two\nlines", "\u001B[2J\r\u2028x"));
const failure = fc.record({ class: fc.constantFrom(...FAILURE_CLASSES), message: said });
const attempt = fc.nat(3);
const verified = fc.constant({ id: "sha256:1", digest: "sha256:2", size: 1, pinned: true });

const event: fc.Arbitrary<RunEvent> = fc.oneof(
  fc.record({ type: fc.constant("attempt-started" as const), image, attempt }),
  fc.record({ type: fc.constant("attempt-failed" as const), image, attempt, failure }),
  fc.record({ type: fc.constant("attempt-failed" as const), image, attempt, failure, retryIn: fc.nat(9) }),
  fc.record({ type: fc.constant("pulled" as const), image, attempt, id: fc.constant("sha256:1") }),
  fc.record({ type: fc.constant("placed" as const), image }),
  fc.record({
    type: fc.constant("archive-done" as const),
    image,
    names: fc.subarray(["busybox:1.36", ...NAMES]),
    imported: fc.boolean(),
  }),
  fc.record({
    type: fc.constant("image-done" as const),
    image,
    phase: fc.constantFrom("present" as const, "pulled" as const, "imported" as const, "kept" as const),
    verified,
  }),
  fc.record({
    type: fc.constant("image-failed" as const),
    image,
    step: fc.constantFrom(
      "import" as const,
      "pull" as const,
      "tag" as const,
      "pin" as const,
      "verify" as const,
    ),
    failure,
  }),
  fc.record({ type: fc.constant("warning" as const), message: said }),
  fc.constant({ type: "verifying" as const }),
);

const started = fc
  .tuple(
    ...NAMES.map((name) =>
      fc.record({ name: fc.constant(name), names: fc.constant([name]), required: fc.boolean() }),
    ),
  )
  .map((images): RunEvent => ({ type: "run-started", images }));

const decoded = decodeConfig({ images: [] });
if (!decoded.ok) throw new Error("the configuration is not right");
const config: Config = decoded.config;
const interrupted = (state: RunState) => ({
  config,
  edge: { stoppedBy: () => undefined },
  log: { emit: () => {}, state: () => state },
});

/** How a run ends that went through, or that threw. */
const thrown = fc.oneof(
  fc.constant(undefined),
  said.map((message) => new ExitError(3, `containerd does not answer: ${message}`)),
  said.map((message) => new Failed({ class: "timeout", message: `over: ${message}` })),
  said.map((message) => new TypeError(message)),
  fc.string(),
);

describe("whatever happened in a run", () => {
  test("an exit code other than 0 has its reason, in one line without control characters", () => {
    fc.assert(
      fc.property(started, fc.array(event, { maxLength: 12 }), thrown, (first, events, error) => {
        const before = after(first, ...events);
        const ending = error === undefined ? endingOf(before, config) : endingBy(error, interrupted(before));
        const state = endedAfter(ending, first, ...events);
        const line = reason(state);
        expect(ending.exitCode === 0 || (line ?? "") !== "").toBe(true);
        expect(line ?? "").not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u);
      }),
    );
  });

  test("each required image that is not in place is told with what it lacks", () => {
    fc.assert(
      fc.property(started, fc.array(event, { maxLength: 12 }), (first, events) => {
        const state = endedAfter({ exitCode: 1 }, first, ...events);
        const told = summary(state);
        const lacking = state.images.filter(
          (one) => one.required && !isComplete({ ...state, images: [one] }),
        );
        for (const { name } of lacking) {
          expect(told).toMatch(new RegExp(`^(?:FAILED|NOT FINISHED) ${RegExp.escape(name)}`, "mu"));
          expect(reason(state)).toContain(name);
        }
      }),
    );
  });
});

test.each([
  ["waiting", [], "not finished: not started — next: run again"],
  [
    "unverified",
    [
      { type: "attempt-started", image: "a.b/c:1", attempt: 1 },
      { type: "pulled", image: "a.b/c:1", attempt: 1 },
      { type: "placed", image: "a.b/c:1" },
    ],
    "not finished: named and pinned, but not verified — next: run again",
  ],
  [
    "retrying",
    [
      {
        type: "attempt-failed",
        image: "a.b/c:1",
        attempt: 1,
        failure: { class: "server", message: "503\nbusy", next: "look at the registry" },
        retryIn: 1,
      },
    ],
    "not finished: waiting for its next attempt; last failure: server: 503 busy — next: look at the registry",
  ],
] satisfies [string, RunEvent[], string][])(
  "an image that was left %s has its reason",
  (_phase, events, line) => {
    const first: RunEvent = {
      type: "run-started",
      images: [{ name: "a.b/c:1", names: ["a.b/c:1"], required: true }],
    };
    const state = endedAfter({ exitCode: 1 }, first, ...events);
    expect(reason(state)).toBe(`a.b/c:1 ${line}`);
    expect(summary(state)).toMatch(/^NOT FINISHED a\.b\/c:1\n/u);
  },
);
