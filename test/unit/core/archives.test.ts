import { describe, expect, test } from "vitest";
import {
  expectedOutcome,
  fullName,
  isFromImport,
  mergeArchives,
  whyImport,
  withArchiveImages,
  withConflicts,
  type ArchiveOutcome,
  type ImportedNames,
  type PlannedArchive,
  type RecordedArchive,
} from "../../../src/core/archives.ts";
import type { WantedImage } from "../../../src/core/plan.ts";
import { served } from "../containerd/served-image.ts";
import { nodeOf, reference, wanted } from "../samples.ts";

const APP = "docker.io/library/app:1";
const [ONE, TWO] = [served("one"), served("two")];
const archive = { path: "/x.tar", required: false, mustMatch: false, pin: false, timeout: 7_000 };
const file = { size: 10, mtimeMs: 20, ctimeMs: 30 };
const known: RecordedArchive = { ...file, names: { [APP]: ONE.target.digest } };
const there = nodeOf({ [APP]: ONE });

describe("an archive is imported", () => {
  test("when it never was", () => {
    expect(whyImport(file, undefined, there)).toBe("not imported yet");
  });

  test("not while it is unchanged and its images are there", () => {
    expect(whyImport(file, known, there)).toBeUndefined();
  });

  test.each(["size", "mtimeMs", "ctimeMs"] as const)("when its %s is another", (fact) => {
    expect(whyImport({ ...file, [fact]: 99 }, known, there)).toBe("the file has changed");
  });

  test.each([
    ["is gone", nodeOf({}), "is gone"],
    ["points to another image", nodeOf({ [APP]: TWO }), "is another image, or damaged"],
    ["is damaged", { ...there, documents: new Map() }, "is another image, or damaged"],
  ])("when an image of it %s, and the plan says which", (_what, node, why) => {
    expect(whyImport(file, known, node)).toBe(`${APP} ${why}`);
  });
});

const plan = (path: string, more: Partial<PlannedArchive>, names: ImportedNames = {}): PlannedArchive =>
  ({ archive: { ...archive, path }, why: "", names, file, ...more }) as PlannedArchive;
const toImport = (path: string, ...contents: readonly [name: string, image: typeof ONE][]): PlannedArchive =>
  plan(path, {
    action: "import",
    contents: contents.map(([name, { id }]) => ({ name, digests: [], ids: [id] })),
  });
const failures = (planned: readonly PlannedArchive[], listed: readonly WantedImage[], node = nodeOf({})) =>
  withConflicts(planned, listed, node).map((each) =>
    each.action === "fail" ? each.failure.message : each.action,
  );
const taken = (owner: string): string =>
  `the archive names an image ${APP}, which is also a name of ${owner}: one of them would take it from the other in every run`;

describe("a name belongs to one image", () => {
  const further = wanted("r.one/a:1", { furtherNames: [reference("app:1")] });

  test("an archive that holds a further name of the list fails, whatever stands there now", () => {
    const kept = plan("/k.tar", { action: "keep" }, known.names);
    expect(failures([toImport("/x.tar", ["app:1", ONE]), kept], [further], there)).toEqual(
      Array.from({ length: 2 }, () => taken("r.one/a:1 in images[]")),
    );
  });

  test("so does one with a source that is always pulled, but with no other", () => {
    const fails = [taken(`${APP} in images[]`)];
    expect(failures([toImport("/x.tar", [APP, ONE])], [wanted(APP, { pullPolicy: "Always" })])).toEqual(
      fails,
    );
    for (const pullPolicy of ["IfNotPresent", "implicit-Always"] as const)
      expect(failures([toImport("/x.tar", [APP, ONE])], [wanted(APP, { pullPolicy })])).toEqual(["import"]);
  });

  test("of two archives the later one fails, unless it holds the same image", () => {
    const [first, same, other] = [ONE, ONE, TWO].map((image, nth) => toImport(`/${nth}.tar`, [APP, image]));
    expect(failures([first, same, other] as PlannedArchive[], [])).toEqual([
      "import",
      "import",
      taken("/0.tar"),
    ]);
    const kept = plan("/k.tar", { action: "keep" }, known.names);
    expect(failures([kept, same, other] as PlannedArchive[], [], there)).toEqual([
      "keep",
      "import",
      taken("/k.tar"),
    ]);
  });
});

describe("images of archives are wanted", () => {
  const outcome = (path: string, names: ArchiveOutcome["names"], failed = false): ArchiveOutcome => ({
    archive: { ...archive, path },
    names,
    failed,
  });
  const images = (listed: readonly WantedImage[], outcomes: readonly ArchiveOutcome[], node = there) =>
    Object.fromEntries(withArchiveImages(listed, outcomes, node).map((image) => [image.source.name, image]));

  test("as the archive is, each with the digest that it brought", () => {
    expect(images([], [outcome("/x.tar", { [APP]: ONE.target.digest, "No Name": "x" })])).toEqual({
      [APP]: {
        source: reference(APP),
        furtherNames: [],
        pullPolicy: "IfNotPresent",
        required: false,
        pin: false,
        timeout: 7_000,
        archive: { path: "/x.tar", digest: ONE.target.digest, failed: false },
      },
    });
  });

  test("and what the list says of one counts as well, except that a registry is asked", () => {
    const listed = wanted(APP, { pullPolicy: "implicit-Always", furtherNames: [reference("x.y/z:1")] });
    expect(images([listed], [outcome("/x.tar", { [APP]: ONE.target.digest })])).toEqual({
      [APP]: {
        ...listed,
        pullPolicy: "IfNotPresent",
        archive: { path: "/x.tar", digest: ONE.target.digest, failed: false },
      },
    });
  });

  test("of a failed one only as far as they are here, or listed", () => {
    const names = { [APP]: ONE.target.digest, "r.one/b:1": TWO.target.digest, "r.one/c:1": undefined };
    const found = images([wanted("r.one/c:1")], [outcome("/x.tar", names, true)]);
    expect(Object.keys(found)).toEqual(["r.one/c:1", APP]);
    expect(found["r.one/c:1"]?.archive).toEqual({ path: "/x.tar", failed: true });
  });

  test("from the archive that brought them, before one that failed, and never under a name of the list's own", () => {
    const failed = outcome("/a.tar", { [APP]: TWO.target.digest }, true);
    const brought = outcome("/b.tar", { [APP]: ONE.target.digest, "x.y/z:1": ONE.target.digest });
    const listed = [wanted("r.one/a:1", { furtherNames: [reference("x.y/z:1")] }), wanted(APP)];
    for (const outcomes of [
      [failed, brought],
      [brought, failed],
    ]) {
      const found = images(listed, outcomes);
      expect(Object.keys(found)).toEqual(["r.one/a:1", APP]);
      expect(found[APP]?.archive?.path).toBe("/b.tar");
    }
  });

  test("before an import by the names that it will make", () => {
    const toCreate = toImport("/x.tar", ["app:1", ONE], ["import-2026-01-31:1", TWO]);
    const before = { "r.one/before:1": TWO.target.digest };
    expect(expectedOutcome({ ...toCreate, names: before })).toStrictEqual(
      outcome("/x.tar", { [APP]: undefined, "import-2026-01-31:1": undefined }),
    );
    expect(expectedOutcome(plan("/x.tar", { action: "keep" }, known.names))).toEqual(
      outcome("/x.tar", known.names),
    );
    expect(expectedOutcome(plan("/x.tar", { action: "fail" }, known.names)).failed).toBe(true);
  });
});

test("entries of one path are one, with the stricter of each setting", () => {
  const merged = { required: true, mustMatch: true, pin: true, timeout: 9_000 };
  expect(mergeArchives([archive, { ...archive, ...merged }, { ...archive, path: "/y.tar" }])).toEqual([
    { path: "/x.tar", ...merged },
    { ...archive, path: "/y.tar" },
  ]);
});

test.each([
  ["import-2026-01-31:latest", undefined],
  ["import-2026-01-31@sha256:0", undefined],
  ["No Name", undefined],
  ["docker.io/library/import-2026-01-31:1", "docker.io/library/import-2026-01-31:1"],
  ["import-app:1", "docker.io/library/import-app:1"],
])("%s is a name that a pod can ask for: %s", (name, expected) => {
  expect(fullName(name)).toBe(expected);
});

test("what a name points to is the import's by its digest or its config, and where neither is known", () => {
  const { target, id } = ONE;
  const named = (digests: string[], ids: string[]) => ({ name: APP, digests, ids });
  expect(isFromImport(named([target.digest], []), target, undefined)).toBe(true);
  expect(isFromImport(named([], [id]), target, id)).toBe(true);
  expect(isFromImport(named([], []), target, id)).toBe(true);
  expect(isFromImport(named([TWO.target.digest], [TWO.id]), target, id)).toBe(false);
  expect(isFromImport(named([TWO.target.digest], []), target, id)).toBe(false);
  expect(isFromImport(named([], [TWO.id]), target, undefined)).toBe(false);
});
