import { describe, expect, test } from "vitest";
import { EXIT, ExitError } from "../../../src/exit.ts";
import { Interruption } from "../../../src/run/interruption.ts";
import { stopper } from "../../../src/run/stopper.ts";

const HOUR = 3_600_000;
const bySignal = new Interruption({ class: "cancelled", message: "stopped by SIGTERM" });

describe("a run is stopped", () => {
  test("by the operator, with the operator's reason, and has to end with it", () => {
    const outer = new AbortController();
    using stop = stopper(outer.signal, HOUR);
    expect(stop.signal.aborted).toBe(false);
    stop.throwIfStopped();
    outer.abort(bySignal);
    expect(stop.signal.reason).toBe(bySignal);
    expect(() => stop.throwIfStopped()).toThrow(bySignal);
  });

  test("by its deadline, which is a timeout and no reason to end by itself", async () => {
    using stop = stopper(new AbortController().signal, 10);
    await expect.poll(() => stop.signal.aborted).toBe(true);
    expect(stop.signal.reason).toMatchObject({ class: "timeout", message: "the deadline of 10ms is over" });
    stop.throwIfStopped();
    stop.throwIfLost();
  });

  test("by a full disk", () => {
    using stop = stopper(new AbortController().signal, HOUR);
    stop.diskFull("0B free");
    expect(stop.signal.reason).toMatchObject({ class: "disk", message: "not pulled: 0B free" });
    stop.throwIfLost();
  });

  test("by a containerd that does not come back, which has an exit code of its own", () => {
    using stop = stopper(new AbortController().signal, HOUR);
    const error = new ExitError(EXIT.runtimeNotReady, "did not answer");
    expect(() => stop.runtimeLost(error)).toThrow(
      expect.objectContaining({ class: "runtime", message: "did not answer" }),
    );
    expect(stop.signal.reason).toMatchObject({ class: "runtime" });
    expect(() => stop.throwIfLost()).toThrow(expect.objectContaining({ exitCode: EXIT.runtimeNotReady }));
  });

  test("only once: the first reason stays", () => {
    using stop = stopper(new AbortController().signal, HOUR);
    stop.diskFull("first");
    stop.diskFull("second");
    expect(stop.signal.reason).toMatchObject({ message: "not pulled: first" });
  });
});

test("a wait for containerd that the operator ended does not count as lost", () => {
  using stop = stopper(new AbortController().signal, HOUR);
  expect(() => stop.runtimeLost(bySignal)).toThrow(bySignal);
  expect(stop.signal.aborted).toBe(false);
  stop.throwIfLost();
});

test("a bug in a wait for containerd comes out as what it is", () => {
  using stop = stopper(new AbortController().signal, HOUR);
  expect(() => stop.runtimeLost(new TypeError("x"))).toThrow(TypeError);
});

test("its deadline is no more when it is over", async () => {
  const stop = stopper(new AbortController().signal, 5);
  stop[Symbol.dispose]();
  const later = new AbortController();
  setTimeout(() => later.abort(), 20);
  await expect.poll(() => later.signal.aborted).toBe(true);
  expect(stop.signal.aborted).toBe(false);
});
