// The real clock, by which no other unit test waits.
import { expect, test } from "vitest";
import { Failed } from "../../../src/core/failure.ts";
import { realClock } from "../../../src/run/clock.ts";

const HOUR = 3_600_000;

test("time is told in whole milliseconds, and goes on while somebody sleeps", async () => {
  const begin = realClock.now();
  expect(Number.isInteger(begin)).toBe(true);
  await realClock.sleep(20);
  expect(realClock.now() - begin).toBeGreaterThanOrEqual(19);
  expect(Math.abs(realClock.date().getTime() - Date.now())).toBeLessThan(1_000);
});

test.each([0, -5])("nobody sleeps for %d ms", async (ms) => {
  let isOver = false;
  void realClock.sleep(ms).then(() => (isOver = true));
  await Promise.resolve();
  await Promise.resolve();
  expect(isOver).toBe(true);
});

test("a sleep ends with the reason of its signal, also of one that came before", async () => {
  const stop = new AbortController();
  const reason = new Failed({ class: "cancelled", message: "stopped by SIGTERM" });
  const sleeping = realClock.sleep(HOUR, stop.signal);
  stop.abort(reason);
  await expect(sleeping).rejects.toBe(reason);
  await expect(realClock.sleep(0, stop.signal)).rejects.toBe(reason);
});

test("something is done once after a while, unless it is disposed before", async () => {
  const done: string[] = [];
  realClock.after(5, () => void done.push("late"));
  realClock.after(5, () => void done.push("never"))[Symbol.dispose]();
  expect(done).toEqual([]);
  await expect.poll(() => done).toEqual(["late"]);
  await realClock.sleep(20);
  expect(done).toEqual(["late"]);
});

test("chance lies between 0 and 1", () => {
  const chances = Array.from({ length: 20 }, () => realClock.random());
  expect(chances.every((chance) => chance >= 0 && chance < 1)).toBe(true);
  expect(new Set(chances).size).toBeGreaterThan(10);
});
