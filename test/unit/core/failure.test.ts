import { describe, expect, test } from "vitest";
import { actionOf, classOfCode, FAILURE_CLASSES, nextStep } from "../../../src/core/failure.ts";

test.each(FAILURE_CLASSES)("%s has an action, and tells what to do next in one line", (failureClass) => {
  expect(["stop", "at-once", "back-off", "registry-back-off", "wait-for-runtime", "stop-run"]).toContain(
    actionOf({ class: failureClass }),
  );
  expect(nextStep(failureClass)).toMatch(/^[^\n]{10,200}[^.\n]$/u);
});

test("only a full disk stops the run", () => {
  expect(FAILURE_CLASSES.filter((name) => actionOf({ class: name }) === "stop-run")).toEqual(["disk"]);
});

describe("an error of containerd's API", () => {
  test.each([
    [1, "context canceled", "cancelled"],
    [4, "deadline exceeded", "runtime"],
    [8, "lease has too many resources", "disk"],
    [14, "connection error", "runtime"],
    [2, "write /var/lib/containerd/x: no space left on device", "disk"],
    [2, "disk quota exceeded", "disk"],
    [5, 'image "a/b:1": not found', "unknown"],
    [2, "something new", "unknown"],
  ] as const)("with code %s and %j is %s", (code, message, expected) => {
    expect(classOfCode(code, message)).toBe(expected);
  });
});
