import { rmSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CommandError } from "../../../src/containerd/command.ts";
import type { Failure } from "../../../src/core/failure.ts";
import { judge } from "../../../src/core/judge.ts";
import { pinName } from "../../../src/core/pins.ts";
import type { RunEvent } from "../../../src/core/events.ts";
import { lookAtNode } from "../../../src/run/look.ts";
import { gone, toolError, type InMemory } from "../containerd/in-memory.ts";
import { packed, saved } from "../containerd/packed.ts";
import { ARM, LINUX, served, type ServedImage } from "../containerd/served-image.ts";
import { temporaryFolder } from "../folder.ts";
import { reference, wanted } from "../samples.ts";
import { bench, TEXTS, typesOf, type Ran } from "./bench.ts";

const folder = temporaryFolder();
const APP = "docker.io/library/app:1";
const OTHER = "docker.io/library/other:1";
const [OLD, NEW, THIRD] = [served("old"), served("new"), served("third")];
type Images = Readonly<Record<string, ServedImage>>;
let count = 0;

const archive = (path: string, more: object = {}) => ({
  path,
  required: true,
  mustMatch: false,
  pin: true,
  timeout: 1_000,
  ...more,
});
/** An archive of these images, which containerd imports; in place of another one where that is given. */
function archiveOf({ archives }: InMemory, images: Images, path?: string, pack = packed): string {
  const file = path ?? `${folder.path}/${(count += 1)}.tar`;
  // Of another size each time: nothing else of it is another for sure.
  writeFileSync(file, Buffer.concat([pack(images), Buffer.alloc(512 * (count += 1))]));
  archives.set(file, images);
  return file;
}
const fails = (text: string) => (): never => {
  throw toolError(text);
};
const isGone = (): never => {
  throw gone();
};
const failureOf = (events: readonly RunEvent[], path: string): Failure | undefined =>
  events.flatMap((event) =>
    event.type === "image-failed" && event.image === path ? [event.failure] : [],
  )[0];
const leads = ({ records }: InMemory, name: string): string | undefined => records.get(name)?.target.digest;
const pulls = ({ calls }: InMemory): string[] => calls.filter((call) => call.startsWith("pull "));
const warnings = (events: readonly RunEvent[]): string[] =>
  events.flatMap((event) => (event.type === "warning" ? [event.message] : []));

/** A node with an archive that was imported once, and now holds other images. */
async function replaced(next: Images, before: Images = { [APP]: OLD }) {
  const set = bench();
  const path = archiveOf(set.node, before);
  const first = await set.run([], { archives: [archive(path)] });
  archiveOf(set.node, next, path);
  return { ...set, path, record: first.recorded };
}

describe("an import", () => {
  test("is one call to ctr, and waits for nothing and holds nothing if its names are new", async () => {
    const { node, run, clock } = bench();
    const path = archiveOf(node, { [APP]: NEW, [OTHER]: THIRD });
    const began = clock.now();
    expect((await run([], { archives: [archive(path)] })).outcomes).toEqual({
      [APP]: "imported",
      [OTHER]: "imported",
    });
    expect(node.imports.get(path)).toEqual({
      platform: "linux/amd64",
      snapshotter: "overlayfs",
      local: false,
      timeout: 1_000,
      signal: expect.any(AbortSignal) as AbortSignal,
    });
    expect(clock.now()).toBe(began);
    expect(node.calls.filter((call) => call.startsWith("createLease import-images-firm-"))).toEqual([]);
  });

  test("of an archive that gives a short name twice makes the full name of the last", async () => {
    const { node, run } = bench();
    const path = archiveOf(node, { "app:1": NEW });
    const { importArchive } = node.containerd;
    node.containerd.importArchive = async (...given) => [
      ["app:1", OLD.target.digest],
      ...(await importArchive(...given)),
    ];
    const { outcomes } = await run([], { archives: [archive(path)] });
    expect(outcomes).toEqual({ [APP]: "imported" });
    expect([leads(node, "app:1"), leads(node, APP)]).toEqual([undefined, NEW.target.digest]);
  });

  test("holds what its names point to, and nothing else", async () => {
    const { node, run, path, record } = await replaced({ [APP]: NEW, [OTHER]: THIRD });
    await run([], { archives: [archive(path)] }, { archives: record });
    const holds = node.calls.filter((call) => call.startsWith("hold import-images-firm-"));
    expect(holds.map((call) => call.split(" ").slice(2))).toEqual([[OLD.target.digest]]);
  });

  test("is not begun if what its names point to cannot be held", async () => {
    const { node, run, path, record } = await replaced({ [APP]: NEW });
    node.forget();
    node.imports.clear();
    node.before("hold", isGone, isGone, isGone);
    const { events, outcomes } = await run([], { archives: [archive(path)] }, { archives: record });
    expect(outcomes).toEqual({ [path]: "failed in import: runtime", [APP]: "present" });
    expect(failureOf(events, path)).toEqual({
      class: "runtime",
      message:
        "containerd could not protect the images that the archive's names point to, so the archive is not imported",
    });
    expect([node.imports.size, leads(node, APP)]).toEqual([0, OLD.target.digest]);
  });
});

describe("an import that fails", () => {
  const HALF = "ctr: failed to extract layer: unexpected EOF";

  test.each([
    ["before it makes a name", "importArchive"],
    ["before it unpacks", "unpack"],
  ])("%s leaves the names as they were", async (_when, step) => {
    const { node, run, serve, path, record } = await replaced({ [APP]: NEW });
    node.before(step, fails(HALF));
    serve(THIRD, APP, "r.one/other:1");
    const written = node.changes().length;
    const { outcomes, recorded } = await run(
      ["r.one/other:1"],
      { archives: [archive(path, { required: false })] },
      { archives: record },
    );
    expect(recorded).toEqual(record);
    expect(outcomes).toEqual({
      [path]: "failed in import: transfer",
      [APP]: "present",
      "r.one/other:1": "pulled",
    });
    expect(leads(node, APP)).toBe(OLD.target.digest);
    expect(node.records.has(pinName(OLD.target))).toBe(true);
    expect(pulls(node)).toEqual(["pull r.one/other:1"]);
    expect(node.blobs.has(NEW.target.digest)).toBe(false);
    const restored = node.changes().slice(written).includes(`saveRecord ${APP}`);
    expect(restored).toBe(step === "unpack");
  });

  test("after some of its names takes those back, also what a docker archive names", async () => {
    for (const pack of [packed, saved]) {
      const { node, run, path, record } = await replaced({});
      archiveOf(node, { [APP]: NEW, [OTHER]: THIRD, "r.one/last:1": NEW }, path, pack);
      node.before(
        "name of importArchive",
        () => {},
        () => {},
        fails(HALF),
      );
      await run([], { archives: [archive(path)] }, { archives: record });
      expect([APP, OTHER, "r.one/last:1"].map((name) => leads(node, name))).toEqual([
        OLD.target.digest,
        undefined,
        undefined,
      ]);
    }
  });

  test("touches no name that somebody else made meanwhile", async () => {
    const { node, run, path, record } = await replaced({ [APP]: NEW });
    node.before("unpack", () => {
      node.bring("r.one/theirs:1", THIRD);
      throw toolError(HALF);
    });
    await run([], { archives: [archive(path)] }, { archives: record });
    expect(leads(node, "r.one/theirs:1")).toBe(THIRD.target.digest);
  });

  test("puts back what is not pinned, and held by nothing but its name", async () => {
    const set = bench();
    set.node.bring(APP, OLD);
    for (const name of set.node.records.keys()) if (name !== APP) set.node.records.delete(name);
    const path = archiveOf(set.node, { [APP]: NEW });
    set.node.before("unpack", fails(HALF));
    const { outcomes } = await set.run([], { archives: [archive(path)] });
    expect(outcomes).toEqual({ [path]: "failed in import: transfer" });
    expect(leads(set.node, APP)).toBe(OLD.target.digest);
    expect(OLD.blobs.every(({ digest }) => set.node.blobs.has(digest))).toBe(true);
    expect(set.node.leases.size).toBe(0);
  });

  test("puts back a short name that was somebody's own", async () => {
    const set = bench();
    set.node.record("app:1", OLD);
    OLD.blobs.forEach((blob) => set.node.blobs.set(blob.digest, blob));
    const path = archiveOf(set.node, { "app:1": NEW });
    await set.run([], { archives: [archive(path)] });
    expect([leads(set.node, "app:1"), leads(set.node, APP)]).toEqual([OLD.target.digest, NEW.target.digest]);
  });

  test("puts back the full name that it made of a short one", async () => {
    const { node, run, path, record } = await replaced({ "app:1": served("arm", { platform: ARM }) });
    const { outcomes } = await run([], { archives: [archive(path)] }, { archives: record });
    expect(outcomes).toEqual({ [path]: "failed in import: platform", [APP]: "present" });
    expect([leads(node, "app:1"), leads(node, APP)]).toEqual([undefined, OLD.target.digest]);
  });

  test.each([
    ["moves", ({ record }: InMemory) => record("app:1", THIRD)],
    ["deletes", ({ records }: InMemory) => void records.delete("app:1")],
  ])("because somebody %s its short name is repeated by the next run", async (_what, harm) => {
    const { node, run, path, record } = await replaced({ "app:1": NEW });
    node.before("record app:1", () => harm(node));
    const first = await run([], { archives: [archive(path)] }, { archives: record });
    expect([first.outcomes, leads(node, APP)]).toEqual([
      { [APP]: "failed in import: not-found" },
      OLD.target.digest,
    ]);
    const { outcomes } = await run([], { archives: [archive(path)] }, { archives: first.recorded });
    expect([outcomes, leads(node, APP)]).toEqual([{ [APP]: "imported" }, NEW.target.digest]);
  });

  test("ends the partial layers of archives, and no pull's", async () => {
    const { node, run, path, record } = await replaced({ [APP]: NEW });
    node.before("unpack", fails(HALF));
    node.before("downloads", () => {
      for (const ref of ["tar-blobs/sha256/1", "layer-sha256:tar-"])
        node.downloads.set(ref, { ref, offset: 1, total: 2 });
    });
    await run([], { archives: [archive(path)] }, { archives: record });
    expect(node.calls.filter((call) => call.startsWith("abort "))).toEqual(["abort tar-blobs/sha256/1"]);
  });

  test("is no reason to ask a registry, also for what the list names and the archive never brought", async () => {
    const set = bench();
    const path = archiveOf(set.node, { [APP]: NEW });
    set.serve(THIRD, APP);
    set.node.before("importArchive", fails(HALF));
    const { outcomes } = await set.run([wanted(APP, { pullPolicy: "implicit-Always" })], {
      archives: [archive(path)],
    });
    expect(outcomes).toEqual({ [path]: "failed in import: transfer", [APP]: "failed in import: not-found" });
    expect(pulls(set.node)).toEqual([]);
  });

  test("beyond its own time is not begun again", async () => {
    const { node, run, path, record } = await replaced({ [APP]: NEW });
    node.before("unpack", () => {
      throw new CommandError("ctr did not answer in time", "", true);
    });
    const { outcomes, events } = await run([], { archives: [archive(path)] }, { archives: record });
    expect(outcomes[path]).toBe("failed in import: timeout");
    expect(typesOf(events, path)).toEqual(["attempt-started", "image-failed"]);
    expect(leads(node, APP)).toBe(OLD.target.digest);
  });

  test("on a full disk puts the names back, lets go of all that is held, and stops the run", async () => {
    const { node, run, path, record } = await replaced({ [APP]: NEW });
    node.leases.set("import-images-earlier", new Set(["layer-x"]));
    node.before("unpack", fails(TEXTS.disk));
    const next = archiveOf(node, { [OTHER]: THIRD });
    const { outcomes } = await run(
      ["r.one/never:1"],
      { archives: [archive(path), archive(next)] },
      { archives: record },
    );
    expect(outcomes).toEqual({
      [path]: "failed in import: disk",
      [next]: "failed in import: disk",
      [APP]: "present",
      "r.one/never:1": "failed in pull: disk",
    });
    expect(leads(node, APP)).toBe(OLD.target.digest);
    expect([node.leases.size, pulls(node)]).toEqual([0, []]);
  });

  test("because containerd went away is begun again from what was before", async () => {
    const { node, run, path, record } = await replaced({ [APP]: NEW });
    node.before("unpack", () => {
      node.before("version", isGone);
      throw gone();
    });
    const { events, outcomes } = await run([], { archives: [archive(path)] }, { archives: record });
    expect(outcomes).toEqual({ [APP]: "imported" });
    const types = typesOf(events);
    expect(types.slice(types.indexOf("attempt-started"), types.indexOf("archive-done"))).toEqual([
      "attempt-started",
      "waiting",
      "runtime-back",
      "attempt-started",
    ]);
    node.before("unpack", isGone, isGone, isGone);
    archiveOf(node, { [APP]: THIRD }, path);
    const again = await run([], { archives: [archive(path)] }, { archives: record });
    expect(typesOf(again.events, path)).toEqual([...Array(3).fill("attempt-started"), "image-failed"]);
    expect(leads(node, APP)).toBe(NEW.target.digest);
  });

  test("because containerd stays away ends the run, and the next one puts the names back", async () => {
    const { node, run, path, record } = await replaced({ [APP]: NEW });
    node.before("unpack", () => {
      node.before("version", ...Array.from({ length: 1_000 }, () => isGone));
      node.before("downloads", isGone);
      throw gone();
    });
    const { error, events, recorded } = await run([], { archives: [archive(path)] }, { archives: record });
    expect(String(error)).toContain("container runtime not ready");
    expect(typesOf(events, path)).toEqual(["attempt-started", "image-failed"]);
    expect([leads(node, APP), recorded.begun?.path]).toEqual([NEW.target.digest, path]);
    node.forget();
    writeFileSync(path, "damaged");
    await run([], { archives: [archive(path)] }, { archives: recorded });
    expect(leads(node, APP)).toBe(OLD.target.digest);
  });

  test("by a signal puts the names back before the run ends", async () => {
    const { node, run, path, record } = await replaced({ [APP]: NEW });
    const stop = new AbortController();
    node.before("unpack", () => {
      stop.abort(new Error("stopped"));
      throw toolError("ctr was ended by SIGTERM");
    });
    await run([], { archives: [archive(path)] }, { archives: record, signal: stop.signal });
    expect(leads(node, APP)).toBe(OLD.target.digest);
  });

  test.each<[string, ServedImage, Failure]>([
    [
      "is for another platform",
      served("arm", { platform: ARM }),
      {
        class: "platform",
        message: `the archive's image ${APP} is for linux/arm64`,
        next: "save the image again for this node's platform",
      },
    ],
    [
      "is an artifact",
      served("chart", { artifact: true }),
      { class: "not-an-image", message: `the archive's image ${APP} is not a container image` },
    ],
    [
      "lacks its manifest",
      { ...NEW, blobs: NEW.blobs.filter((blob) => blob !== NEW.manifest) },
      { class: "transfer", message: `the archive's image ${APP} is damaged: its manifest is missing` },
    ],
  ])("because its image %s keeps the one that works here", async (_what, image, failure) => {
    const { node, run, path, record } = await replaced({ [APP]: image });
    const { outcomes, events } = await run([], { archives: [archive(path)] }, { archives: record });
    expect(outcomes).toEqual({ [path]: `failed in import: ${failure.class}`, [APP]: "present" });
    expect([failureOf(events, path), leads(node, APP)]).toEqual([failure, OLD.target.digest]);
  });

  const NO_SPACE = "failed to extract layer: write /x: no space left on device";
  test.each<[string, () => Error, Partial<Failure>]>([
    [
      "filtered out what it holds",
      () => toolError("ctr: image might be filtered out"),
      {
        class: "platform",
        message: "the archive holds no image for this node's platform",
        next: "save the image again for this node's platform",
      },
    ],
    [
      "does not take its name",
      () => toolError("invalid reference format"),
      {
        class: "reference",
        message: "invalid reference format",
        next: "correct the name that the archive gives its image",
      },
    ],
    [
      "has no space for its layer",
      () => toolError(NO_SPACE),
      { class: "disk", message: expect.stringContaining("no space left on device") as string },
    ],
    [
      "read half of it",
      () => toolError(HALF),
      {
        class: "transfer",
        message:
          "the archive is damaged, or is not a docker or OCI archive (failed to extract layer: unexpected EOF)",
      },
    ],
    [
      "could not open it",
      () => Object.assign(new Error("no such file"), { code: "ENOENT" }),
      { class: "not-found", message: "the archive does not exist" },
    ],
  ])("because ctr %s is reported as such", async (_what, error, failure) => {
    const { node, run } = bench();
    const path = archiveOf(node, { [APP]: NEW });
    node.before("importArchive", () => {
      throw error();
    });
    const { events } = await run([], { archives: [archive(path)] });
    expect(failureOf(events, path)).toMatchObject(failure);
  });

  test.each([
    ["before ctr read it", "importArchive"],
    ["while ctr read it", "unpack"],
  ])("because the file changed %s puts the names back", async (_when, step) => {
    const { node, run, path, record } = await replaced({ [APP]: NEW });
    node.before(step, () => void archiveOf(node, { [APP]: THIRD }, path));
    const { events } = await run([], { archives: [archive(path)] }, { archives: record });
    expect(failureOf(events, path)?.message).toBe("the archive changed while it was read");
    expect(leads(node, APP)).toBe(OLD.target.digest);
  });
});

describe("an import that was killed in the middle", () => {
  /** Runs until a step of the import never returns. @returns what the run had written down by then */
  async function killed(step: string, next: Images, pack = packed) {
    const set = await replaced({});
    archiveOf(set.node, next, set.path, pack);
    const dead = new AbortController();
    let written = set.record;
    await new Promise<void>((resolve) => {
      set.node.before(step, () => {
        resolve();
        return new Promise(() => {});
      });
      void set.run(
        [],
        { archives: [archive(set.path)] },
        {
          archives: set.record,
          signal: dead.signal,
          onRecord: (record) => void (written = record),
        },
      );
    });
    return { ...set, written };
  }

  test.each(["importArchive", "name of importArchive", "unpack"])(
    "in %s is put back by the next run, which imports",
    async (step) => {
      const { node, run, path, written } = await killed(step, { [APP]: NEW, [OTHER]: THIRD });
      const { outcomes, events, recorded } = await run(
        [],
        { archives: [archive(path)] },
        { archives: written },
      );
      expect(outcomes).toEqual({ [APP]: "imported", [OTHER]: "imported" });
      expect([leads(node, APP), leads(node, OTHER)]).toEqual([NEW.target.digest, THIRD.target.digest]);
      expect(warnings(events)).toEqual([
        expect.stringContaining(`the last run ended while it imported ${path}`),
      ]);
      expect(recorded.begun).toBeUndefined();
      expect(node.leases.size).toBe(0);
    },
  );

  test("leaves the old image where the archive turns out to be damaged", async () => {
    const { node, run, path, written } = await killed("unpack", { [APP]: NEW, [OTHER]: THIRD });
    node.before("unpack", fails("ctr: unexpected EOF"));
    await run([], { archives: [archive(path)] }, { archives: written });
    expect([leads(node, APP), leads(node, OTHER)]).toEqual([OLD.target.digest, undefined]);
  });

  test.each<
    [string, string | undefined, (set: Awaited<ReturnType<typeof killed>>) => unknown, typeof saved?]
  >([
    ["gets its name back, also for an archive of docker", OLD.target.digest, () => {}, saved],
    [
      "gets its name back, also if the new manifest is gone",
      OLD.target.digest,
      ({ node }) => node.blobs.delete(NEW.target.digest),
    ],
    [
      "keeps the new image if the previous one is gone",
      NEW.target.digest,
      ({ node }) => node.blobs.delete(OLD.target.digest),
    ],
    ["gets no name back that somebody has deleted since", undefined, ({ node }) => node.records.delete(APP)],
  ])("%s", async (_what, digest, harm, pack) => {
    const set = await killed("unpack", { [APP]: NEW }, pack);
    writeFileSync(set.path, "damaged");
    harm(set);
    await set.run([], { archives: [archive(set.path)] }, { archives: set.written });
    expect(leads(set.node, APP)).toBe(digest);
  });

  test("leaves alone what somebody else has put under the name since", async () => {
    const { node, run, path, written } = await killed("unpack", { [APP]: NEW });
    node.bring(APP, THIRD);
    node.before("importArchive", fails("ctr: unexpected EOF"));
    await run([], { archives: [archive(path)] }, { archives: written });
    expect(leads(node, APP)).toBe(THIRD.target.digest);
  });

  test("also by a run of which the list has changed, or that is narrowed", async () => {
    const { node, run, serve, written } = await killed("unpack", { [APP]: NEW });
    serve(served("a"), "r.one/a:1");
    await run(["r.one/a:1"], {}, { archives: written, only: ["r.one/a:1"] });
    expect(leads(node, APP)).toBe(OLD.target.digest);
  });
});

describe("one name", () => {
  test("from an archive and as a further name of the list is never moved back and forth", async () => {
    const set = bench();
    const path = archiveOf(set.node, { [APP]: NEW });
    set.serve(OLD, "r.one/a:1");
    const list = [wanted("r.one/a:1", { furtherNames: [reference("app:1")] })];
    let recorded: Ran["recorded"] = { imported: {} };
    for (let round = 0; round < 3; round += 1) {
      const ran = await set.run(list, { archives: [archive(path)] }, { archives: recorded });
      recorded = ran.recorded;
      expect(ran.outcomes[path]).toBe("failed in import: reference");
      expect(leads(set.node, APP)).toBe(OLD.target.digest);
    }
    expect(set.node.calls.filter((call) => call.startsWith("importArchive"))).toEqual([]);
    expect(set.node.calls.filter((call) => call.startsWith("tag "))).toHaveLength(1);
  });

  test("from two archives is the first one's, and the second fails", async () => {
    const set = bench();
    const [one, two] = [OLD, NEW].map((image) => archiveOf(set.node, { [APP]: image }));
    const { outcomes } = await set.run([], { archives: [one, two].map((path) => archive(path ?? "")) });
    expect(outcomes).toEqual({ [two ?? ""]: "failed in import: reference", [APP]: "imported" });
    expect(leads(set.node, APP)).toBe(OLD.target.digest);
  });

  test("from two archives of one image is no conflict", async () => {
    const set = bench();
    const paths = [
      archiveOf(set.node, { [APP]: NEW }),
      archiveOf(set.node, { [APP]: NEW }, undefined, saved),
    ];
    const { outcomes } = await set.run([], { archives: paths.map((path) => archive(path)) });
    expect(outcomes).toEqual({ [APP]: "imported" });
  });
});

describe("two archives with one image in two forms", () => {
  const [PLAIN, INDEXED] = [NEW, served("new", { index: true })];

  test("conflict if both give it the same name, and the first one keeps it", async () => {
    const { node, run } = bench();
    const [one, two] = [
      archiveOf(node, { [APP]: PLAIN }),
      archiveOf(node, { [APP]: INDEXED, [OTHER]: THIRD }),
    ];
    const { outcomes, events } = await run([], { archives: [archive(one), archive(two)] });
    expect(outcomes).toEqual({ [two]: "failed in import: reference", [APP]: "imported" });
    expect(failureOf(events, two)?.message).toContain(`${APP}, which is also a name of ${one}`);
    expect([leads(node, APP), leads(node, OTHER)]).toEqual([PLAIN.target.digest, undefined]);
  });

  test("do not conflict if the first one failed: the second one gets the name", async () => {
    const { node, run, path, record } = await replaced({ [APP]: PLAIN }, { [APP]: PLAIN });
    node.before(`importArchive ${path}`, fails("ctr: unexpected EOF"));
    const two = archiveOf(node, { [APP]: INDEXED });
    const { outcomes } = await run([], { archives: [archive(path), archive(two)] }, { archives: record });
    expect(outcomes).toEqual({ [path]: "failed in import: transfer", [APP]: "imported" });
    expect(leads(node, APP)).toBe(INDEXED.target.digest);
  });

  test("are both imported if their names differ", async () => {
    const { node, run } = bench();
    const [one, two] = [archiveOf(node, { [APP]: PLAIN }), archiveOf(node, { [OTHER]: INDEXED })];
    const { outcomes } = await run([], { archives: [archive(one), archive(two)] });
    expect(outcomes).toEqual({ [APP]: "imported", [OTHER]: "imported" });
  });
});

describe("a narrowed run", () => {
  test("imports the archive that holds a chosen image, and no other", async () => {
    const set = bench();
    const [mine, other] = [
      archiveOf(set.node, { [APP]: NEW, [OTHER]: OLD }),
      archiveOf(set.node, { "r.one/x:1": THIRD }),
    ];
    const archives = [archive(mine), archive(other)];
    const { outcomes, events } = await set.run([wanted(APP)], { archives }, { only: [APP] });
    expect(outcomes).toEqual({ [APP]: "imported" });
    expect(events.flatMap((event) => (event.type === "archive-done" ? [event.names] : []))).toEqual([[APP]]);
    expect(pulls(set.node)).toEqual([]);
  });
});

describe("pins of an archive that is listed", () => {
  test("stay when archives.json is lost and the archive cannot be read, and go when it leaves the list", async () => {
    const { node, run, path } = await replaced({ [APP]: NEW });
    writeFileSync(path, "damaged");
    await run([], { archives: [archive(path)] });
    expect(node.records.has(pinName(OLD.target))).toBe(true);
    await run([], { archives: [archive(`${folder.path}/n*thing.tar`)] });
    expect(node.records.has(pinName(OLD.target))).toBe(false);
  });

  test("stay while a pattern matches no file, which is a warning", async () => {
    const { node, run, path, record } = await replaced({ [APP]: NEW });
    rmSync(path);
    const pattern = `${path.slice(0, -3)}t?r`;
    const { events, outcomes } = await run([], { archives: [archive(pattern)] }, { archives: record });
    expect(node.records.has(pinName(OLD.target))).toBe(true);
    expect([warnings(events), outcomes]).toEqual([[`archives: no file matches the pattern: ${pattern}`], {}]);
    const must = await run([], { archives: [archive(pattern, { mustMatch: true })] }, { archives: record });
    expect(must.outcomes).toEqual({ [pattern]: "failed in import: not-found" });
  });
});

/** Names that pods could use, and what each led to. */
async function usableNames(node: InMemory): Promise<Map<string, string>> {
  const { containerd, records } = node;
  const seen = await lookAtNode(containerd, LINUX, [...records.keys()]);
  const found = [...records].filter(([name]) => judge(seen, name).is === "usable");
  return new Map(found.map(([name, { target }]) => [name, target.digest]));
}

test("no name that a pod could use is gone or points to another image, whatever archives hold and whatever fails", async () => {
  const images = ["p", "q", "r", "s"].map((seed) => served(seed));
  const names = ["docker.io/library/a:1", "docker.io/library/b:1", "short:1", "r.one/c:1"];
  const nth = fc.nat({ max: 3 });
  const some = fc.dictionary(fc.constantFrom(...names), nth, { minKeys: 1 });
  const calls = [
    "importArchive",
    "name of importArchive",
    "unpack",
    "records",
    "saveRecord",
    "deleteRecord",
    "tag",
    "name of tag",
    "hold",
    "createLease",
    "deleteLease",
    "criImages",
    "blob",
    "snapshots",
  ];
  const failure = fc.record({
    call: fc.constantFrom(...calls),
    after: fc.nat({ max: 6 }),
    times: fc.integer({ min: 1, max: 4 }),
    how: fc.constantFrom<() => Error>(
      gone,
      () => toolError(TEXTS.disk),
      () => toolError("unexpected EOF"),
    ),
  });
  const scenario = fc.record({
    before: some,
    archives: fc.array(fc.record({ holds: some, docker: fc.boolean(), isDamaged: fc.boolean() }), {
      minLength: 1,
      maxLength: 3,
    }),
    listed: fc.subarray(["docker.io/library/a:1", "r.one/c:1"]),
    failures: fc.array(failure, { maxLength: 3 }),
  });
  await fc.assert(
    fc.asyncProperty(scenario, async ({ before, archives, listed, failures }) => {
      const { node, run, serve } = bench();
      const stranger = serve(served("stranger"), ...names);
      for (const [name, image] of Object.entries(before))
        node.bring(reference(name).name, images[image] ?? OLD);
      // Nothing but its name holds an image.
      for (const name of node.records.keys()) if (name.includes("sha256:")) node.records.delete(name);
      const was = await usableNames(node);
      const paths = archives.map(({ holds, docker }) =>
        archiveOf(
          node,
          Object.fromEntries(Object.entries(holds).map(([name, image]) => [name, images[image] ?? OLD])),
          undefined,
          docker ? saved : packed,
        ),
      );
      for (const { call, after, times, how } of failures)
        node.before(
          call,
          ...Array.from({ length: after }, () => () => {}),
          ...Array.from({ length: times }, () => () => {
            throw how();
          }),
        );
      const damage = (): void =>
        archives.forEach(({ isDamaged }, at) => {
          const broken = Array.from({ length: 9 }, () =>
            fails("ctr: failed to extract layer: unexpected EOF"),
          );
          if (isDamaged) node.before(`unpack ${paths[at]}`, ...broken);
        });
      damage();
      const first = await run(
        listed.map((name) => wanted(name)),
        { archives: paths.map((path) => archive(path)) },
      );
      node.forget();
      damage();
      // What the first could not put back, because containerd stayed away, the second does.
      await run([], { archives: paths.map((path) => archive(path)) }, { archives: first.recorded });
      const is = await usableNames(node);
      for (const [name, digest] of was) {
        const brought = archives
          .filter(({ isDamaged }) => !isDamaged)
          .flatMap(({ holds }) => Object.entries(holds))
          .filter(([held]) => reference(held).name === name)
          .map(([, image]) => images[image]?.target.digest);
        expect([digest, ...brought], name).toContain(is.get(name));
      }
      for (const name of archives.flatMap(({ holds }) => Object.keys(holds)))
        expect(is.get(reference(name).name), name).not.toBe(stranger.target.digest);
    }),
    { numRuns: 60 },
  );
}, 30_000);
