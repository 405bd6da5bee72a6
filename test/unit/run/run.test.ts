import { describe, expect, test } from "vitest";
import { Failed } from "../../../src/core/failure.ts";
import type { WantedImage } from "../../../src/core/plan.ts";
import { pinName, pinRecord } from "../../../src/core/pins.ts";
import { EXIT } from "../../../src/exit.ts";
import { gone, toolError } from "../containerd/in-memory.ts";
import { ARM, served } from "../containerd/served-image.ts";
import { credential, reference, wanted } from "../samples.ts";
import { bench, config, MACHINE, TEXTS, typesOf } from "./bench.ts";

const A = "r.one/a:1";
const B = "r.one/b:1";
const C = "r.two/c:1";
const fails = (text: string) => (): never => {
  throw toolError(text);
};
const times = (count: number, step: () => never) => Array.from({ length: count }, () => step);
const at = (name: string, { target }: ReturnType<typeof served>): string => `${name}@${target.digest}`;

describe("a run", () => {
  test("pulls, pins and names what is missing, and proves it", async () => {
    const { node, run, serve } = bench();
    const image = serve(served("a"), A);
    const { outcomes, error, events } = await run([wanted(A, { furtherNames: [reference("x.y/z:1")] })]);
    expect([outcomes, error]).toEqual([{ [A]: "pulled" }, undefined]);
    expect(new Set(node.records.keys())).toEqual(
      new Set([A, at("r.one/a", image), image.id, "x.y/z:1", at("x.y/z", image), pinName(image.target)]),
    );
    expect(typesOf(events, A)).toEqual(
      expect.arrayContaining(["attempt-started", "pulled", "pinned", "tagged", "placed", "image-done"]),
    );
    expect(events.find(({ type }) => type === "image-done")).toMatchObject({
      verified: { id: image.id, digest: image.target.digest, pinned: true },
    });
  });

  test("pulls an image with an index by its manifest for this platform", async () => {
    const { run, serve } = bench();
    const image = serve(served("a", { index: true }), A);
    const { outcomes, events } = await run([A]);
    expect(outcomes).toEqual({ [A]: "pulled" });
    expect(events.find(({ type }) => type === "image-done")).toMatchObject({
      verified: { id: image.id, digest: image.target.digest },
    });
  });

  test("keeps pulling after one image fails", async () => {
    const { node, run, serve } = bench();
    serve(served("b"), B);
    node.before(`pull ${C}`, ...times(99, fails(TEXTS.server)));
    const { outcomes, error } = await run([A, B, C], { concurrency: 1 });
    expect(outcomes).toEqual({
      [A]: "failed in pull: not-found",
      [B]: "pulled",
      [C]: "failed in pull: server",
    });
    expect(error).toBeUndefined();
  });

  test("that has nothing to do changes nothing and calls no tool", async () => {
    const { node, run, serve } = bench();
    serve(served("a"), A);
    await run([wanted(A, { furtherNames: [reference("x.y/z:1")] }), wanted(B)]);
    const before = node.calls.length;
    serve(served("b"), B);
    await run([wanted(A, { furtherNames: [reference("x.y/z:1")] }), wanted(B)]);
    const [changes, calls] = [node.changes().length, node.calls.length];
    expect(calls).toBeGreaterThan(before);
    const { outcomes } = await run([wanted(A, { furtherNames: [reference("x.y/z:1")] }), wanted(B)]);
    expect(outcomes).toEqual({ [A]: "present", [B]: "present" });
    expect(node.changes().length).toBe(changes);
    // One look serves the plan and the proof.
    expect(node.calls.slice(calls).filter((call) => call.startsWith("records"))).toHaveLength(1);
  });

  test("of an empty list does nothing", async () => {
    const { node, run } = bench();
    expect(await run([])).toMatchObject({ outcomes: {}, error: undefined });
    expect(node.changes()).toEqual([]);
  });

  test.each([
    ["its config", (image: ReturnType<typeof served>) => image.config.digest],
    ["its manifest", (image: ReturnType<typeof served>) => image.manifest.digest],
  ])("pulls an image again that lacks %s, under IfNotPresent too", async (_what, digestOf) => {
    const { node, run, serve } = bench();
    const image = serve(served("a"), A);
    node.bring(A, image);
    node.blobs.delete(digestOf(image));
    expect((await run([A])).outcomes).toEqual({ [A]: "pulled" });
    expect(node.changes()).toContain(`pull ${A}`);
  });

  test("pulls an image again of which CRI knows, and whose snapshot and layer are gone", async () => {
    const { node, run, serve } = bench();
    const image = serve(served("a"), A);
    node.bring(A, image);
    node.snapshots.delete(image.chainId);
    node.blobs.delete(image.layers[0]?.digest ?? "");
    expect((await run([A])).outcomes).toEqual({ [A]: "pulled" });
  });

  test("keeps an image whose layers were discarded once they were unpacked", async () => {
    const { node, run, serve } = bench();
    const image = serve(served("a"), A);
    node.bring(A, image);
    for (const { digest } of image.layers) node.blobs.delete(digest);
    expect((await run([A])).outcomes).toEqual({ [A]: "present" });
  });

  test.each([
    ["for another platform", served("a", { platform: ARM }), "platform"],
    ["no container image", served("a", { artifact: true }), "not-an-image"],
  ])("fails an image that is %s, and gives it neither name nor pin", async (_what, image, failureClass) => {
    const { node, run, serve } = bench();
    serve(image, A);
    const { outcomes } = await run([wanted(A, { furtherNames: [reference("x.y/z:1")] })]);
    expect(outcomes).toEqual({ [A]: `failed in pull: ${failureClass}` });
    expect(node.changes().filter((call) => /^(?:tag|saveRecord)/u.test(call))).toEqual([]);
  });

  test.each(["debian-base:v2", "index.docker.io/library/debian-base:v2", "library/debian-base:v2"])(
    "pulls a name that is there only as %s, which CRI shows and no pod finds",
    async (literal) => {
      const { node, run, serve } = bench();
      const name = "docker.io/library/debian-base:v2";
      const image = serve(served("a"), name);
      node.bring(name, image);
      node.records.delete(name);
      node.record(literal, image);
      expect((await node.containerd.criImages())[0]?.names).toContain(name);
      expect((await run(["debian-base:v2"])).outcomes).toEqual({ [name]: "pulled" });
      expect(node.records.has(name)).toBe(true);
    },
  );

  test("waits for a registry that comes back, and tells each attempt", async () => {
    const { node, run, serve } = bench();
    serve(served("a"), A);
    node.before(`pull ${A}`, fails(TEXTS.network), fails(TEXTS.network));
    const { outcomes, events } = await run([A]);
    expect(outcomes).toEqual({ [A]: "pulled" });
    expect(events.filter(({ type }) => type === "attempt-failed")).toMatchObject([
      { retryIn: 1_000 },
      { retryIn: 2_000 },
    ]);
  });

  test("warns of what the operator should know, and of a containerd that cannot pin, which then pins nothing", async () => {
    const { node, run, serve } = bench("1.6.20");
    serve(served("a"), A);
    const old = served("old");
    node.bring(C, old);
    node.records.set(pinName(old.target), pinRecord(old.target));
    const { outcomes, events } = await run([A], { warnings: ["careful"] });
    expect(outcomes).toEqual({ [A]: "pulled" });
    expect(events.filter(({ type }) => type === "warning")).toMatchObject([
      { message: "careful" },
      { message: expect.stringContaining("1.6.20") },
    ]);
    expect(node.changes().filter((call) => /Record/u.test(call))).toEqual([]);
  });

  test("warns that nothing is pinned if one image of several was to be", async () => {
    const { run, serve } = bench("1.6.20");
    serve(served("a"), A, B);
    const { events } = await run([A, wanted(B, { pin: false })]);
    expect(events.filter(({ type }) => type === "warning")).toHaveLength(1);
  });

  test("reports its plan, and does not wait for a start without a delay", async () => {
    const { run, serve } = bench();
    serve(served("a"), A);
    const { events } = await run([A]);
    expect(typesOf(events)).not.toContain("waiting");
    expect(events.find(({ type }) => type === "planned")).toMatchObject({
      images: [{ image: { source: { name: A } }, decision: { action: "pull" } }],
    });
  });

  test.each([
    ["2.1.0", [A, B], 1],
    ["2.1.0", [A], 0],
    ["1.7.35", [A, B], 0],
  ] as const)(
    "notes where pulls share the node's downloads: containerd %s, %j",
    async (version, names, notes) => {
      const { run, serve } = bench(version);
      for (const name of names) serve(served(name), name);
      const { events } = await run(names);
      expect(events.filter(({ type }) => type === "note")).toHaveLength(notes);
      for (const event of events)
        if (event.type === "note") expect(event.message).toContain("max_concurrent_downloads");
    },
  );

  test("reports that it waits for containerd before it begins", async () => {
    const { node, run, serve } = bench();
    serve(served("a"), A);
    node.before("version", () => {
      throw gone();
    });
    const { events } = await run([A]);
    expect(events[0]).toMatchObject({ type: "waiting", phase: "waiting-for-runtime" });
  });

  test("asks how crictl takes a login only if there is one", async () => {
    const { node, run, serve } = bench();
    serve(served("a"), A, B);
    await run([A]);
    expect(node.calls).not.toContain("prepareLogin");
    await run([A, wanted(B, { credential: credential() })]);
    expect(node.calls).toContain("prepareLogin");
  });

  test("writes down what it knows of the disk only if that has changed", async () => {
    const { node, disk, run, serve } = bench();
    const image = serve(served("a"), A);
    node.disk.content = "/content";
    await run([A]);
    const known = disk();
    expect([...known.sound]).toEqual([image.target.digest]);
    await run([A]);
    expect(disk()).toBe(known);
  });

  test("warns of a disk that it has filled beyond the kubelet's line", async () => {
    const { node, run, serve } = bench();
    serve(served("a"), A);
    node.disk.content = "/content";
    const usage = async () => ({
      ...(await MACHINE.usage("")),
      bavail: node.records.has(A) ? 100_000 : 500_000,
    });
    const { events } = await run([A], {}, { machine: { ...MACHINE, usage } });
    expect(events.filter(({ type }) => type === "warning")).toMatchObject([
      { message: expect.stringContaining("(10.0%) free on /content") },
    ]);
  });

  test("waits its jitter before anything else", async () => {
    const { node, clock, run } = bench();
    const begin = clock.now();
    const { events } = await run([], { start_jitter: 30_000 });
    expect(clock.now() - begin).toBe(30_000);
    expect(events[0]).toEqual({
      type: "waiting",
      phase: "waiting-for-start",
      why: "a random part of start_jitter, 30.0s",
    });
    expect(node.calls[0]).toBe("version");
  });
});

describe("a further name by digest", () => {
  const withTarget = (image: ReturnType<typeof served>): WantedImage =>
    wanted(A, { furtherNames: [reference(at("x.y/z", image))] });

  test("is given where the image has that digest", async () => {
    const { node, run, serve } = bench();
    const image = serve(served("a"), A);
    expect((await run([withTarget(image)])).outcomes).toEqual({ [A]: "pulled" });
    expect(node.records.get(at("x.y/z", image))?.target).toEqual(image.target);
  });

  test("fails where it has not, and nothing is named", async () => {
    const { node, run, serve } = bench();
    serve(served("a"), A);
    expect((await run([withTarget(served("other"))])).outcomes).toEqual({ [A]: "failed in tag: reference" });
    expect(node.changes().filter((call) => call.startsWith("tag"))).toEqual([]);
  });
});

describe("names", () => {
  test("of an image that is here are made where they are missing and moved where they lead elsewhere, in one call", async () => {
    const { node, run, serve } = bench();
    const [image, other] = [serve(served("a"), A), served("other")];
    node.bring(A, image);
    node.bring("x.y/z:1", other);
    const { events } = await run([wanted(A, { furtherNames: [reference("x.y/z:1"), reference("x.y/z:2")] })]);
    expect(node.changes().filter((call) => call.startsWith("tag"))).toEqual([
      `tag ${at("r.one/a", image)} x.y/z:1,x.y/z:2,${at("x.y/z", image)}`,
    ]);
    expect(events.filter(({ type }) => type === "tagged")).toMatchObject([
      { target: "x.y/z:1", moved: true },
      { moved: false },
      { moved: false },
    ]);
    expect(node.records.get("x.y/z:1")?.target).toEqual(image.target);
  });

  test("of an image whose source somebody deletes before they are made are given after it was pulled once more", async () => {
    const { node, run, serve } = bench();
    const image = serve(served("a"), A);
    node.before("tag", () => void node.records.delete(A));
    const { outcomes } = await run([wanted(A, { furtherNames: [reference("x.y/z:1")] })]);
    expect(outcomes).toEqual({ [A]: "pulled" });
    expect(node.changes().filter((call) => call.startsWith("pull"))).toEqual([`pull ${A}`, `pull ${A}`]);
    expect([A, "x.y/z:1"].map((name) => node.records.get(name)?.target)).toEqual([
      image.target,
      image.target,
    ]);
  });

  test("of an image whose source somebody deletes at once are given after it was pulled once more", async () => {
    const { node, run, serve } = bench();
    serve(served("a"), A);
    // First the node is looked at, and then the image that was pulled.
    node.before(
      "records",
      () => {},
      () => void node.records.delete(A),
    );
    const { outcomes } = await run([wanted(A, { furtherNames: [reference("x.y/z:1")] })]);
    expect(outcomes).toEqual({ [A]: "pulled" });
    expect(node.changes().filter((call) => call.startsWith("pull"))).toHaveLength(2);
    expect(node.records.has("x.y/z:1")).toBe(true);
  });

  test("of an image whose name by digest is deleted again and again fail it, and what is missing is told", async () => {
    const { node, run, serve } = bench();
    serve(served("a"), A);
    const byDigest = at("r.one/a", served("a"));
    node.before("tag", ...Array.from({ length: 9 }, () => () => void node.records.delete(byDigest)));
    const { outcomes, events } = await run([wanted(A, { furtherNames: [reference("x.y/z:1")] })]);
    expect(outcomes).toEqual({ [A]: "failed in tag: runtime" });
    expect(node.changes().filter((call) => call.startsWith("pull"))).toHaveLength(1);
    expect(events.find(({ type }) => type === "image-failed")).toMatchObject({
      failure: {
        message: `it is on the node, but without all its names: image "${byDigest}": not found`,
        next: expect.stringContaining("somebody's deletion"),
      },
    });
  });

  test("that could not be given at first are given by the repair", async () => {
    const { node, run, serve } = bench();
    serve(served("a"), A);
    node.before("tag", fails("ctr: something nobody knows"));
    const { outcomes } = await run([wanted(A, { furtherNames: [reference("x.y/z:1")] })]);
    expect(outcomes).toEqual({ [A]: "pulled" });
    expect(node.records.has("x.y/z:1")).toBe(true);
  });

  test.each([
    ["once, for a reason that may pass, are given by the repair", 1, "ctr: nobody knows this", "pulled"],
    ["twice fail their image", 2, "ctr: nobody knows this", "failed in tag: unknown"],
    ["because the disk is full fail their image at once", 1, TEXTS.disk, "failed in tag: disk"],
  ])("that cannot be given %s, and no other", async (_what, count, text, outcome) => {
    const { node, run, serve } = bench();
    serve(served("a"), A);
    node.bring(B, served("b"));
    node.before(`tag ${at("r.one/a", served("a"))}`, ...times(count, fails(text)));
    const { outcomes } = await run([wanted(A, { furtherNames: [reference("x.y/z:1")] }), wanted(B)]);
    expect(outcomes).toEqual({ [A]: outcome, [B]: "present" });
    expect(node.changes().filter((call) => call.startsWith("pull"))).toEqual([`pull ${A}`]);
  });
});

describe("pins", () => {
  test("are made for images that are here, and those of images that left the list are taken away", async () => {
    const { node, run, serve } = bench();
    const [image, old] = [serve(served("a"), A), served("old")];
    node.bring(A, image);
    node.bring(C, old);
    node.records.set(pinName(old.target), pinRecord(old.target));
    const { outcomes, events } = await run([A]);
    expect(outcomes).toEqual({ [A]: "present" });
    expect(node.changes()).toEqual([
      `saveRecord ${pinName(image.target)}`,
      `deleteRecord ${pinName(old.target)}`,
    ]);
    expect(events).toContainEqual({ type: "unpinned", name: C });
    expect(node.records.has(C)).toBe(true);
  });

  test("of an image whose tag moved follow it", async () => {
    const { node, run, serve } = bench();
    const old = served("old");
    node.bring(A, old);
    node.records.set(pinName(old.target), pinRecord(old.target));
    const fresh = serve(served("new"), A);
    await run([wanted(A, { pullPolicy: "Always" })]);
    expect([node.records.has(pinName(old.target)), node.records.has(pinName(fresh.target))]).toEqual([
      false,
      true,
    ]);
  });

  test("of an image whose pull failed stay: what is here is still wanted", async () => {
    const { node, run } = bench();
    const old = served("old");
    node.bring(A, old);
    node.records.set(pinName(old.target), pinRecord(old.target));
    const { outcomes } = await run([wanted(A, { pullPolicy: "Always" })]);
    expect(outcomes).toEqual({ [A]: "failed in pull: not-found" });
    expect(node.records.has(pinName(old.target))).toBe(true);
  });

  test("are the only records that get a label: nobody else's is touched", async () => {
    const { node, run, serve } = bench();
    const image = serve(served("a"), A);
    node.bring(A, image);
    node.record("their.own/pin:1", image, { "io.cri-containerd.pinned": "pinned", mine: "yes" });
    const theirs = (): unknown[] =>
      [...node.records.values()].filter(({ name }) => !name.startsWith("import-images.invalid/"));
    const before = structuredClone(theirs());
    await run([A]);
    await run([]);
    expect(theirs()).toEqual(before);
  });

  test("that cannot be taken away are warned of, and fail nothing", async () => {
    const { node, run } = bench();
    const old = served("old");
    node.bring(C, old);
    node.records.set(pinName(old.target), pinRecord(old.target));
    node.before("deleteRecord", fails("nobody knows"));
    const { error, events } = await run([]);
    expect(error).toBeUndefined();
    expect(events.filter(({ type }) => type === "warning")).toHaveLength(1);
  });
});

describe("what was fetched", () => {
  /** A pull of A that has its manifest and an open layer, and then goes on to its end. */
  function slowly(end: () => void = () => {}) {
    const set = bench();
    const image = set.serve(served("a", { layers: [100] }), A);
    const ref = `layer-${image.layers[0]?.digest}`;
    set.node.before(`pull ${A}`, async () => {
      await set.clock.sleep(100);
      for (const blob of [image.manifest, image.config])
        set.node.blobs.set(blob.digest, {
          ...blob,
          labels: { ...blob.labels, "containerd.io/distribution.source.r.one": "a" },
        });
      set.node.downloads.set(ref, { ref, offset: 10, total: 100 });
      await set.clock.sleep(5_000);
      end();
      set.node.downloads.delete(ref);
    });
    return { ...set, image, ref };
  }

  test("is held during the pull, and let go when all is right", async () => {
    const { node, run, ref, image } = slowly();
    let held: string[] = [];
    node.before("saveRecord", () => (held = [...node.leases.values()].flatMap((lease) => [...lease])));
    expect((await run([A])).outcomes).toEqual({ [A]: "pulled" });
    expect(new Set(held)).toEqual(new Set([image.manifest.digest, ref]));
    expect(node.leases.size).toBe(0);
  });

  test("is held after a failure, for the next attempt and the next run", async () => {
    const { node, run, ref, serve } = slowly(fails(TEXTS.auth));
    expect((await run([A])).outcomes).toEqual({ [A]: "failed in pull: auth" });
    expect([...node.leases.values()].some((lease) => lease.has(ref))).toBe(true);
    serve(served("a", { layers: [100] }), A);
    expect((await run([A])).outcomes).toEqual({ [A]: "pulled" });
    expect(node.leases.size).toBe(0);
  });

  test("is let go on a full disk, which ends the run", async () => {
    const { node, run } = slowly(fails(TEXTS.disk));
    const { outcomes, events } = await run([A, B], { concurrency: 1 });
    expect(outcomes).toEqual({ [A]: "failed in pull: disk", [B]: "failed in pull: disk" });
    expect(node.leases.size).toBe(0);
    expect(node.changes()).not.toContain(`pull ${B}`);
    expect(events.find((event) => event.type === "image-failed" && event.image === A)).toMatchObject({
      failure: {
        message: expect.stringContaining("the image is 100B compressed, and larger when unpacked; "),
      },
    });
  });

  test("of a pull that a full disk elsewhere ends is not made again by a later look", async () => {
    const { node, clock, run } = bench();
    const b = served("b", { layers: [5_000_000] });
    const ref = `layer-${b.layers[0]?.digest}`;
    node.before(`pull ${A}`, async () => {
      await clock.sleep(2_000);
      throw toolError(TEXTS.disk);
    });
    node.before(`pull ${B}`, async (signal) => {
      await clock.sleep(1_950);
      const labels = { "containerd.io/distribution.source.r.one": "b" };
      for (const blob of [b.manifest, b.config])
        node.blobs.set(blob.digest, { ...blob, labels: { ...blob.labels, ...labels } });
      for (let step = 1; step <= 40; step += 1) {
        if (signal?.aborted === true) break;
        node.downloads.set(ref, { ref, offset: step * 100_000, total: 5_000_000 });
        await clock.sleep(250);
      }
      await clock.sleep(1_000);
      throw toolError("crictl was ended by SIGTERM");
    });
    const { outcomes } = await run([A, B], { concurrency: 2 });
    expect(outcomes).toEqual({ [A]: "failed in pull: disk", [B]: "failed in pull: disk" });
    expect(node.leases.size).toBe(0);
  });

  test("lets go of an image that is placed, also where another one fails for good", async () => {
    const { node, run } = slowly();
    const { outcomes } = await run([A, "r.one/typo:1"]);
    expect(outcomes).toEqual({ [A]: "pulled", "r.one/typo:1": "failed in pull: not-found" });
    expect(node.changes().some((call) => call.startsWith("createLease"))).toBe(true);
    expect(node.leases.size).toBe(0);
  });

  test("by an earlier run is let go by one after which everything is in place", async () => {
    const { node, run } = bench();
    node.leases.set("import-images-earlier", new Set(["layer-x"]));
    node.bring(B, served("b"));
    await run([A, B]);
    expect([...node.leases.keys()]).toEqual(["import-images-earlier"]);
    await run([B]);
    expect([...node.leases.keys()]).toEqual([]);
  });

  test("is let go by a narrowed run only as far as it is its own", async () => {
    const { node, run } = slowly();
    node.leases.set("import-images-earlier", new Set(["layer-x"]));
    await run([A], {}, { only: [A] });
    expect([...node.leases.keys()]).toEqual(["import-images-earlier"]);
  });

  test("is not worth a failure: a lease that cannot be had costs bytes", async () => {
    const { node, run } = slowly();
    node.before("createLease", ...times(9, fails("no")));
    expect((await run([A])).outcomes).toEqual({ [A]: "pulled" });
  });
});

describe("the proof", () => {
  test("finds an image that somebody removed meanwhile, which is pulled once more", async () => {
    const { node, run, serve } = bench();
    const image = serve(served("a"), A);
    const { outcomes } = await run(
      [A],
      {},
      { onEvent: ({ type }) => void (type === "verifying" && node.rmi(image)) },
    );
    expect(outcomes).toEqual({ [A]: "pulled" });
    expect(node.changes().filter((call) => call.startsWith("pull"))).toHaveLength(2);
    expect(node.records.has(pinName(image.target))).toBe(true);
  });

  test("fails an image that is removed again and again, after one repair", async () => {
    const { node, run, serve } = bench();
    const image = serve(served("a"), A);
    const remove = (): void => node.rmi(image);
    const { outcomes } = await run(
      [A],
      {},
      { onEvent: ({ type }) => void (type === "placed" && node.before("records", remove)) },
    );
    expect(outcomes).toEqual({ [A]: "failed in verify: unknown" });
    expect(node.changes().filter((call) => call.startsWith("pull"))).toHaveLength(2);
  });

  test("gives back a further name that was moved meanwhile, without a pull", async () => {
    const { node, run, serve } = bench();
    const [image, other] = [serve(served("a"), A), served("other")];
    const steal = (): void => node.record("x.y/z:1", other);
    await run(
      [wanted(A, { furtherNames: [reference("x.y/z:1")] })],
      {},
      { onEvent: ({ type }) => void (type === "verifying" && steal()) },
    );
    expect(node.records.get("x.y/z:1")?.target).toEqual(image.target);
    expect(node.changes().filter((call) => call.startsWith("pull"))).toHaveLength(1);
  });

  test("tells an image as pulled that this run pulled, also when its pin had to be made again", async () => {
    const { node, run, serve } = bench();
    const image = serve(served("a"), A);
    const unpin = (): void => void node.records.delete(pinName(image.target));
    const { outcomes } = await run(
      [A],
      {},
      { onEvent: ({ type }) => void (type === "verifying" && unpin()) },
    );
    expect(outcomes).toEqual({ [A]: "pulled" });
  });

  test("reports each image as what it was, whichever of them lost something meanwhile", async () => {
    const { node, run, serve } = bench();
    const [here, fetched] = [served("here"), serve(served("a"), A)];
    node.bring(B, here);
    const lose = (): void => {
      node.records.delete("x.y/z:1");
      node.records.delete(pinName(fetched.target));
    };
    const { outcomes } = await run(
      [A, wanted(B, { furtherNames: [reference("x.y/z:1")] })],
      {},
      { onEvent: ({ type }) => void (type === "verifying" && lose()) },
    );
    expect(outcomes).toEqual({ [A]: "pulled", [B]: "present" });
  });

  test("reports an image as pulled that had to be pulled again", async () => {
    const { node, run, serve } = bench();
    const image = serve(served("a"), A);
    node.bring(A, image);
    const { outcomes } = await run(
      [A],
      {},
      { onEvent: ({ type }) => void (type === "verifying" && node.rmi(image)) },
    );
    expect(outcomes).toEqual({ [A]: "pulled" });
  });

  test("makes the records of an image again of which CRI does not hear, and touches no other", async () => {
    const { node, run } = bench();
    const [image, other] = [served("a"), served("b")];
    node.bring(A, image);
    node.bring(B, other);
    const list = [
      wanted(A, { furtherNames: [reference("x.y/z:1")] }),
      wanted(B, { furtherNames: [reference("x.y/b:1")] }),
    ];
    await run(list);
    for (const name of [A, "x.y/z:1", pinName(image.target)]) node.deaf.add(name);
    node.calls.length = 0;
    const { outcomes } = await run(
      list,
      {},
      { onEvent: ({ type }) => void (type === "verifying" && node.record("x.y/b:1", image)) },
    );
    expect(outcomes).toEqual({ [A]: "present", [B]: "present" });
    expect(node.changes().filter((call) => call.startsWith("saveRecord"))).toEqual([
      `saveRecord ${A}`,
      `saveRecord ${pinName(image.target)}`,
      `saveRecord ${at("r.one/a", image)}`,
    ]);
    expect(node.changes().filter((call) => call.startsWith("tag"))).toEqual([
      expect.stringMatching(/^tag \S+ x\.y\/b:1$/u),
      expect.stringContaining(`${at("r.one/a", image)} x.y/z:1`),
    ]);
    expect([...node.deaf]).toEqual([]);
  });

  test("waits for CRI, which hears of a name later than containerd", async () => {
    const { node, run, serve } = bench();
    serve(served("a"), A);
    node.unheard.add(A);
    const nothing = (): void => {};
    node.before("criImages", nothing, nothing, nothing, () => node.unheard.delete(A));
    expect((await run([A])).outcomes).toEqual({ [A]: "pulled" });
    expect(node.changes().filter((call) => call.startsWith("pull"))).toHaveLength(1);
  });

  test("is not confused by a short literal name that CRI shows as the wanted one", async () => {
    const { node, run, serve } = bench();
    serve(served("a"), "docker.io/library/c:1");
    const load = (): void => {
      node.bring(B, served("other"));
      node.record("c:1", served("other"));
    };
    const { outcomes } = await run(
      ["c:1"],
      {},
      { onEvent: ({ type }) => void (type === "verifying" && load()) },
    );
    expect(outcomes).toEqual({ "docker.io/library/c:1": "pulled" });
  });

  test("fails a name that CRI never lists, and pulls nothing for it again", async () => {
    const { node, clock, run, serve } = bench();
    serve(served("a"), A);
    node.unheard.add(A);
    const begin = clock.now();
    expect((await run([A])).outcomes).toEqual({ [A]: "failed in verify: unknown" });
    expect(node.changes().filter((call) => call.startsWith("pull"))).toHaveLength(1);
    // Five seconds each for the proof and for that of the repair.
    expect(clock.now() - begin).toBeGreaterThanOrEqual(10_000);
    expect(clock.now() - begin).toBeLessThan(12_000);
  });

  test("that cannot be read says so of every image", async () => {
    const { node, run, serve } = bench();
    serve(served("a"), A);
    node.before("criImages", () => {}, ...times(9, fails("nobody knows")));
    const { outcomes } = await run([A]);
    expect(outcomes).toEqual({ [A]: "failed in verify: unknown" });
  });
});

describe("under an implicit Always", () => {
  const latest = wanted("r.one/a:latest", { pullPolicy: "implicit-Always" });
  const LATEST = "r.one/a:latest";

  test("a usable image is kept with a warning when its registry cannot be asked, after two attempts", async () => {
    const { node, run } = bench();
    node.bring(LATEST, served("a"));
    node.before(`pull ${LATEST}`, ...times(99, fails(TEXTS.network)));
    const { outcomes, events } = await run([latest]);
    expect(outcomes).toEqual({ [LATEST]: "kept" });
    expect(events.filter(({ type }) => type === "attempt-started")).toHaveLength(2);
    expect(events.filter(({ type }) => type === "warning")).toHaveLength(1);
  });

  test.each([
    ["not-found", TEXTS["not-found"]],
    ["auth", TEXTS.auth],
  ])("a registry that answers with %s is believed", async (failureClass, text) => {
    const { node, run } = bench();
    node.bring(LATEST, served("a"));
    node.before(`pull ${LATEST}`, fails(text));
    expect((await run([latest])).outcomes).toEqual({ [LATEST]: `failed in pull: ${failureClass}` });
  });

  test("an image that is not here fails as any other", async () => {
    const { node, run } = bench();
    node.before(`pull ${LATEST}`, ...times(99, fails(TEXTS.network)));
    expect((await run([latest])).outcomes).toEqual({ [LATEST]: "failed in pull: network" });
  });

  test("and an image that was asked for by Always is not kept", async () => {
    const { node, run } = bench();
    node.bring(LATEST, served("a"));
    node.before(`pull ${LATEST}`, ...times(99, fails(TEXTS.network)));
    expect((await run([{ ...latest, pullPolicy: "Always" }])).outcomes).toEqual({
      [LATEST]: "failed in pull: network",
    });
  });
});

test("a narrowed run leaves all others alone: images, pins, labels and archives", async () => {
  const { node, run, serve } = bench();
  serve(served("a"), A);
  serve(served("b"), B);
  const old = served("old");
  node.bring(C, old);
  node.records.set(pinName(old.target), pinRecord(old.target));
  node.record("o.p/q:1", old, { "io.import-images.pinned": "pinned" });
  const archives = [{ path: "/nowhere.tar", required: true, mustMatch: true, pin: true, timeout: 1_000 }];
  const { outcomes } = await run([A, B], { archives }, { only: [A] });
  expect(outcomes).toEqual({ [A]: "pulled" });
  expect(node.changes().filter((call) => !/^(?:createLease|hold|deleteLease)/u.test(call))).toEqual([
    `pull ${A}`,
    expect.stringContaining("saveRecord"),
  ]);
});

describe("a digest under several names", () => {
  const image = served("a");
  const [first, second] = [at("r.one/a", image), at("r.two/a", image)];

  test("is pulled once and then named", async () => {
    const { node, run, serve } = bench();
    serve(image, first, second);
    expect((await run([first, second])).outcomes).toEqual({ [first]: "pulled", [second]: "present" });
    expect(node.changes().filter((call) => call.startsWith("pull"))).toEqual([`pull ${first}`]);
  });

  test("is pulled under its own name where the other pull failed", async () => {
    const { node, run, serve } = bench();
    serve(image, second);
    expect((await run([first, second])).outcomes).toEqual({
      [first]: "failed in pull: not-found",
      [second]: "pulled",
    });
    expect(node.records.has(second)).toBe(true);
  });

  test("is pulled where the name could not be made from the other, and that is no failure", async () => {
    const { node, run, serve } = bench();
    node.bring("r.three/b:1", image);
    serve(image, first);
    node.before(`saveRecord ${first}`, fails("nobody knows"));
    const { outcomes, events } = await run([first]);
    expect(outcomes).toEqual({ [first]: "pulled" });
    expect(events.filter(({ type }) => type === "image-failed")).toEqual([]);
  });

  test("ends the run with a bug of ours", async () => {
    const { node, run } = bench();
    node.bring("r.three/b:1", image);
    node.before(`saveRecord ${first}`, () => {
      throw new TypeError("x is not a function");
    });
    expect((await run([first])).error).toMatchObject({ name: "TypeError" });
  });

  test("is pulled first, whatever the sizes, and its other names wait for it", async () => {
    const { node, run, serve } = bench();
    serve(image, first, second);
    serve(served("b"), B);
    // The one of unknown size would come first.
    const sizes = new Map([
      [second, 5],
      [B, 4],
    ]);
    const { events } = await run([second, B, first], { concurrency: 1 }, { sizes });
    expect(node.changes().filter((call) => call.startsWith("pull"))).toEqual([`pull ${second}`, `pull ${B}`]);
    expect(events).toContainEqual({ type: "tagged", image: first, target: first, moved: false });
  });

  test("is named without any pull where the node has it under a name that nobody wants", async () => {
    const { node, run } = bench();
    node.bring("r.three/b:1", image);
    expect((await run([first])).outcomes).toEqual({ [first]: "present" });
    expect(node.changes().filter((call) => call.startsWith("pull"))).toEqual([]);
  });
});

describe("a containerd that goes away", () => {
  test("at any step is waited for, and nothing fails", async () => {
    for (const call of ["records", "blobs", "criImages", "snapshots", "read", "saveRecord", "tag", "pull"]) {
      const { node, run, serve } = bench();
      serve(served("a"), A);
      const away =
        call === "pull"
          ? fails(TEXTS.runtime)
          : (): never => {
              throw gone();
            };
      node.before(call, away, away);
      node.before(
        "version",
        () => {},
        () => {},
        () => {
          throw gone();
        },
      );
      const { outcomes, error } = await run([wanted(A, { furtherNames: [reference("x.y/z:1")] })]);
      expect([call, outcomes, error]).toEqual([call, { [A]: "pulled" }, undefined]);
    }
  });

  test("during the proof, for good, ends the run with its own code", async () => {
    const { node, run, serve } = bench();
    serve(served("a"), A);
    const lose = (): void => {
      for (const call of ["criImages", "version"])
        node.before(
          call,
          ...times(9_999, () => {
            throw gone();
          }),
        );
    };
    const { error } = await run([A], {}, { onEvent: ({ type }) => void (type === "verifying" && lose()) });
    expect(error).toMatchObject({ exitCode: EXIT.runtimeNotReady });
  });

  test("while an image is pulled, for good, ends the run with its own code also where others are to be looked at", async () => {
    const { node, run, serve } = bench();
    serve(served("a"), A);
    node.bring(C, served("other"));
    node.disk.content = "/content";
    node.before(`pull ${B}`, async (signal) => {
      await new Promise((resolve) => signal?.addEventListener("abort", resolve));
    });
    serve(served("b"), B);
    const lose = (): void => {
      for (const call of ["deleteLease", "leases", "records", "version"])
        node.before(
          call,
          ...times(9_999, () => {
            throw gone();
          }),
        );
      node.before("downloads", () => {
        throw gone();
      });
    };
    const { error } = await run([A, B], {}, { onEvent: ({ type }) => void (type === "placed" && lose()) });
    expect(error).toMatchObject({ exitCode: EXIT.runtimeNotReady });
  });

  test("for good ends the run, and every image says so", async () => {
    const { node, run } = bench();
    node.registry.set(B, "hangs");
    node.before(`pull ${A}`, fails(TEXTS.runtime));
    node.before(
      "version",
      () => {},
      ...Array.from({ length: 9_999 }, () => (): never => {
        throw gone();
      }),
    );
    const impatient = { ...config().containerd, ready_timeout: 30_000 };
    const { outcomes, error } = await run([A, B], { concurrency: 1, containerd: impatient });
    expect(outcomes).toEqual({ [A]: "failed in pull: runtime", [B]: "failed in pull: runtime" });
    expect(error).toMatchObject({ exitCode: EXIT.runtimeNotReady });
  });

  test("before the run begins ends it with the reason", async () => {
    const { node, run } = bench();
    node.before(
      "version",
      ...Array.from({ length: 9_999 }, () => (): never => {
        throw gone();
      }),
    );
    const { error, outcomes } = await run([A]);
    expect([error, outcomes]).toEqual([expect.objectContaining({ exitCode: EXIT.runtimeNotReady }), {}]);
  });
});

test("a signal ends every pull, what is done is proved, and the signal's reason comes out", async () => {
  const { node, run, serve } = bench();
  const stopped = new Failed({ class: "cancelled", message: "stopped by SIGTERM" });
  const outer = new AbortController();
  serve(served("a"), A);
  node.registry.set(B, "hangs");
  const { outcomes, error } = await run(
    [A, B, C],
    { concurrency: 2 },
    {
      signal: outer.signal,
      onEvent: (event) => void (event.type === "placed" && outer.abort(stopped)),
    },
  );
  expect(error).toBe(stopped);
  expect(outcomes).toMatchObject({ [A]: "pulled", [B]: "failed in pull: cancelled" });
});

test("an image that cannot be looked at after its pull fails alone", async () => {
  const { node, run, serve } = bench();
  serve(served("a"), A);
  serve(served("b"), B);
  node.before(`record ${A}`, fails("nobody knows"));
  expect((await run([A, B])).outcomes).toEqual({ [A]: "failed in pull: unknown", [B]: "pulled" });
});

test("an image that is in place is no longer taken for what another pull of its repository fetches", async () => {
  const { node, clock, run } = bench();
  const [first, second] = [
    served("first", { layers: [5_000_000] }),
    served("second", { layers: [9_000_000] }),
  ];
  node.registry.set("r.one/a:1", first);
  node.registry.set("r.one/a:2", second);
  node.before("pull r.one/a:2", async () => {
    await clock.sleep(10_000);
  });
  const { events } = await run(["r.one/a:1", "r.one/a:2"]);
  const shown = events.flatMap((event) =>
    event.type === "progress" && event.image === "r.one/a:2" ? event.progress.total : [],
  );
  expect(shown).not.toContain(5_000_000);
});

test("a bug of ours ends everything else before it comes out", async () => {
  const { node, run } = bench();
  node.registry.set(B, "hangs");
  node.before(`pull ${A}`, () => {
    throw new TypeError("x is not a function");
  });
  const { error } = await run([B, A]);
  expect(error).toMatchObject({ name: "TypeError", message: "x is not a function" });
});

test("a proof that cannot be read repairs nothing, and says so", async () => {
  const { node, run, serve } = bench();
  const names = ["r.one/a:1", "r.one/b:1", "r.one/c:1"];
  for (const name of names) serve(served(name), name);
  node.before(
    "criImages",
    () => {},
    ...times(3, () => {
      throw gone();
    }),
  );
  const { outcomes, events } = await run(names);
  expect(outcomes).toEqual(Object.fromEntries(names.map((name) => [name, "failed in verify: runtime"])));
  expect(node.changes().filter((call) => call.startsWith("pull"))).toHaveLength(3);
  expect(events.find(({ type }) => type === "image-failed")).toMatchObject({
    failure: { message: expect.stringContaining("could not be read back") as string },
  });
});

describe("a name by digest", () => {
  test("never points to another image, also when the tag moves before the names are made", async () => {
    const { node, run, serve } = bench();
    const [old, fresh] = [serve(served("old"), A), served("fresh")];
    node.before("tag", () => node.bring(A, fresh));
    const { outcomes } = await run([wanted(A, { furtherNames: [reference("x.y/z:1")] })]);
    expect(outcomes).toEqual({ [A]: "pulled" });
    const wrong = [...node.records].filter(
      ([name, { target }]) => name.includes("@") && !name.endsWith(target.digest),
    );
    expect(wrong).toEqual([]);
    expect(node.records.get("x.y/z:1")?.target).toEqual(fresh.target);
    expect(node.records.get(at("x.y/z", old))?.target).toEqual(old.target);
  });

  test("that leads elsewhere is pulled again, or made anew from another name of its digest", async () => {
    const { node, run, serve } = bench();
    const [image, other] = [served("a"), served("other")];
    const name = at("r.one/a", image);
    serve(image, name);
    node.bring("o.p/q:1", other);
    node.record(name, other);
    expect((await run([name])).outcomes).toEqual({ [name]: "pulled" });
    node.record(name, other);
    expect((await run([name])).outcomes).toEqual({ [name]: "present" });
    expect(node.records.get(name)?.target).toEqual(image.target);
    expect(node.changes().filter((call) => call.startsWith("pull"))).toHaveLength(1);
  });
});

test("a pin that points to another image is mended", async () => {
  const { node, run, serve } = bench();
  const [image, other] = [serve(served("a"), A), served("other")];
  await run([A]);
  node.bring("o.p/q:1", other);
  node.records.set(pinName(image.target), { ...pinRecord(image.target), target: other.target });
  await run([A]);
  expect(node.records.get(pinName(image.target))?.target).toEqual(image.target);
});
