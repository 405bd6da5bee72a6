// Every way in which a run ends before its work is done, under both reactions to failed images.
import { describe, expect, test } from "vitest";
import { endingBy } from "../../src/commands/ending.ts";
import { ApiError } from "../../src/containerd/connection.ts";
import { applyEvent, type RunEvent } from "../../src/core/events.ts";
import { Failed } from "../../src/core/failure.ts";
import { startState } from "../../src/core/run-state.ts";
import { EXIT, ExitError } from "../../src/exit.ts";
import { config } from "./run/bench.ts";

const late = new Failed({ class: "timeout", message: "the deadline of 1m00s has passed" });
const waiting = (phase: RunEvent<"waiting">["phase"]): RunEvent => ({
  type: "waiting",
  phase,
  why: "nobody answers",
});
const READY: RunEvent = { type: "runtime-ready", containerd: "1.7.35", concurrency: 4 };
const TOO_LARGE = new ApiError(8, "containerd: grpc: trying to send message larger than max (18 vs. 16)");

interface How {
  readonly error: unknown;
  readonly before?: readonly RunEvent[];
  readonly signal?: NodeJS.Signals;
}

const endOf = ({ error, before = [], signal }: How, reaction: "fail" | "warn") => {
  const state = before.reduce((last, event) => applyEvent(last, event, 0), startState("r", "1", 1, 0));
  const log = { emit: () => {}, state: () => state };
  return endingBy(error, {
    config: config({ on_failure: reaction }),
    edge: { stoppedBy: () => signal },
    log,
  });
};

describe("a run that ends early", () => {
  test.each<readonly [string, How, number, number, RegExp]>([
    [
      "its deadline in the work",
      { error: late, before: [READY] },
      1,
      0,
      /deadline of 1m00s.*raise deadline/u,
    ],
    [
      "its deadline while it waits for another run",
      { error: late, before: [waiting("waiting-for-lock")] },
      4,
      4,
      /nobody answers/u,
    ],
    [
      "its deadline in start_jitter",
      { error: late, before: [waiting("waiting-for-start")] },
      1,
      0,
      /nobody answers/u,
    ],
    [
      "containerd that does not answer",
      { error: new ExitError(EXIT.runtimeNotReady, "not ready") },
      3,
      3,
      /not ready/u,
    ],
    [
      "a list that gRPC refuses",
      { error: TOO_LARGE, before: [READY] },
      3,
      3,
      /larger than max.*max_send_message_size/u,
    ],
    ["another run", { error: new ExitError(EXIT.locked, "locked") }, 4, 4, /locked/u],
    [
      "a signal, whatever it broke",
      { error: new TypeError("x"), signal: "SIGTERM" },
      143,
      143,
      /stopped by SIGTERM/u,
    ],
    ["a bug", { error: new TypeError("x"), before: [READY] }, 70, 70, /internal error/u],
  ])("by %s has its exit code, and warn changes 1 alone", (_by, how, failing, warning, why) => {
    const ends = [endOf(how, "fail"), endOf(how, "warn")];
    expect(ends.map(({ exitCode }) => exitCode)).toEqual([failing, warning]);
    expect(ends[0]?.stopped).toMatch(why);
  });
});
