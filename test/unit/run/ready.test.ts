import { SemVer } from "semver";
import { describe, expect, test } from "vitest";
import { EXIT } from "../../../src/exit.ts";
import { Interruption } from "../../../src/run/interruption.ts";
import { requireTools, waitUntilReady } from "../../../src/run/ready.ts";
import { temporaryFolder } from "../folder.ts";

const folder = temporaryFolder();
const TOOL = folder.write("tool", "#!/bin/sh\n", 0o755);
const PLAIN = folder.write("plain", "no program");
const config = { crictl: TOOL, ctr: TOOL, socket: "/c.sock", namespace: "k8s.io", readyTimeout: 10_000 };
const VERSION = new SemVer("1.7.35");
const never = new AbortController().signal;

describe("tools", () => {
  test("that are there are enough", () => {
    expect(() => requireTools(config)).not.toThrow();
  });

  test("that are missing are all told at once, each with its path and property", () => {
    expect(() => requireTools({ ...config, crictl: "/nowhere/crictl", ctr: PLAIN })).toThrow(
      expect.objectContaining({
        exitCode: EXIT.runtimeNotReady,
        message:
          "container runtime not usable: crictl is not an executable at /nowhere/crictl (property containerd.crictl); " +
          `ctr is not an executable at ${PLAIN} (property containerd.ctr)`,
      }),
    );
  });
});

/** containerd answers from the nth question on. */
function answersAt(question: number) {
  let asked = 0;
  return {
    asked: () => asked,
    version: async () => {
      asked += 1;
      if (asked < question) throw new Error("no such file or directory");
      return VERSION;
    },
  };
}

describe("containerd", () => {
  test("that answers is ready without a word", async () => {
    let waits = 0;
    expect(await waitUntilReady(answersAt(1), config, never, () => (waits += 1))).toBe(VERSION);
    expect(waits).toBe(0);
  });

  test("that does not answer yet is asked again, and the wait is told once", async () => {
    let waits = 0;
    const runtime = answersAt(3);
    expect(await waitUntilReady(runtime, config, never, () => (waits += 1))).toBe(VERSION);
    expect([waits, runtime.asked()]).toEqual([1, 3]);
  });

  test("that never answers ends it, with what was said last and the setting", async () => {
    const wait = waitUntilReady(answersAt(Infinity), { ...config, readyTimeout: 300 }, never, () => {});
    await expect(wait).rejects.toMatchObject({
      exitCode: EXIT.runtimeNotReady,
      message:
        "container runtime not ready: containerd at /c.sock did not answer within 300ms (property containerd.ready_timeout). Last answer: no such file or directory",
    });
  });

  test("that hangs is given up as well", async () => {
    const hangs = {
      version: (signal: AbortSignal) =>
        new Promise<SemVer>((_resolve, reject) => {
          signal.addEventListener("abort", () => reject(new Error("hung")), { once: true });
        }),
    };
    const wait = waitUntilReady(hangs, { ...config, readyTimeout: 50 }, never, () => {});
    await expect(wait).rejects.toMatchObject({ exitCode: EXIT.runtimeNotReady });
  });

  test("is not waited for after a signal, whose reason comes out", async () => {
    const stop = new AbortController();
    const reason = new Interruption({ class: "cancelled", message: "stopped by SIGTERM" });
    const wait = waitUntilReady(answersAt(Infinity), config, stop.signal, () => stop.abort(reason));
    await expect(wait).rejects.toBe(reason);
  });
});
