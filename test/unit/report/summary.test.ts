import { describe, expect, test } from "vitest";
import type { ImageState, StepFailure } from "../../../src/core/run-state.ts";
import { reason } from "../../../src/report/failures.ts";
import { summary } from "../../../src/report/summary.ts";
import { shortDigest, shortName } from "../../../src/report/table.ts";
import { digestOf } from "../samples.ts";
import { ended, image } from "./states.ts";

const why: StepFailure = {
  class: "network",
  message: "connection\nrefused",
  step: "pull",
  next: "check the route",
};
const failed = (
  name: string,
  overrides: Partial<Extract<ImageState, { phase: "failed" }>> = {},
): ImageState => image(name, { phase: "failed", attempts: 3, failure: why, ...overrides });

describe("the summary", () => {
  test("begins with what failed, why, and what to do next", () => {
    const lines = summary(ended([image("a.b/ok:1"), failed("a.b/bad:1")])).split("\n");
    expect(lines.slice(0, 3)).toEqual([
      "FAILED a.b/bad:1 in pull: network, after 3 attempts",
      "  why:  connection refused",
      "  next: check the route",
    ]);
  });

  test("says of an image that it was not required, and counts one attempt as one", () => {
    const text = summary(ended([failed("a.b/bad:1", { required: false, attempts: 1 })]));
    expect(text).toContain("FAILED a.b/bad:1 in pull: network, after 1 attempt (not required)");
  });

  test("shows what is in place, what this run brought before what was there, further names below", () => {
    const verified = { id: digestOf("a"), size: 12_300_000, pinned: true };
    const images = [
      image("a.b/old:1", { ...verified, digest: digestOf("b") }),
      image("a.b/new:1", {
        ...verified,
        names: ["a.b/new:1", "x.y/new:1"],
        phase: "pulled",
        pinned: false,
        startedAt: 0,
        endedAt: 4_200,
      }),
    ];
    expect(summary(ended(images)).split("\n")).toEqual([
      "RESULT   DIGEST        PINNED    SIZE  TIME  IMAGE",
      "pulled   aaaaaaaaaaaa  no      12.3MB  4.2s  a.b/new:1",
      "                                             = x.y/new:1",
      "present  bbbbbbbbbbbb  yes     12.3MB        a.b/old:1",
      "2 images: 1 pulled, 1 present in 1m00s",
    ]);
  });

  test("ends with one line that counts everything", () => {
    const images = [
      image("a.b/p:1"),
      image("a.b/q:1", { phase: "pulled" }),
      image("a.b/i:1", { phase: "imported" }),
      image("a.b/k:1", { phase: "kept" }),
      image("a.b/w:1", { phase: "retrying" }),
      failed("a.b/f:1"),
    ];
    const text = summary(ended(images, { unpinned: ["x.y/z:1", "x.y/z:2"] }));
    expect(text.split("\n").at(-1)).toBe(
      "6 images: 1 pulled, 1 imported, 1 present, 1 kept, 1 failed, 1 not finished, 2 unpinned in 1m00s",
    );
  });

  test("of no images is that one line", () => {
    expect(summary(ended([]))).toBe("0 images: 0 pulled, 0 present in 1m00s");
  });

  test("tells a next step once for all that need it, the rare failure beside the many", () => {
    const login: StepFailure = { ...why, class: "auth", message: "401", next: "check the password" };
    const images = [
      failed("a.b/x:1", { required: false }),
      failed("a.b/locked:1", { failure: login }),
      failed("a.b/y:1"),
    ];
    expect(summary(ended(images)).split("\n").slice(0, -1)).toEqual([
      "FAILED a.b/locked:1 in pull: auth, after 3 attempts",
      "  why:  401",
      "  next: check the password",
      "",
      "FAILED a.b/y:1 in pull: network, after 3 attempts",
      "  why:  connection refused",
      "FAILED a.b/x:1 in pull: network, after 3 attempts (not required)",
      "  why:  connection refused",
      "  next, for these 2: check the route",
      "",
    ]);
  });

  test("does not repeat the name in the reason, as containerd does", () => {
    const message = 'failed to resolve reference "a.b/bad:1": a.b/bad:1: not found';
    const text = summary(ended([failed("a.b/bad:1", { failure: { ...why, message } })]));
    expect(text).toContain("\n  why:  a.b/bad:1: not found\n");
  });

  test("gives each kind of failure its share when there are too many to tell", () => {
    const login: StepFailure = { ...why, class: "auth", next: "check the password" };
    const many = Array.from({ length: 40 }, (_, n) => failed(`a.b/bad-${n}:1`));
    const text = summary(ended([...many, failed("a.b/locked:1", { failure: login })]));
    expect(text.match(/^FAILED a\.b\/bad/gmu)).toHaveLength(15);
    expect(text).toContain("… and 25 more failed in pull (network); import-images status --json lists all");
    expect(text).toContain("FAILED a.b/locked:1 in pull: auth");
  });

  test("of a long list leaves out what was there already", () => {
    const images = Array.from({ length: 200 }, (_, n) =>
      image(`a.b/image-${n}:1`, n === 7 ? { phase: "pulled" } : {}),
    );
    expect(summary(ended(images)).split("\n")).toEqual([
      "RESULT  DIGEST        PINNED    SIZE  IMAGE",
      "pulled  aaaaaaaaaaaa  yes     1.00kB  a.b/image-7:1",
      "… and 199 more in place; import-images status --json lists all",
      "200 images: 1 pulled, 199 present in 1m00s",
    ]);
  });

  test("of a thousand images stays under 192 KiB, whatever came of them", () => {
    const images = Array.from({ length: 1_000 }, (_, n) => {
      const name = `harbor.some-longer-name.example.com/project/team/application-${n}:2025.01.02-build.${n}`;
      const names = [name, name.replace("harbor", "docker")];
      return n < 400
        ? failed(name, { failure: { ...why, message: "x".repeat(600), next: `${"y".repeat(150)} ${n % 9}` } })
        : image(name, { names, phase: n % 2 === 0 ? "pulled" : "present", id: digestOf("a"), size: n * 1e6 });
    });
    const text = summary(ended(images));
    expect(Buffer.byteLength(text)).toBeLessThan(192 * 1_024);
    expect(text).toContain("… and 500 more in place");
  });
});

describe("the reason", () => {
  test("is none when nothing failed", () => {
    expect(reason(ended([image("a.b/ok:1")]))).toBeUndefined();
  });

  test("is one line: what failed, where, why, and what to do next", () => {
    expect(reason(ended([failed("a.b/bad:1")]))).toBe(
      "a.b/bad:1 failed in pull (network): connection refused — next: check the route",
    );
  });

  test("is of a required image first, and names all that failed for the same reason", () => {
    const images = [failed("a.b/loose:1", { required: false }), failed("a.b/bad:1"), failed("a.b/worse:1")];
    expect(reason(ended(images))).toBe(
      "3 of 3 images failed: a.b/bad:1, a.b/worse:1, a.b/loose:1 failed in pull (network): connection refused — next: check the route",
    );
  });

  test("claims no reason for an image that failed for another, though its next step is the same", () => {
    const images = [
      failed("a.b/bad:1"),
      failed("a.b/worse:1", { failure: { ...why, message: "no route to host" } }),
      failed("a.b/worst:1", { failure: { ...why, class: "server", message: "503" } }),
      image("a.b/left:1", { phase: "retrying", failure: why }),
    ];
    expect(reason(ended(images))).toBe(
      "4 of 4 images failed: a.b/bad:1 failed in pull (network): connection refused, " +
        "and a.b/worse:1 failed in pull (network), and a.b/worst:1 failed in pull (server), " +
        "and a.b/left:1 not finished — next: check the route",
    );
  });

  test("has the next step of each kind of failure", () => {
    const login: StepFailure = { ...why, class: "auth", message: "401", next: "check the password" };
    const images = [failed("a.b/bad:1"), failed("a.b/locked:1", { failure: login }), image("a.b/ok:1")];
    expect(reason(ended(images))).toBe(
      "2 of 3 images failed: a.b/bad:1 failed in pull (network): connection refused — next: check the route; a.b/locked:1 failed in pull (auth) — next: check the password",
    );
  });

  test("of a thousand failures is still a line that can be read", () => {
    const images = Array.from({ length: 1_000 }, (_, n) => failed(`a.b/bad-${n}:1`));
    const line = reason(ended(images)) ?? "";
    expect(line).not.toContain("\n");
    expect(line).toContain("and 995 more");
    expect(line.length).toBeLessThan(500);
  });

  test("of a run that ended before its work was done is why", () => {
    const stopped = "stopped by SIGTERM: run again";
    expect(reason(ended([failed("a.b/bad:1")], { stopped }))).toBe(stopped);
  });
});

test("control characters of others are seen in the summary and the reason, which keep their blanks", () => {
  const failure: StepFailure = { ...why, message: "\u001B[2J\u202Eevil" };
  const state = ended([failed("a.b/bad:1", { failure })]);
  expect(summary(state)).toContain(`\n  why:  ${String.raw`\x1b[2J\u202eevil`}\n`);
  expect(reason(state)).toContain(String.raw`: \x1b[2J\u202eevil — next: `);
});

test("digests are cut to what tells them apart", () => {
  expect(shortDigest(digestOf("a"))).toBe("aaaaaaaaaaaa");
  expect(shortDigest(undefined)).toBe("");
  expect(shortName(`a.b/c@${digestOf("a")}`)).toBe("a.b/c@sha256:aaaaaaaaaaaa…");
  expect(shortName("a.b/c:1")).toBe("a.b/c:1");
});
