// The folders below the kubelet's root directory, as kubelet 1.37 fills them.
import { mkdirSync, utimesSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { readKubeletRecords } from "../../../src/run/kubelet-records.ts";
import { temporaryFolder } from "../folder.ts";

const folder = temporaryFolder();
const write = (kind: string, letter: string, text: string, seconds = 0): void => {
  const file = folder.write(`image_manager/${kind}/sha256-${letter.repeat(64)}`, text);
  utimesSync(file, new Date(), new Date(Date.now() - seconds * 1_000));
};
for (const kind of ["pulled", "pulling"]) {
  mkdirSync(path.join(folder.path, "image_manager", kind), { recursive: true });
}

test("reads what it pulled, and passes over what is being written and what is no JSON", async () => {
  write("pulled", "a", '{"imageRef":"sha256:1"}');
  write("pulled", "b", '{"imageRef":');
  folder.write(`image_manager/pulled/sha256-${"c".repeat(64)}.tmp`, '{"imageRef":"sha256:2"}');
  folder.write("image_manager/pulled/other", "{}");
  folder.write(`image_manager/pulled/.sha256-${"d".repeat(64)}`, '{"imageRef":"sha256:3"}');
  expect(await readKubeletRecords(folder.path, new Date())).toMatchObject({
    pulled: [{ imageRef: "sha256:1" }],
  });
});

test("of pulls that it has begun it reads those that have gone on for a minute", async () => {
  write("pulling", "a", '{"image":"registry.k8s.io/new:1"}', 50);
  write("pulling", "b", '{"image":"registry.k8s.io/old:1"}', 70);
  expect(await readKubeletRecords(folder.path, new Date())).toMatchObject({
    pulling: [{ image: "registry.k8s.io/old:1" }],
  });
});

test("finds nothing where the kubelet keeps no records", async () => {
  const found = await readKubeletRecords(path.join(folder.path, "elsewhere"), new Date());
  expect(found).toEqual({ pulled: [], pulling: [] });
});
