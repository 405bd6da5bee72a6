import { expect, test } from "vitest";
import { actionOf, FAILURE_CLASSES, isFailure, nextStep } from "../../../src/core/failure.ts";

test.each(FAILURE_CLASSES)("%s has an action, and tells what to do next in one line", (failureClass) => {
  expect(["stop", "at-once", "back-off", "registry-back-off", "wait-for-runtime", "stop-run"]).toContain(
    actionOf({ class: failureClass }),
  );
  expect(nextStep(failureClass)).toMatch(/^[^\n]{10,200}[^.\n]$/u);
});

test("only a full disk stops the run", () => {
  expect(FAILURE_CLASSES.filter((name) => actionOf({ class: name }) === "stop-run")).toEqual(["disk"]);
});

test.each([
  [{ class: "disk", message: "full" }, true],
  [{ class: "an imported name" }, false],
  [{ message: "an imported name" }, false],
])("whether %j is a failure: %s", (value, expected) => {
  expect(isFailure(value)).toBe(expected);
});
