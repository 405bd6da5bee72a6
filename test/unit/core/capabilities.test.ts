import { expect, test } from "vitest";
import {
  capabilitiesOf,
  parseVersion,
  takesCredentialsFromEnvironment,
} from "../../../src/core/capabilities.ts";

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

test.each([
  ["1.6.18", { pins: false, nodeWideDownloads: false, transferService: false }],
  ["1.6.20~ds1", { pins: false, nodeWideDownloads: false, transferService: false }],
  ["1.6.24", { pins: false, nodeWideDownloads: false, transferService: false }],
  ["1.6.25", { pins: true, nodeWideDownloads: false, transferService: false }],
  ["1.6.36", { pins: true, nodeWideDownloads: false, transferService: false }],
  ["1.7.0", { pins: false, nodeWideDownloads: false, transferService: false }],
  ["1.7.9", { pins: false, nodeWideDownloads: false, transferService: false }],
  ["1.7.10", { pins: true, nodeWideDownloads: false, transferService: false }],
  ["v1.7.35+vmware.1", { pins: true, nodeWideDownloads: false, transferService: false }],
  ["2.0.5", { pins: true, nodeWideDownloads: false, transferService: true }],
  ["2.1.0", { pins: true, nodeWideDownloads: true, transferService: true }],
  ["2.4.2", { pins: true, nodeWideDownloads: true, transferService: true }],
])("containerd %s can do %j", (text, expected) => {
  expect(capabilitiesOf(version(text))).toMatchObject(expected);
});

test("containerd is told by its version, without what a vendor adds", () => {
  expect(capabilitiesOf(version("v1.6.20~ds1")).containerd).toBe("1.6.20");
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
