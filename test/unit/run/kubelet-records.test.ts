// The folder below the kubelet's root directory, as kubelet 1.37 fills it.
import { mkdirSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { readPulledRecords } from "../../../src/run/kubelet-records.ts";
import { temporaryFolder } from "../folder.ts";

const folder = temporaryFolder();
const name = (letter: string): string => `image_manager/pulled/sha256-${letter.repeat(64)}`;
mkdirSync(path.join(folder.path, "image_manager/pulled"), { recursive: true });

test("reads each record, and passes over what is being written and what is no JSON", async () => {
  const whole = folder.write(name("a"), '{"imageRef":"sha256:1"}');
  const half = folder.write(name("b"), '{"imageRef":');
  folder.write(`${name("c")}.tmp`, '{"imageRef":"sha256:2"}');
  folder.write("image_manager/pulled/other", "{}");
  expect(await readPulledRecords(folder.path)).toEqual([
    { file: whole, content: { imageRef: "sha256:1" } },
    { file: half, content: undefined },
  ]);
});

test("finds nothing where the kubelet keeps no records", async () => {
  expect(await readPulledRecords(path.join(folder.path, "elsewhere"))).toEqual([]);
});
