import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FAILURE_CLASSES } from "../../../src/core/failure.ts";
import { backOff } from "../../../src/core/retry.ts";

const policy = { attempts: 5, min_delay: 1_000, max_delay: 30_000 };

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
