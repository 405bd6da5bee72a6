import { describe, expect, test } from "vitest";
import { CommandError } from "../../../src/containerd/command.ts";
import { toFailure } from "../../../src/run/tool-failure.ts";

const REFUSED =
  "failed to resolve image: unexpected status from HEAD request to http://r/v2/a/manifests/1: 401 Unauthorized";
const logged = (text: string): string =>
  `time="2026-01-01T00:00:00Z" level=fatal msg=${JSON.stringify(`pulling image: ${text}`)}`;

describe("a tool's failure", () => {
  test("is judged by what was said, whatever the mask made of it", () => {
    const raw = logged(REFUSED);
    const masked = raw.replaceAll("status", "[redacted]").replaceAll("401", "[redacted]");
    expect(toFailure(new CommandError(masked, raw, false))).toEqual({
      class: "auth",
      message: REFUSED.replace("status", "[redacted]").replace("401", "[redacted]"),
      evidence: masked,
    });
  });

  test("has no evidence beyond a message that is all of it", () => {
    const error = new CommandError("crictl was ended by SIGKILL", "", false);
    expect(toFailure(error)).toEqual({ class: "unknown", message: "crictl was ended by SIGKILL" });
  });

  test("that is no answer in time is the runtime's", () => {
    expect(toFailure(new CommandError("crictl did not answer in time", "", true)).class).toBe("runtime");
  });
});
