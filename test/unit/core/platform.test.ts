import { expect, test } from "vitest";
import { contradicts, rankOf } from "../../../src/core/platform.ts";

const AMD64 = { os: "linux", architecture: "amd64" };
const ARM64 = { os: "linux", architecture: "arm64" };
const linux = (architecture: string, variant = "") => ({ os: "linux", architecture, variant });

test.each([
  [AMD64, linux("amd64"), 0],
  [AMD64, linux("amd64", "v1"), 0],
  [AMD64, linux("amd64", "v2"), undefined],
  [AMD64, linux("X86_64"), 0],
  [AMD64, linux("x86-64"), 0],
  [AMD64, linux("amd64", "1"), undefined],
  [AMD64, linux("i386"), 1],
  [AMD64, linux("i386", "sse2"), 1],
  [AMD64, linux("386", "sse2"), undefined],
  [AMD64, linux("386"), 1],
  [AMD64, linux("arm64"), undefined],
  [AMD64, linux(""), undefined],
  [AMD64, { os: "", architecture: "amd64" }, 0],
  [AMD64, { os: "LINUX", architecture: "amd64" }, 0],
  [AMD64, { os: "windows", architecture: "amd64" }, undefined],
  [ARM64, linux("aarch64"), 0],
  [ARM64, linux("arm64", "v8"), 0],
  [ARM64, linux("arm64", "8"), 0],
  [ARM64, linux("arm", "v8"), 1],
  [ARM64, linux("armhf"), 2],
  [ARM64, linux("arm"), 2],
  [ARM64, linux("arm", "7"), 2],
  [ARM64, linux("armel"), 3],
  [ARM64, linux("arm", "v5"), 4],
  [linux("arm", "v10"), linux("arm", "10"), undefined],
  [linux("riscv64"), linux("riscv64"), 0],
  [linux("riscv64"), linux("amd64"), undefined],
])("on %j containerd ranks %j as %j", (node, platform, rank) => {
  expect(rankOf(platform, node)).toBe(rank);
});

test("what a platform leaves open is no contradiction", () => {
  expect(contradicts({ os: "", architecture: "" }, AMD64)).toBe(false);
  expect(contradicts(linux("amd64", "v3"), AMD64)).toBe(false);
  expect(contradicts(linux("arm64"), AMD64)).toBe(true);
});
