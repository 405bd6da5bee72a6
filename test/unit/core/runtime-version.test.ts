import { describe, expect, test } from "vitest";
import {
  automaticConcurrency,
  canPin,
  hasNodeWideDownloadLimit,
  parseVersion,
  takesCredentialsFromEnvironment,
} from "../../../src/core/runtime-version.ts";

const version = (text: string) => {
  const parsed = parseVersion(text);
  if (parsed === undefined) throw new Error(`no version: ${text}`);
  return parsed;
};

test.each([
  ["v1.6.20~ds1", "1.6.20"],
  ["1.7.35", "1.7.35"],
  ["v2.4.2-dirty", "2.4.2"],
  ["crictl version v1.30.0", "1.30.0"],
  ["crictl version 1.23.0-4-gabcdef", "1.23.0"],
  ["v2.1.0-rc.1", "2.1.0"],
])("%s is read as %s", (text, expected) => {
  expect(parseVersion(text)?.version).toBe(expected);
});

test.each(["crictl version unknown", "", "unknown"])("%j is no version", (text) => {
  expect(parseVersion(text)).toBeUndefined();
});

describe.each([
  ["1.6.18", { nodeWide: false, pins: false }],
  ["1.6.20~ds1", { nodeWide: false, pins: false }],
  ["1.6.24", { nodeWide: false, pins: false }],
  ["1.6.25", { nodeWide: false, pins: true }],
  ["1.6.36", { nodeWide: false, pins: true }],
  ["1.7.0", { nodeWide: false, pins: false }],
  ["1.7.9", { nodeWide: false, pins: false }],
  ["1.7.10", { nodeWide: false, pins: true }],
  ["v1.7.35+vmware.1", { nodeWide: false, pins: true }],
  ["2.0.5", { nodeWide: false, pins: true }],
  ["2.1.0", { nodeWide: true, pins: true }],
  ["2.4.2", { nodeWide: true, pins: true }],
])("containerd %s", (text, expected) => {
  test(`pins: ${expected.pins}, one limit for the node: ${expected.nodeWide}`, () => {
    expect(canPin(version(text))).toBe(expected.pins);
    expect(hasNodeWideDownloadLimit(version(text))).toBe(expected.nodeWide);
  });
});

test.each([
  ["1.23.9", false],
  ["1.24.0", true],
  ["1.36.0", true],
])("crictl %s takes credentials from its environment: %s", (text, expected) => {
  expect(takesCredentialsFromEnvironment(version(text))).toBe(expected);
});

test("a crictl that does not know its version is taken to be recent", () => {
  expect(takesCredentialsFromEnvironment(undefined)).toBe(true);
});

test.each([
  ["1.7.35", 1, 4],
  ["1.7.35", 2, 4],
  ["1.7.35", 3, 6],
  ["1.7.35", 64, 8],
  ["2.4.2", 1, 4],
  ["2.4.2", 64, 4],
])("containerd %s on %d CPUs pulls %d images at once", (text, cpus, expected) => {
  expect(automaticConcurrency(version(text), cpus)).toBe(expected);
});
