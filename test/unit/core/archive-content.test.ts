import { describe, expect, test } from "vitest";
import { damagedArchive, namesInArchive } from "../../../src/core/archive-content.ts";
import { digestOf } from "../samples.ts";

const APP = "docker.io/library/app:1";
const [TOP, CHILD, GONE, CONFIG] = ["a", "b", "c", "d"].map(digestOf) as [string, string, string, string];
const TAG = "org.opencontainers.image.ref.name";
const NAME = "io.containerd.image.name";
const at = (digest: string): string => `blobs/${digest.replace(":", "/")}`;

/** @param files texts, or values to write as JSON. Texts are their own digests. */
const read = (files: Readonly<Record<string, unknown>>) => {
  const texts = Object.entries(files).map(
    ([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)] as const,
  );
  const top = new Set(texts.map(([name]) => name.split("/", 1)[0] ?? ""));
  return namesInArchive({ documents: new Map(texts), top }, (text) => text);
};
const layout = (index: unknown, files: Readonly<Record<string, unknown>> = {}) =>
  read({ "oci-layout": "{}", "index.json": index, ...files });
const annotated = (annotations: object) => layout({ manifests: [{ digest: TOP, annotations }] });
const names = (found: ReturnType<typeof read>): unknown =>
  Array.isArray(found) ? found.map(({ name }) => name) : found.message;

describe("an OCI archive", () => {
  test.each([
    ["containerd's annotation", { [NAME]: APP, [TAG]: "1" }, [APP]],
    ["containerd's annotation, however short", { [NAME]: "app" }, ["app"]],
    ["a full name in the usual annotation", { [TAG]: APP }, [APP]],
    ["the usual annotation if containerd's is empty", { [NAME]: "", [TAG]: APP }, [APP]],
    ["nothing if that is a tag alone", { [TAG]: "latest" }, "the archive names no image"],
    ["nothing if both are empty", { [NAME]: "", [TAG]: "" }, "the archive names no image"],
  ])("has its names from %s", (_what, annotations, expected) => {
    expect(names(annotated(annotations))).toEqual(expected);
  });

  test("has the configs below each name, also of nested indexes, as far as their documents are in it", () => {
    const files = {
      [at(TOP)]: { manifests: [{ digest: GONE }, { digest: CHILD }] },
      [at(CHILD)]: { manifests: [{ digest: digestOf("e") }] },
      [at(digestOf("e"))]: { config: { digest: CONFIG } },
    };
    expect(layout({ manifests: [{ digest: TOP, annotations: { [NAME]: APP } }] }, files)).toEqual([
      { name: APP, digests: [TOP], ids: [CONFIG] },
    ]);
  });

  test("whose index contains itself is read to an end", () => {
    const itself = { [at(TOP)]: { manifests: [{ digest: TOP }] } };
    expect(layout({ manifests: [{ digest: TOP, annotations: { [NAME]: APP } }] }, itself)).toEqual([
      { name: APP, digests: [TOP], ids: [] },
    ]);
  });

  test.each([["{"], [{}], [{ manifests: [{}] }]])("with the index %j is damaged", (index) => {
    expect(layout(index)).toEqual(damagedArchive());
  });

  test("without an index is damaged", () => {
    expect(read({ "oci-layout": "{}" })).toEqual(damagedArchive());
  });
});

test("a docker archive has an id for each name whose config is in it", () => {
  const list = [
    { Config: "here.json", RepoTags: [APP] },
    { Config: "gone.json", RepoTags: ["r.one/b:1"] },
  ];
  expect(read({ "manifest.json": list, "here.json": "config" })).toEqual([
    { name: APP, digests: [], ids: ["config"] },
    { name: "r.one/b:1", digests: [], ids: [] },
  ]);
});

test.each(["a/b/oci-layout", "a/b/manifest.json", "a/oci-layout.txt", "a/manifest.json.gz", "a/x"])(
  "an archive with %s is not reported as one with its image in a folder",
  (name) => {
    expect(read({ [name]: "{}" })).toEqual(damagedArchive());
  },
);

test("the failure of a damaged archive has the reason, if there is one", () => {
  expect(damagedArchive().message).toBe("the archive is damaged, or is not a docker or OCI archive");
  expect(damagedArchive("it ends early").message).toBe(
    "the archive is damaged, or is not a docker or OCI archive (it ends early)",
  );
});
