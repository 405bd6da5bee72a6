// Records as kubelet 1.37 writes them, held against names on a node.
import { expect, test } from "vitest";
import { type NameHere, refusedNames, refusedWarning } from "../../../src/core/kubelet-records.ts";
import { reference } from "../samples.ts";

const id = `sha256:${"a".repeat(64)}`;
const file = "/root/image_manager/pulled/sha256-1";

function here(name: string, imageId = id): NameHere {
  return { reference: reference(name), id: imageId };
}

const record = (credentialMapping: unknown, imageRef = id) => ({
  file,
  content: {
    kind: "ImagePulledRecord",
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    lastUpdatedTime: "2026-07-01T10:00:00Z",
    imageRef,
    credentialMapping,
  },
});
const open = { nodePodsAccessible: true };

const namesRefused = (mapping: unknown, ...names: string[]): string[] =>
  refusedNames(
    [record(mapping)],
    names.map((name) => here(name)),
  ).flatMap((image) => image.names);

test("a name of another repository than the kubelet pulled is refused, by tag and by digest", () => {
  const digest = `registry.k8s.io/app@sha256:${"b".repeat(64)}`;
  const names = ["harbor.example.com/team/app:1", "registry.k8s.io/app:1", digest];
  expect(namesRefused({ "harbor.example.com/team/app": open }, ...names)).toEqual([
    "registry.k8s.io/app:1",
    digest,
  ]);
});

test("another tag of the repository that the kubelet pulled is not refused", () => {
  expect(
    namesRefused({ "registry.k8s.io/app": open }, "registry.k8s.io/app:1", "registry.k8s.io/app:2"),
  ).toEqual([]);
});

test("a name that was pulled with a secret is not refused: pods with the secret may use it", () => {
  const secret = { uid: "1", namespace: "default", name: "pull", credentialHash: "c" };
  expect(
    namesRefused({ "harbor.example.com/app": { kubernetesSecrets: [secret] } }, "harbor.example.com/app:1"),
  ).toEqual([]);
});

test.each(["docker.io/library/debian", "library/debian", "debian", "docker.io/debian"])(
  "a name of Docker Hub counts as pulled when the kubelet pulled it as %s",
  (spelling) => {
    expect(namesRefused({ [spelling]: open }, "docker.io/library/debian:12")).toEqual([]);
  },
);

test("a repository of a user of Docker Hub has a short spelling too", () => {
  expect(namesRefused({ "grafana/loki": open }, "docker.io/grafana/loki:3")).toEqual([]);
});

test.each([{}, null, undefined])(
  "a record without repositories (%j) refuses every name of its image",
  (mapping) => {
    expect(namesRefused(mapping, "harbor.example.com/app:1")).toEqual(["harbor.example.com/app:1"]);
  },
);

test("images that the kubelet did not pull are not refused", () => {
  const other = `sha256:${"d".repeat(64)}`;
  expect(refusedNames([record({}, other)], [here("registry.k8s.io/app:1")])).toEqual([]);
});

test.each([undefined, null, "text", 1, [], { imageRef: 7 }, { imageRef: id, credentialMapping: "x" }])(
  "what is no record (%j) refuses nothing",
  (content) => {
    expect(refusedNames([{ file, content }], [here("registry.k8s.io/app:1")])).toEqual([]);
  },
);

test("the warning has the names and the way out", () => {
  const text = refusedWarning([{ file, names: ["registry.k8s.io/app:1", "registry.k8s.io/app:2"] }]);
  expect(text).toContain("refuse pods registry.k8s.io/app:1, registry.k8s.io/app:2, ");
  expect(text).toMatch(/delete \/root\/image_manager\/pulled\/sha256-1 and restart the kubelet$/u);
});

test("the warning counts what it leaves out", () => {
  const many = Array.from({ length: 12 }, (_, index) => ({ file: `f${index}`, names: [`n${index}`] }));
  const text = refusedWarning(many);
  expect(text).toContain("n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, 2 more,");
  expect(text).toContain("delete f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, 2 more and");
});

test("nothing refused gives no warning", () => {
  expect(refusedWarning([])).toBeUndefined();
});
