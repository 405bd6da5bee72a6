import { describe, expect, test } from "vitest";
import {
  archivedImages,
  isNameless,
  planArchive,
  withArchived,
  type RecordedArchive,
} from "../../../src/core/archives.ts";
import { served } from "../containerd/served-image.ts";
import { failure, nodeOf, reference, wanted } from "../samples.ts";

const APP = "docker.io/library/app:1";
const [ONE, TWO] = [served("one"), served("two")];
const archive = { path: "/x.tar", required: false, pin: false, timeout: 7_000 };
const file = { size: 10, mtimeMs: 20, ctimeMs: 30 };
const known: RecordedArchive = { ...file, names: { [APP]: ONE.target.digest } };
const there = nodeOf({ [APP]: ONE });

describe("an archive", () => {
  test("that was never imported is imported", () => {
    expect(planArchive(archive, file, undefined, there)).toMatchObject({
      action: "import",
      why: "not imported yet",
      names: [],
    });
  });

  test("that is unchanged and whose images are there is kept", () => {
    expect(planArchive(archive, file, known, there)).toMatchObject({
      action: "keep",
      why: "unchanged",
      names: [APP],
    });
  });

  test.each(["size", "mtimeMs", "ctimeMs"] as const)("whose %s is another has changed", (fact) => {
    expect(planArchive(archive, { ...file, [fact]: 99 }, known, there)).toMatchObject({
      action: "import",
      why: "the file has changed",
    });
  });

  test.each([
    ["is gone", nodeOf({})],
    ["leads to another image", nodeOf({ [APP]: TWO })],
    ["is damaged", { ...there, documents: new Map() }],
  ])("whose image %s is imported again, and the plan says which", (_what, node) => {
    expect(planArchive(archive, file, known, node)).toMatchObject({
      action: "import",
      why: `${APP} is not what it brought`,
    });
  });

  test("that cannot be read fails, and what it brought and is still there stays wanted", () => {
    const missing = failure("not-found", "the archive does not exist");
    expect(planArchive(archive, missing, known, there)).toEqual({
      archive,
      action: "fail",
      failure: missing,
      why: "the archive does not exist",
      names: [APP],
    });
    expect(planArchive(archive, missing, known, nodeOf({}))).toMatchObject({ action: "fail", names: [] });
  });
});

test("what an archive holds is wanted as the archive is, and never for freshness", () => {
  expect(archivedImages(["busybox:1", "No Name"], archive)).toEqual([
    {
      source: reference("busybox:1"),
      furtherNames: [],
      pullPolicy: "IfNotPresent",
      required: false,
      pin: false,
      timeout: 7_000,
    },
  ]);
});

test("an image that the list names, also as a further name, is the list's, and one in two archives is one", () => {
  const listed = [wanted("a.b/c:1", { furtherNames: [reference("x.y/z:1")] })];
  const archived = ["a.b/c:1", "x.y/z:1", "app:1", "app:1"].map((name) => wanted(name));
  expect(withArchived(listed, archived).map(({ source }) => source.name)).toEqual(["a.b/c:1", APP]);
});

test.each([
  ["import-2026-01-31:latest", true],
  ["import-2026-01-31@sha256:0", true],
  ["docker.io/library/import-2026-01-31:1", false],
  ["import-app:1", false],
])("%s is ctr's word for no name: %s", (name, expected) => {
  expect(isNameless(name)).toBe(expected);
});
