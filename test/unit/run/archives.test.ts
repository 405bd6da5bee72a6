import { mkdirSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { ImportPlan, PlannedArchive } from "../../../src/core/archives.ts";
import type { RunEvent } from "../../../src/core/events.ts";
import { Failed } from "../../../src/core/failure.ts";
import { pinName } from "../../../src/core/pins.ts";
import {
  archiveReader,
  factsOf,
  fileFailure,
  findArchives,
  importArchives,
  isUnread,
} from "../../../src/run/archives.ts";
import { gone, toolError, type InMemory } from "../containerd/in-memory.ts";
import { packed } from "../containerd/packed.ts";
import { served, type ServedImage } from "../containerd/served-image.ts";
import { temporaryFolder } from "../folder.ts";
import { wanted } from "../samples.ts";
import { bench, typesOf } from "./bench.ts";

const folder = temporaryFolder();
const APP = "docker.io/library/app:1";
const TIME = new Date("2026-01-01T00:00:00Z");
let count = 0;
const file = (content: string | Buffer = "an archive"): string => {
  const path = `${folder.path}/${(count += 1)}.tar`;
  replace(path, content);
  return path;
};
/** Always at the same time, so that only its size, its content or the time of its inode is another. */
const replace = (path: string, content: string | Buffer): void => {
  writeFileSync(path, content);
  utimesSync(path, TIME, TIME);
};
type Images = Readonly<Record<string, ServedImage>>;
/** An archive of these images, which containerd imports. */
const archiveOf = ({ archives }: InMemory, images: Images, path = file()): string => {
  replace(path, packed(images));
  archives.set(path, images);
  return path;
};
const archive = (path: string, pin = true) => ({
  path,
  required: true,
  mustMatch: false,
  pin,
  timeout: 1_000,
});
const imports = (calls: readonly string[]): string[] =>
  calls.filter((call) => call.startsWith("importArchive"));
const fails = (text: string) => (): never => {
  throw toolError(text);
};

describe("an archive", () => {
  test("is imported, its images pinned and proved like any other, and remembered", async () => {
    const { node, run } = bench();
    const image = served("app");
    const path = archiveOf(node, { [APP]: image });
    const { outcomes, events, recorded } = await run([], { archives: [archive(path)] });
    expect(outcomes).toEqual({ [APP]: "imported" });
    expect(events).toContainEqual({ type: "archive-done", image: path, names: [APP], imported: true });
    expect(node.records.has(pinName(image.target))).toBe(true);
    const { size, mtimeMs, ctimeMs } = statSync(path);
    const names = { [APP]: image.target.digest };
    expect(recorded).toEqual({ imported: { [path]: { size, mtimeMs, ctimeMs, names } } });
  });

  test("that is unchanged is skipped, and changes nothing", async () => {
    const { node, run } = bench();
    const path = archiveOf(node, { [APP]: served("app") });
    const { recorded } = await run([], { archives: [archive(path)] });
    const changes = node.changes().length;
    const again = await run([], { archives: [archive(path)] }, { archives: recorded });
    expect(again.outcomes).toEqual({ [APP]: "present" });
    expect(again.events).toContainEqual({ type: "archive-done", image: path, names: [APP], imported: false });
    expect(node.changes()).toHaveLength(changes);
  });

  test("that was replaced by one of the same size and time is imported again", async () => {
    const { node, run } = bench();
    const path = archiveOf(node, { [APP]: served("app") });
    const { recorded } = await run([], { archives: [archive(path)] });
    const known = recorded.imported[path];
    if (known === undefined) throw new Error("nothing was recorded");
    const before = { imported: { [path]: { ...known, ctimeMs: known.ctimeMs - 1 } } };
    await run([], { archives: [archive(path)] }, { archives: before });
    expect(imports(node.calls)).toHaveLength(2);
  });

  test.each([
    ["is gone", (node: ReturnType<typeof bench>["node"]) => void node.records.delete(APP)],
    ["leads elsewhere", (node: ReturnType<typeof bench>["node"]) => node.record(APP, served("other"))],
    ["is damaged", (node: ReturnType<typeof bench>["node"]) => void node.blobs.delete(served("app").id)],
  ])("whose image %s is imported again", async (_what, harm) => {
    const { node, run } = bench();
    const path = archiveOf(node, { [APP]: served("app") });
    const { recorded } = await run([], { archives: [archive(path)] });
    harm(node);
    const { outcomes } = await run([], { archives: [archive(path)] }, { archives: recorded });
    expect(outcomes).toEqual({ [APP]: "imported" });
    expect(imports(node.calls)).toHaveLength(2);
  });

  test("with a short name is known by the full one, and no record of the short one is left", async () => {
    const { node, run } = bench();
    const path = archiveOf(node, { "busybox:1.36": served("busybox") });
    const { outcomes } = await run([], { archives: [archive(path)] });
    expect(outcomes).toEqual({ "docker.io/library/busybox:1.36": "imported" });
    expect([node.records.has("busybox:1.36"), node.records.has("docker.io/library/busybox:1.36")]).toEqual([
      false,
      true,
    ]);
  });

  describe.each([
    ["in one repository", (nth: number) => `r.one/app:${nth}`, 1],
    ["each in a repository of its own", (nth: number) => `r.one/app-${nth}:1`, 1_000],
    ["which are short", (nth: number) => `app:${nth}`, 1],
  ])("with a thousand names of one image, %s", (_what, nameOf, repositories) => {
    const many = async () => {
      const set = bench();
      const image = served("app");
      const names = Array.from({ length: 1_000 }, (_, nth) => nameOf(nth));
      const path = archiveOf(set.node, Object.fromEntries(names.map((name) => [name, image])));
      const { outcomes } = await set.run([], { archives: [archive(path)] });
      return { ...set, outcomes };
    };
    const called = (calls: readonly string[], what: string): string[] =>
      calls.filter((call) => call.startsWith(`${what} `));

    test("has each of them proved, and each repository named by digest", async () => {
      const { node, outcomes } = await many();
      expect(new Set(Object.values(outcomes))).toEqual(new Set(["imported"]));
      const byDigest = [...node.records.keys()].filter((name) => /^(?:r|d)\S+@/u.test(name));
      expect([Object.keys(outcomes).length, byDigest.length]).toEqual([1_000, repositories]);
    });

    test("is pinned once, and no name is made twice or by a call of its own", async () => {
      const { node } = await many();
      expect(
        node.calls.filter((call) => call === `saveRecord ${pinName(served("app").target)}`),
      ).toHaveLength(1);
      const tags = called(node.calls, "tag");
      expect(tags.length).toBeLessThanOrEqual(2);
      const made = tags.flatMap((call) => call.split(" ")[2]?.split(",") ?? []);
      expect(new Set(made).size).toBe(made.length);
    });
  });

  test("that names nothing fails, and containerd is not asked", async () => {
    const { node, run } = bench();
    const path = file(packed({}));
    const { outcomes, error } = await run([], { archives: [archive(path)] });
    expect([outcomes, error]).toEqual([{ [path]: "failed in import: reference" }, undefined]);
    expect(node.changes()).toEqual([]);
  });

  test("with an image that has a tag alone is imported without that one", async () => {
    const { node, run } = bench();
    const path = file(packed({ [APP]: served("app") }));
    node.archives.set(path, { [APP]: served("app"), "import-2026-01-01:1.36": served("x") });
    expect((await run([], { archives: [archive(path)] })).outcomes).toEqual({ [APP]: "imported" });
    expect([...node.records.keys()].filter((name) => name.startsWith("import-2"))).toEqual([]);
  });

  test.each([
    ["does not exist", `${folder.path}/nothing.tar`, "not-found"],
    ["is below a file", `${folder.write("plain", "")}/x.tar`, "not-found"],
    ["is a directory", folder.path, "not-found"],
  ])("that %s fails, and the rest goes on", async (_what, path, failureClass) => {
    const { run, serve } = bench();
    serve(served("a"), "r.one/a:1");
    const { outcomes } = await run(["r.one/a:1"], { archives: [archive(path)] });
    expect(outcomes).toEqual({ [path]: `failed in import: ${failureClass}`, "r.one/a:1": "pulled" });
  });

  test.each([
    ["damaged", "ctr: archive/tar: invalid tar header", "transfer"],
    ["one that lacks a blob", "ctr: content digest sha256:12ab: not found", "transfer"],
    ["cut off", "ctr: unexpected EOF", "transfer"],
    ["for another platform", "ctr: image might be filtered out", "platform"],
  ])("that is %s fails with its class, and the next one is imported", async (_what, text, failureClass) => {
    const { node, run } = bench();
    const broken = archiveOf(node, { "r.one/x:1": served("x") });
    const whole = archiveOf(node, { [APP]: served("app") });
    node.before(`importArchive ${broken}`, fails(text));
    const { outcomes } = await run([], { archives: [archive(broken), archive(whole)] });
    expect(outcomes).toEqual({ [broken]: `failed in import: ${failureClass}`, [APP]: "imported" });
  });

  test("waits for a containerd that goes away meanwhile", async () => {
    const { node, run } = bench();
    const path = archiveOf(node, { [APP]: served("app") });
    node.before("importArchive", () => {
      throw gone();
    });
    expect((await run([], { archives: [archive(path)] })).outcomes).toEqual({ [APP]: "imported" });
  });

  test("that disappeared keeps what it imported, pinned", async () => {
    const { node, run } = bench();
    const image = served("app");
    const path = archiveOf(node, { [APP]: image });
    const { recorded } = await run([], { archives: [archive(path)] });
    rmSync(path);
    const { outcomes } = await run([], { archives: [archive(path)] }, { archives: recorded });
    expect(outcomes).toEqual({ [path]: "failed in import: not-found", [APP]: "present" });
    expect(node.records.has(pinName(image.target))).toBe(true);
  });

  test("whose import fails is no reason to ask a registry for what it once brought", async () => {
    const { node, run } = bench();
    const path = archiveOf(node, { [APP]: served("app") });
    const { recorded } = await run([], { archives: [archive(path)] });
    node.rmi(served("app"));
    node.before("importArchive", fails("ctr: unexpected EOF"));
    const { outcomes } = await run([], { archives: [archive(path)] }, { archives: recorded });
    expect(outcomes).toEqual({ [path]: "failed in import: transfer" });
    expect(node.changes().filter((call) => call.startsWith("pull"))).toEqual([]);
  });

  test("whose image the list names too is one image: the list's", async () => {
    const { node, run } = bench();
    const path = archiveOf(node, { [APP]: served("app") });
    const { outcomes } = await run([wanted("app:1")], { archives: [archive(path)] });
    expect(outcomes).toEqual({ [APP]: "imported" });
    expect(node.changes().filter((call) => call.startsWith("pull"))).toEqual([]);
  });

  test("is not pinned where the operator does not want it", async () => {
    const { node, run } = bench();
    const path = archiveOf(node, { [APP]: served("app") });
    const { events } = await run([], { archives: [archive(path, false)] });
    expect(typesOf(events)).not.toContain("pinned");
  });

  test("that left the list is unpinned", async () => {
    const { node, run } = bench();
    const image = served("app");
    const path = archiveOf(node, { [APP]: image });
    const { recorded } = await run([], { archives: [archive(path)] });
    const { events } = await run([], {}, { archives: recorded });
    expect(events).toContainEqual({ type: "unpinned", name: APP });
    expect(node.records.has(pinName(image.target))).toBe(false);
  });
});

describe("the path of an archive", () => {
  test("that is a pattern becomes each file that it matches, sorted, also a link to nothing", async () => {
    const made = folder.make();
    for (const name of ["b.tar", "a.tar", "c.txt"]) writeFileSync(`${made}/${name}`, "");
    mkdirSync(`${made}/folder.tar`);
    symlinkSync("nothing", `${made}/link.tar`);
    const pattern = { ...archive(`${made}/*.tar`, false), required: false };
    expect(await findArchives([pattern])).toEqual(
      ["a.tar", "b.tar", "link.tar"].map((name) => ({ ...pattern, path: `${made}/${name}` })),
    );
  });

  test("stays as it is if it is no pattern, or a pattern that matches no file", async () => {
    const made = folder.make();
    for (const name of ["a.tar", "+(a).tar"]) writeFileSync(`${made}/${name}`, "");
    const paths = [`${made}/+(a).tar`, `${made}/n*thing.tar`];
    const found = await findArchives(paths.map((path) => archive(path)));
    expect(found.map(({ path }) => path)).toEqual(paths);
  });
});

describe("an archive that cannot be read", () => {
  test("is a failure with the system's error, and no missing archive", async () => {
    const path = `${folder.make()}/loop.tar`;
    symlinkSync(path, path);
    expect(await factsOf(path)).toEqual({
      class: "unknown",
      message: "the archive cannot be read (ELOOP)",
      next: "check the file and the disk that it is on",
    });
  });

  test("because it disappeared is a failure, but the end of the run and a bug are none", async () => {
    const path = file(packed({ [APP]: served("app") }));
    expect(await archiveReader(new AbortController().signal)(`${path}.gone`)).toMatchObject({
      class: "not-found",
      message: "the archive does not exist",
    });
    const stopped = new Failed({ class: "cancelled", message: "stopped" });
    await expect(archiveReader(AbortSignal.abort(stopped))(path)).rejects.toBe(stopped);
    expect(() => fileFailure(new Error("a bug"))).toThrow("a bug");
  });
});

describe("the archives of a plan", () => {
  const FAILURE = { class: "transfer", message: "damaged" } as const;
  const [WAS, OTHER] = [{ [APP]: "sha256:old" }, "docker.io/library/other:1"];
  const planned = (path: string) => ({ archive: archive(path), why: "a reason", names: WAS });
  const importOf = (path: string, name: string): ImportPlan => ({
    ...planned(path),
    action: "import",
    file: { size: 1, mtimeMs: 1, ctimeMs: 1 },
    contents: [{ name, digests: [], ids: [] }],
  });
  const PLANS: readonly PlannedArchive[] = [
    { ...planned("/keep.tar"), action: "keep" },
    { ...planned("/n*ne.tar"), action: "none" },
    { ...planned("/fail.tar"), action: "fail", failure: FAILURE },
    importOf("/mine.tar", APP),
    importOf("/other.tar", OTHER),
    importOf("/broken.tar", APP),
  ];
  const NEW = { [APP]: "sha256:new", [OTHER]: "sha256:new" };
  const all = async (...only: readonly string[]) => {
    const events: RunEvent[] = [];
    const importing: string[] = [];
    const outcomes = await importArchives(
      { emit: (event) => void events.push(event) },
      PLANS,
      new Set(only),
      async (plan) => {
        importing.push(plan.archive.path);
        return plan.archive.path === "/broken.tar" ? FAILURE : NEW;
      },
    );
    return { events, importing, outcomes: outcomes.map((each) => ({ ...each, archive: each.archive.path })) };
  };
  const doneWith = (image: string, names: readonly string[], imported: boolean): RunEvent => ({
    type: "archive-done",
    image,
    names,
    imported,
  });
  const failedWith = (image: string): RunEvent => ({
    type: "image-failed",
    image,
    step: "import",
    failure: FAILURE,
  });

  test("are reported one by one, and only a failed one lacks its images", async () => {
    expect(await all()).toEqual({
      importing: ["/mine.tar", "/other.tar", "/broken.tar"],
      events: [
        doneWith("/keep.tar", [APP], false),
        { type: "warning", message: "archives: a reason: /n*ne.tar" },
        doneWith("/n*ne.tar", [APP], false),
        failedWith("/fail.tar"),
        doneWith("/mine.tar", [APP, OTHER], true),
        doneWith("/other.tar", [APP, OTHER], true),
        failedWith("/broken.tar"),
      ],
      outcomes: [
        { archive: "/keep.tar", names: WAS, failed: false },
        { archive: "/n*ne.tar", names: WAS, failed: false },
        { archive: "/fail.tar", names: WAS, failed: true },
        { archive: "/mine.tar", names: NEW, failed: false },
        { archive: "/other.tar", names: NEW, failed: false },
        { archive: "/broken.tar", names: WAS, failed: true },
      ],
    });
  });

  test("are left as they are by a narrowed run, except those that bring what it is for", async () => {
    expect(await all(APP)).toEqual({
      importing: ["/mine.tar", "/broken.tar"],
      events: [doneWith("/mine.tar", [APP], true), failedWith("/broken.tar")],
      outcomes: [
        { archive: "/keep.tar", names: WAS, failed: false },
        { archive: "/n*ne.tar", names: WAS, failed: true },
        { archive: "/fail.tar", names: WAS, failed: true },
        { archive: "/mine.tar", names: NEW, failed: false },
        { archive: "/other.tar", names: WAS, failed: true },
        { archive: "/broken.tar", names: WAS, failed: true },
      ],
    });
  });

  test.each([
    ["/fail.tar", true],
    ["/n*ne.tar", true],
    ["/none.tar", true],
    ["/keep.tar", false],
    ["/mine.tar", false],
    ["/strange.tar", false],
  ])("do not know what %s holds: %s", (path, isNotKnown) => {
    expect(isUnread(PLANS)(path)).toBe(isNotKnown);
  });
});
