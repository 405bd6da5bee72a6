import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { counted, formatBytes, formatDuration, LONGEST_MS, parseDuration } from "../../../src/core/units.ts";

describe("a duration", () => {
  test.each([
    ["0s", 0],
    ["500ms", 500],
    ["60s", 60_000],
    ["1.5s", 1_500],
    ["1.25s", 1_250],
    ["2147483647ms", 2 ** 31 - 1],
    ["1h30m", 5_400_000],
    ["1h0m5s250ms", 3_605_250],
    ["30m", 1_800_000],
    ["596h", 2_145_600_000],
  ])("%s is %d ms", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each([
    "",
    "5",
    "s",
    "-5s",
    "+5s",
    "5 s",
    " 5s",
    "5s ",
    "5S",
    "5d",
    "1e3s",
    ".5s",
    "5.s",
    "5s\n",
    "597h",
    "2147483648ms",
    `${"9".repeat(400)}h`,
  ])("%j is none", (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });

  test("is never longer than a timer can wait", () => {
    const amount = fc.oneof(fc.nat(), fc.bigInt({ min: 0n, max: 10n ** 40n }));
    fc.assert(
      fc.property(amount, fc.constantFrom("ms", "s", "m", "h"), (value, unit) => {
        const ms = parseDuration(`${value}${unit}`);
        if (ms !== undefined) expect(ms).toBeLessThanOrEqual(LONGEST_MS);
      }),
    );
  });
});

test.each([
  [0, "0ms"],
  [850, "850ms"],
  [999.6, "1.0s"],
  [1_000, "1.0s"],
  [4_249, "4.2s"],
  [59_949, "59.9s"],
  [59_950, "1m00s"],
  [185_000, "3m05s"],
  [3_599_700, "1h00m"],
  [3_720_000, "1h02m"],
  [LONGEST_MS, "596h31m"],
])("%d ms are shown as %s", (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

test.each([
  [0, "0B"],
  [950, "950B"],
  [998.7, "999B"],
  [999.6, "1.00kB"],
  [1_000, "1.00kB"],
  [12_345_678, "12.3MB"],
  [999_400, "999kB"],
  [999_600, "1.00MB"],
  [999_999_999, "1.00GB"],
  [42_000_000_000, "42.0GB"],
  [1e15, "1000TB"],
  [5e15, "5000TB"],
  [0.4, "0B"],
])("%d bytes are shown as %s", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test.each([
  [0, "0 images"],
  [1, "1 image"],
  [2, "2 images"],
])("%d of something are counted as people do", (number, text) => {
  expect(counted(number, "image")).toBe(text);
});

test("sizes and times are never shown with an exponent", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e16, noNaN: true }), (value) => {
      expect(formatBytes(value)).toMatch(/^\d+(?:\.\d+)?(?:B|kB|MB|GB|TB)$/u);
      expect(formatDuration(value)).toMatch(/^(?:\d+(?:\.\d)?(?:ms|s)|\d+m\d\ds|\d+h\d\dm)$/u);
    }),
    { numRuns: 2_000 },
  );
});
