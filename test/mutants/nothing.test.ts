import process from "node:process";
import { expect, test } from "vitest";

// After it the runner has a worker for itself.
test("there is a worker", () => {
  expect(process.pid).toBeGreaterThan(0);
});
