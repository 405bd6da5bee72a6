import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FAILURE_CLASSES } from "../../../src/core/failure.ts";
import { backOff, nextAttempt, type Situation } from "../../../src/core/retry.ts";

const policy = { attempts: 5, min_delay: 1_000, max_delay: 30_000 };
const situation = (overrides: Partial<Situation> = {}): Situation => ({
  attempt: 1,
  last: false,
  registryWait: 0,
  timeLeft: 60_000,
  random: 0.5,
  ...overrides,
});

describe("after a failed attempt", () => {
  test.each([
    "auth",
    "not-found",
    "tls",
    "reference",
    "platform",
    "not-an-image",
    "disk",
    "cancelled",
    "timeout",
  ] as const)("%s is final", (failure) => {
    expect(nextAttempt(failure, policy, situation())).toEqual({ kind: "stop" });
  });

  test.each(["transfer", "stall"] as const)(
    "%s goes on at once the first time, and then backs off",
    (failure) => {
      const delays = [1, 2, 3].map((attempt) => nextAttempt(failure, policy, situation({ attempt })));
      expect(delays).toEqual([0, 1_000, 2_000].map((delay) => ({ kind: "later", delay })));
    },
  );

  test.each(["transfer", "stall"] as const)(
    "%s waits as long as its registry must be left alone",
    (failure) => {
      expect(nextAttempt(failure, policy, situation({ registryWait: 7_000 }))).toEqual({
        kind: "later",
        delay: 7_000,
      });
    },
  );

  test.each(["server", "unknown"] as const)("%s backs off, longer each time", (failure) => {
    const delays = [1, 2, 3].map((attempt) => nextAttempt(failure, policy, situation({ attempt })));
    expect(delays).toEqual([500, 1_000, 2_000].map((delay) => ({ kind: "later", delay })));
  });

  test.each(["network", "rate-limit"] as const)("%s waits for its registry to open again", (failure) => {
    expect(nextAttempt(failure, policy, situation({ registryWait: 7_000 }))).toEqual({
      kind: "later",
      delay: 7_000,
    });
  });

  test("the registry's wait counts for the others too, when it is the longer one", () => {
    expect(nextAttempt("server", policy, situation({ registryWait: 7_000 }))).toEqual({
      kind: "later",
      delay: 7_000,
    });
  });

  test("runtime waits for containerd and not for a clock", () => {
    expect(nextAttempt("runtime", policy, situation())).toEqual({ kind: "after-runtime" });
  });

  test.each(FAILURE_CLASSES)("%s stops when it was the last attempt", (failure) => {
    expect(nextAttempt(failure, policy, situation({ last: true }))).toEqual({ kind: "stop" });
  });

  test("a wait that outlasts the image's own timeout is not begun", () => {
    expect(nextAttempt("server", policy, situation({ timeLeft: 500 }))).toEqual({ kind: "stop" });
    expect(nextAttempt("server", policy, situation({ timeLeft: 501 }))).toEqual({
      kind: "later",
      delay: 500,
    });
  });
});

describe("the back-off", () => {
  test("never exceeds max_delay, and has full jitter", () => {
    const round = fc.integer({ min: 1, max: 2_000 });
    const unit = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(fc.constantFrom(...FAILURE_CLASSES), round, unit, (failure, n, random) => {
        const delay = backOff(policy, failure, n, random);
        expect(delay).toBeGreaterThanOrEqual(0);
        expect(delay).toBeLessThanOrEqual(policy.max_delay);
      }),
    );
    expect(backOff(policy, "server", 10, 0)).toBe(0);
    expect(backOff(policy, "server", 10, 1)).toBe(30_000);
  });

  test("is at most min_delay the first time", () => {
    expect([1, 2, 3].map((count) => backOff(policy, "server", count, 1))).toEqual([1_000, 2_000, 4_000]);
  });

  test("leaves a registry that limits its rate alone for a while, even with the smallest jitter", () => {
    expect(backOff(policy, "rate-limit", 1, 0)).toBe(5_000);
    expect(backOff({ ...policy, max_delay: 3_000 }, "rate-limit", 1, 0)).toBe(3_000);
  });

  test("may be zero where the operator says so", () => {
    expect(backOff({ attempts: 5, min_delay: 0, max_delay: 0 }, "server", 3, 1)).toBe(0);
  });
});
