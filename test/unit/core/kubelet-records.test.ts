// Records as kubelet 1.37 writes them, held against names on a node.
import { expect, test } from "vitest";
import {
  type NameHere,
  namesHere,
  refusedNames,
  refusedWarnings,
} from "../../../src/core/kubelet-records.ts";
import { ARM, served } from "../containerd/served-image.ts";
import { nodeOf, reference, wanted } from "../samples.ts";

const id = `sha256:${"a".repeat(64)}`;

function here(name: string, imageId = id): NameHere {
  return { reference: reference(name), id: imageId };
}

const apiVersion = "kubelet.config.k8s.io/v1beta1";
const record = (credentialMapping: unknown, imageRef = id) => ({
  kind: "ImagePulledRecord",
  apiVersion,
  lastUpdatedTime: "2026-07-01T10:00:00Z",
  imageRef,
  credentialMapping,
});
const intent = (image: string) => ({ kind: "ImagePullIntent", apiVersion, image });
const open = { nodePodsAccessible: true };

const refusedBy = (mapping: unknown, ...names: string[]) =>
  refusedNames(
    { pulled: [record(mapping)], pulling: [] },
    names.map((name) => here(name)),
  );
const namesRefused = (mapping: unknown, ...names: string[]): string[] => {
  const { otherName, unfinished } = refusedBy(mapping, ...names);
  return [...otherName, ...unfinished];
};

test("a name of another repository than the kubelet pulled is refused, by tag and by digest", () => {
  const digest = `registry.k8s.io/app@sha256:${"b".repeat(64)}`;
  const names = ["harbor.example.com/team/app:1", "registry.k8s.io/app:1", digest];
  expect(refusedBy({ "harbor.example.com/team/app": open }, ...names)).toEqual({
    otherName: ["registry.k8s.io/app:1", digest],
    unfinished: [],
  });
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

test.each([
  ["registry.k8s.io/app:1", "app"],
  ["docker.io/x/library/app:1", "x/app"],
])("%s does not count as pulled when the kubelet pulled %s", (name, spelling) => {
  expect(namesRefused({ [spelling]: open }, name)).toEqual([name]);
});

test("a repository of a user of Docker Hub has a short spelling too", () => {
  expect(namesRefused({ "grafana/loki": open }, "docker.io/grafana/loki:3")).toEqual([]);
});

test.each([{}, null, undefined, { "harbor.example.com/app": {} }, { "harbor.example.com/app": null }])(
  "a record that opens no repository (%j) is of an unfinished pull, and refuses every name of its image",
  (mapping) => {
    const names = ["harbor.example.com/app:1", "registry.k8s.io/app:1"];
    expect(refusedBy(mapping, ...names)).toEqual({ otherName: [], unfinished: names });
  },
);

test("images that the kubelet did not pull are not refused", () => {
  const other = `sha256:${"d".repeat(64)}`;
  const records = { pulled: [record({}, other)], pulling: [] };
  expect(refusedNames(records, [here("registry.k8s.io/app:1")])).toEqual({ otherName: [], unfinished: [] });
});

test.each(["registry.k8s.io/app:1", "debian-base:v2"])(
  "a pull of %s that the kubelet has not finished refuses that name, and no other of its image",
  (image) => {
    const names = [here("registry.k8s.io/app:1"), here("docker.io/library/debian-base:v2")];
    const { otherName, unfinished } = refusedNames({ pulled: [], pulling: [intent(image)] }, names);
    expect(otherName).toEqual([]);
    expect(unfinished).toEqual([reference(image).name]);
  },
);

test("where the kubelet has a record of the image, an unfinished pull of it changes nothing", () => {
  const name = "registry.k8s.io/app:1";
  const records = { pulled: [record({ "registry.k8s.io/app": open })], pulling: [intent(name)] };
  expect(refusedNames(records, [here(name)])).toEqual({ otherName: [], unfinished: [] });
});

test.each([
  undefined,
  null,
  "text",
  1,
  [],
  { imageRef: 7 },
  { imageRef: id, credentialMapping: "x" },
  { imageRef: id, credentialMapping: { "registry.k8s.io/app": "x" } },
  { image: "Not A Name" },
])("what is no record (%j) refuses nothing", (content) => {
  const records = { pulled: [content], pulling: [content] };
  expect(refusedNames(records, [here("registry.k8s.io/app:1")])).toEqual({ otherName: [], unfinished: [] });
});

const wayOut =
  /: stop the kubelet, empty \/root\/image_manager\/pulled and \/root\/image_manager\/pulling, and start it$/u;

test("each reason has a warning, with its names and the way out", () => {
  const names = ["registry.k8s.io/app:1", "registry.k8s.io/app:2"];
  const [other = "", unfinished = ""] = refusedWarnings("/root", {
    otherName: names,
    unfinished: ["a.b/c:1"],
  });
  expect(other).toContain("refuse to start pods that use registry.k8s.io/app:1, registry.k8s.io/app:2, ");
  expect(other).toContain("under another name");
  expect(unfinished).toContain("refuse to start pods that use a.b/c:1, ");
  expect(unfinished).toContain("has not finished");
  expect([other, unfinished]).toEqual([expect.stringMatching(wayOut), expect.stringMatching(wayOut)]);
});

test("the warning tells a name once, and counts what it leaves out", () => {
  const many = Array.from({ length: 12 }, (_, index) => `n${index}`);
  const warning = (names: readonly string[]): string | undefined =>
    refusedWarnings("/root", { otherName: names, unfinished: [] })[0];
  expect(warning([...many, "n0"])).toContain("n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, 2 more, or pull");
  expect(warning(many.slice(0, 10))).toContain("n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, or pull");
});

test("the names that count are those that are usable here, with the ids of their images", () => {
  const [one, further] = ["r.one/a:1", "r.one/further:1"];
  const image = wanted(one, { furtherNames: [reference(further)] });
  const node = nodeOf({ [one]: served("one"), [further]: served("arm", { platform: ARM }) });
  expect(namesHere([image, wanted("r.one/absent:1")], node)).toEqual([here(one, served("one").id)]);
});

test("nothing refused gives no warning", () => {
  expect(refusedWarnings("/root", { otherName: [], unfinished: [] })).toEqual([]);
});
