import { describe, expect, test } from "vitest";
import { CommandError } from "../../../src/containerd/command.ts";
import { ApiError } from "../../../src/containerd/connection.ts";
import { CODE, Failed, nextStep } from "../../../src/core/failure.ts";
import { EXIT, ExitError } from "../../../src/exit.ts";
import { runtimeUnusable, toFailure } from "../../../src/run/tool-failure.ts";
import { toolError } from "../containerd/in-memory.ts";
import { TEXTS } from "./bench.ts";

const stopped = new Failed({ class: "cancelled", message: "stopped by SIGTERM" });

describe("what was thrown", () => {
  test.each(Object.entries(TEXTS))("by a tool has the class of its text: %s", (failureClass, text) => {
    expect(toFailure(toolError(text)).class).toBe(failureClass);
  });

  test("by a tool is judged by what was said, whatever the mask made of it", () => {
    const raw = `time="2026-01-01T00:00:00Z" level=fatal msg=${JSON.stringify(`pulling image: ${TEXTS.auth}`)}`;
    const masked = raw.replaceAll("status", "[redacted]").replaceAll("403", "[redacted]");
    expect(toFailure(new CommandError(masked, raw, false))).toMatchObject({
      class: "auth",
      message: TEXTS.auth.replace("status", "[redacted]").replace("403", "[redacted]"),
      evidence: masked,
    });
  });

  test("by a tool has no evidence beyond a message that is all of it", () => {
    const error = new CommandError("crictl was ended by SIGKILL", "", false);
    expect(toFailure(error)).toEqual({
      class: "unknown",
      message: "crictl was ended by SIGKILL",
      next: nextStep("unknown"),
    });
  });

  test("that nobody knows is told in full, with what was being done", () => {
    const long = "it is as it is, and ".repeat(100);
    const said = toFailure(toolError(`failed to extract layer sha256:0: ${long}so on`));
    expect(said.message).toMatch(/so on$/u);
    expect(said.next).toMatch(/^containerd was unpacking: look at .*report it/u);
  });

  test("by a tool that had no answer in its own time means containerd", () => {
    expect(toFailure(new CommandError("ctr did not answer in time", TEXTS.auth, true)).class).toBe("runtime");
  });

  test.each([
    [CODE.unavailable, "runtime"],
    [CODE.deadlineExceeded, "runtime"],
    [CODE.cancelled, "cancelled"],
    [CODE.notFound, "unknown"],
    [13, "unknown"],
  ])("by the API with code %i is %s", (code, failureClass) => {
    expect(toFailure(new ApiError(code, "containerd: no"))).toEqual({
      class: failureClass,
      message: "containerd: no",
    });
  });

  test("by the API of a full disk is that, whatever its code", () => {
    expect(toFailure(new ApiError(2, "containerd: write meta.db: no space left on device")).class).toBe(
      "disk",
    );
  });

  test("by a tool passes on what its text entails", () => {
    const said = toFailure(toolError("failed to fetch oauth token: unexpected status: 401 Unauthorized"));
    expect(said).toMatchObject({ class: "auth", refused: "login" });
  });

  test("because we ended it is what we ended it for, whoever threw what", () => {
    const ended = { class: "cancelled", message: "stopped by SIGTERM" };
    expect(toFailure(stopped)).toEqual(ended);
    expect(toFailure(toolError("crictl was ended by SIGTERM"), AbortSignal.abort(stopped))).toEqual(ended);
    expect(toFailure(new ApiError(CODE.cancelled, "x"), AbortSignal.abort(stopped))).toEqual(ended);
  });

  test("is its own where our signal has not come", () => {
    expect(toFailure(toolError(TEXTS.auth), new AbortController().signal).class).toBe("auth");
  });

  test("by a tool is told in full only where nobody knows it", () => {
    const long = " x".repeat(2_000);
    expect(toFailure(toolError(`nobody knows${long}`)).message).toHaveLength(4_012);
    expect(toFailure(toolError(`copy${long} ${TEXTS.disk}`)).message.length).toBeLessThan(700);
  });

  test("and is neither is a bug, which goes on", () => {
    expect(() => toFailure(new TypeError("x"))).toThrow(TypeError);
  });
});

test("where no image can be blamed a failed call ends the run, and all else stays what it is", () => {
  for (const error of [toolError("no"), new ApiError(CODE.notFound, "no")]) {
    const made = runtimeUnusable(error);
    expect(made).toBeInstanceOf(ExitError);
    expect(made).toMatchObject({
      exitCode: EXIT.runtimeNotReady,
      message: expect.stringMatching(/^container runtime not usable: (?:containerd: )?no\b/u),
    });
  }
  expect(runtimeUnusable(stopped)).toBe(stopped);
  expect(runtimeUnusable(new ApiError(CODE.notFound, "no"))).toMatchObject({
    message: expect.stringMatching(/no$/u),
  });
});
