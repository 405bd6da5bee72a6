import { expect, test } from "vitest";
import { failureOf } from "../bench/failure.ts";

const run = (present: number, exitCode: number) => ({ present, wanted: 4, exitCode });

test("a contender has failed when a run of it left images out", () => {
  expect(failureOf([run(4, 0), run(4, 0)], 4)).toBe("");
  expect(failureOf([run(3, 123), run(3, 123)], 4)).toBe("failed: 1 of 4 images");
  expect(failureOf([run(4, 0), run(1, 0)], 4)).toBe("failed: 0 to 3 of 4 images");
});

test("an exit code tells of a failure only where all images can be pulled", () => {
  expect(failureOf([run(4, 0), run(4, 1)], 4)).toBe("failed: exit code 1");
  expect(failureOf([run(4, 1)], 5)).toBe("");
});
