import { beforeEach, describe, expect, test, vi } from "vitest";
import { Failed } from "../../../src/core/failure.ts";
import { EXIT, ExitError } from "../../../src/exit.ts";
import { realClock } from "../../../src/run/clock.ts";
import { stopper } from "../../../src/run/stopper.ts";

const HOUR = 3_600_000;
/** Until the last call is ended, after a deadline or a signal. */
const WRAP_UP = 6_000;
beforeEach(() => {
  vi.useFakeTimers();
  return () => vi.useRealTimers();
});

const bySignal = new Failed({ class: "cancelled", message: "stopped by SIGTERM" });

describe("a run is stopped", () => {
  test("by the operator, with the operator's reason, and has to end with it", () => {
    const outer = new AbortController();
    using stop = stopper(outer.signal, HOUR, realClock);
    expect(stop.signal.aborted).toBe(false);
    stop.throwIfStopped();
    outer.abort(bySignal);
    expect(stop.signal.reason).toBe(bySignal);
    expect(() => stop.throwIfStopped()).toThrow(bySignal);
  });

  test("by its deadline, which is a timeout and no reason to end by itself", () => {
    using stop = stopper(new AbortController().signal, 90_000, realClock);
    vi.advanceTimersByTime(89_999);
    expect(stop.signal.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect(stop.signal.reason).toMatchObject({
      failure: { class: "timeout", message: "the deadline of 1m30s has passed" },
    });
    stop.throwIfStopped();
    stop.throwIfLost();
  });

  test("by a full disk", () => {
    using stop = stopper(new AbortController().signal, HOUR, realClock);
    stop.diskFull("0B free");
    expect(stop.signal.reason).toMatchObject({ failure: { class: "disk", message: "not pulled: 0B free" } });
    stop.throwIfLost();
  });

  test("by a disk that is broken, with what to do about it", () => {
    using stop = stopper(new AbortController().signal, HOUR, realClock);
    stop.diskFull("read-only file system", "read dmesg");
    expect(stop.signal.reason).toMatchObject({ failure: { class: "disk", next: "read dmesg" } });
  });

  test("by a containerd that does not come back, which has an exit code of its own", () => {
    using stop = stopper(new AbortController().signal, HOUR, realClock);
    const error = new ExitError(EXIT.runtimeNotReady, "did not answer");
    expect(() => stop.runtimeLost(error)).toThrow(
      expect.objectContaining({ failure: { class: "runtime", message: "did not answer" } }),
    );
    expect(stop.signal.reason).toMatchObject({ failure: { class: "runtime" } });
    expect(() => stop.throwIfLost()).toThrow(expect.objectContaining({ exitCode: EXIT.runtimeNotReady }));
  });

  test("only once: the first reason stays", () => {
    using stop = stopper(new AbortController().signal, HOUR, realClock);
    stop.diskFull("first");
    stop.diskFull("second");
    expect(stop.signal.reason).toMatchObject({ message: "not pulled: first" });
  });
});

test("a wait for containerd that the operator ended does not count as lost", () => {
  using stop = stopper(new AbortController().signal, HOUR, realClock);
  expect(() => stop.runtimeLost(bySignal)).toThrow(bySignal);
  expect(stop.signal.aborted).toBe(false);
  stop.throwIfLost();
});

test("a bug in a wait for containerd comes out as what it is", () => {
  using stop = stopper(new AbortController().signal, HOUR, realClock);
  expect(() => stop.runtimeLost(new TypeError("x"))).toThrow(TypeError);
});

test("a bug of ours ends everything else, and comes out", () => {
  using stop = stopper(new AbortController().signal, HOUR, realClock);
  expect(() => stop.crashed(new TypeError("x"))).toThrow(TypeError);
  expect(stop.signal.reason).toMatchObject({ failure: { class: "cancelled" } });
});

describe("calls that name, pin and prove what was pulled", () => {
  test("have a little longer than the deadline, and end with its reason", () => {
    using stop = stopper(new AbortController().signal, 90_000, realClock);
    vi.advanceTimersByTime(90_000 + WRAP_UP - 1);
    expect(stop.ended.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect(stop.ended.reason).toMatchObject({ failure: { class: "timeout" } });
  });

  test("have a little longer than the operator's signal, and end with its reason", () => {
    const outer = new AbortController();
    using stop = stopper(outer.signal, HOUR, realClock);
    vi.advanceTimersByTime(5_000);
    outer.abort(bySignal);
    expect(stop.ended.aborted).toBe(false);
    vi.advanceTimersByTime(WRAP_UP);
    expect(stop.ended.reason).toBe(bySignal);
  });

  test("have no longer when the signal came before the run began", () => {
    const outer = new AbortController();
    outer.abort(bySignal);
    using stop = stopper(outer.signal, HOUR, realClock);
    expect([stop.signal.reason, stop.ended.aborted]).toEqual([bySignal, false]);
    vi.advanceTimersByTime(WRAP_UP);
    expect(stop.ended.reason).toBe(bySignal);
  });

  test("are not ended by a full disk", () => {
    using stop = stopper(new AbortController().signal, HOUR, realClock);
    stop.diskFull("0B free");
    vi.advanceTimersByTime(WRAP_UP);
    expect(stop.ended.aborted).toBe(false);
  });
});

test("its timers are gone when it is over, and nothing is ended later", () => {
  const outer = new AbortController();
  const stop = stopper(outer.signal, 5_000, realClock);
  stop[Symbol.dispose]();
  expect(vi.getTimerCount()).toBe(0);
  outer.abort(bySignal);
  expect(vi.getTimerCount()).toBe(0);
});
