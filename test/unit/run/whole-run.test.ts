// What a whole run holds to, whatever its steps are made of: its time, its lease, its credentials, its limits.
import { mkdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { RunEvent } from "../../../src/core/events.ts";
import { layerRef } from "../../../src/core/transfer.ts";
import { pinName } from "../../../src/core/pins.ts";
import { gone, toolError } from "../containerd/in-memory.ts";
import { served } from "../containerd/served-image.ts";
import { temporaryFolder } from "../folder.ts";
import { credential, reference, wanted } from "../samples.ts";
import { bench, TEXTS, typesOf } from "./bench.ts";

const folder = temporaryFolder();
const A = "r.one/a:1";
const B = "r.one/b:1";
const C = "r.one/c:1";
const HOUR = 3_600_000;
const times = <Step>(count: number, step: Step): Step[] => Array.from({ length: count }, () => step);
const fails = (text: string) => (): never => {
  throw toolError(text);
};
const away = (): never => {
  throw gone();
};
const pulls = (calls: readonly string[]): string[] => calls.filter((call) => call.startsWith("pull "));

test("what a failed run fetched is kept for a day beyond its deadline, and no longer", async () => {
  const { node, clock, run, serve } = bench();
  const image = served("a", { layers: [100] });
  const ref = layerRef(image.layers[0]?.digest ?? "");
  node.before(`pull ${A}`, async () => {
    await clock.sleep(100);
    node.blobs.set(image.manifest.digest, {
      ...image.manifest,
      labels: { ...image.manifest.labels, "containerd.io/distribution.source.r.one": "a" },
    });
    node.downloads.set(ref, { ref, offset: 10, total: 100 });
    await clock.sleep(5_000);
    throw toolError(TEXTS.auth);
  });
  await run([A], { deadline: HOUR });
  serve(served("b"), B);
  const others = (): Promise<unknown> => run([wanted(B, { pullPolicy: "Always" })], {}, { only: [B] });
  clock.pass(24 * HOUR);
  await others();
  expect([...node.downloads.keys()]).toEqual([ref]);
  expect(node.blobs.has(image.manifest.digest)).toBe(true);
  clock.pass(2 * HOUR);
  await others();
  expect([node.downloads.size, node.blobs.has(image.manifest.digest)]).toEqual([0, false]);
});

describe("a credential", () => {
  test("goes with each pull of its image, and with no other", async () => {
    const { node, run, serve } = bench();
    serve(served("a"), A);
    serve(served("b"), B);
    const login = credential();
    node.before(`pull ${A}`, fails(TEXTS.server));
    await run([wanted(A, { credential: login }), B]);
    expect([...node.logins]).toEqual([
      [A, login],
      [B, undefined],
    ]);
  });
});

describe("CRI", () => {
  test("is waited for the longer, the more names it has to hear of", async () => {
    const { node, run, serve } = bench();
    serve(served("a"), A);
    // Of 601 names the last one is heard of after 11 s.
    node.cri.lag = 19;
    const furtherNames = Array.from({ length: 300 }, (_, nth) => reference(`x.y/a:${nth}`));
    expect((await run([wanted(A, { furtherNames })])).outcomes).toEqual({ [A]: "pulled" });
    expect(pulls(node.changes())).toHaveLength(1);
    // A repair would make the source's record again.
    expect(node.changes()).not.toContain(`saveRecord ${A}`);
  });
});

describe("each call to containerd", () => {
  test.each([
    "records",
    "record",
    "blobs",
    "snapshots",
    "read",
    "criImages",
    "saveRecord",
    "deleteRecord",
    "tag",
  ])("is made again after a restart in which it broke: %s", async (call) => {
    const { node, run, serve } = bench();
    const old = served("old");
    node.bring("r.one/old:1", old);
    node.record(pinName(old.target), old, { "io.cri-containerd.pinned": "pinned" });
    serve(served("a"), A);
    node.before(call, away, away);
    const { outcomes, error, events } = await run([wanted(A, { furtherNames: [reference("x.y/z:1")] })]);
    expect([outcomes, error]).toEqual([{ [A]: "pulled" }, undefined]);
    expect(node.calls.filter((made) => made.split(" ", 1)[0] === call).length).toBeGreaterThan(2);
    expect(typesOf(events)).not.toContain("warning");
    expect(node.records.has(pinName(old.target))).toBe(false);
  });

  test("is made again after each of two restarts", async () => {
    const { node, run, serve } = bench();
    serve(served("a"), A);
    serve(served("b"), B);
    node.before("tag", away);
    node.before("criImages", () => {}, away);
    const { outcomes } = await run([wanted(A, { furtherNames: [reference("x.y/z:1")] }), B]);
    expect(outcomes).toEqual({ [A]: "pulled", [B]: "pulled" });
  });
});

describe("under an implicit Always", () => {
  const LATEST = "r.one/a:latest";
  const latest = wanted(LATEST, { pullPolicy: "implicit-Always" });

  test.each(["network", "server", "rate-limit", "transfer"] as const)(
    "what is here is kept when its registry cannot be asked: %s",
    async (failureClass) => {
      const { node, run } = bench();
      node.bring(LATEST, served("a"));
      node.before(`pull ${LATEST}`, ...times(99, fails(TEXTS[failureClass])));
      expect((await run([latest])).outcomes).toEqual({ [LATEST]: "kept" });
    },
  );

  test("what is here is kept when its registry says nothing for longer than the image may take", async () => {
    const { node, run } = bench();
    node.bring(LATEST, served("a"));
    node.registry.set(LATEST, "hangs");
    expect((await run([latest], { stall_timeout: 10_000 })).outcomes).toEqual({ [LATEST]: "kept" });
  });
});

test("an image that Always asks for is asked for once, also when the proof finds its pin gone", async () => {
  const { node, run, serve } = bench();
  const image = serve(served("a"), A);
  const unpin = (): void => void node.records.delete(pinName(image.target));
  const always = wanted(A, { pullPolicy: "Always" });
  const { outcomes } = await run(
    [always],
    {},
    { onEvent: ({ type }) => void (type === "verifying" && unpin()) },
  );
  expect(outcomes).toEqual({ [A]: "pulled" });
  expect(pulls(node.changes())).toEqual([`pull ${A}`]);
});

test("at most four records are written at once", async () => {
  const { node, clock, run, serve } = bench();
  const names = Array.from({ length: 12 }, (_, nth) => `r.one/n${nth}:1`);
  names.forEach((name, nth) => serve(served(String(nth)), name));
  let [open, most] = [0, 0];
  const slow = async (): Promise<void> => {
    open += 1;
    most = Math.max(most, open);
    await clock.sleep(50);
    open -= 1;
  };
  node.before("saveRecord", ...times(99, slow));
  await run(names, { concurrency: 12 });
  expect(most).toBe(4);
});

test("a partial download that cannot be thrown away is no reason to give the image up", async () => {
  const { node, run, serve } = bench();
  serve(served("a"), A);
  const { digest = "" } = served("a").layers[0] ?? {};
  node.before(
    `pull ${A}`,
    fails(
      `failed to copy: commit failed: unexpected commit digest sha256:${"0".repeat(64)}, expected ${digest}: failed precondition`,
    ),
  );
  node.before("abort", ...times(9, fails("abort: locked")));
  expect((await run([A])).outcomes).toEqual({ [A]: "pulled" });
});

test("a run begins after a random part of start_jitter", async () => {
  const { run, serve, clock } = bench(undefined, 0.5);
  serve(served("a"), A);
  const begin = clock.now();
  let started = 0;
  const onEvent = ({ type }: RunEvent): void => void (type === "runtime-ready" && (started = clock.now()));
  await run([A], { start_jitter: 90_000 }, { onEvent });
  expect(started - begin).toBe(45_000);
});

describe("of several images", () => {
  const sizes = new Map([
    ["r.one/small:1", 1_000],
    ["r.one/large:1", 900_000],
  ]);
  test.each([
    ["1.7.35", "the largest is pulled first, where each has its own downloads", ["large", "small"]],
    [
      "2.2.0",
      "the first of the list is pulled first, where downloads wait for each other",
      ["small", "large"],
    ],
  ])("on %s %s", async (version, _what, order) => {
    const { node, run, serve } = bench(version);
    for (const name of sizes.keys()) serve(served(name), name);
    await run([...sizes.keys()], { concurrency: 1 }, { sizes });
    expect(pulls(node.changes())).toEqual(order.map((name) => `pull r.one/${name}:1`));
  });
});

test.each(["saveRecord", "tag"])(
  "a disk that is full when a pulled image is pinned or named ends the run: %s",
  async (call) => {
    const { node, clock, run, serve } = bench();
    for (const name of [A, B, C]) serve(served(name), name);
    node.before(`pull ${B}`, (signal) => clock.sleep(60_000, signal));
    node.before(call, ...times(9, fails(TEXTS.disk)));
    const { outcomes } = await run([wanted(A, { furtherNames: [reference("x.y/z:1")] }), B, C], {
      concurrency: 1,
    });
    expect(outcomes[A]).toMatch(/^failed in (?:pin|tag): disk$/u);
    expect(outcomes).toMatchObject({ [B]: "failed in pull: disk", [C]: "failed in pull: disk" });
    expect(pulls(node.changes())).not.toContain(`pull ${C}`);
  },
);

test("a proof that cannot be read fails the images, and is no bug", async () => {
  const { node, run, serve } = bench();
  serve(served("a"), A);
  node.before("criImages", () => {}, ...times(99, fails("nobody knows")));
  const { outcomes, error } = await run([A]);
  expect([outcomes, error]).toEqual([{ [A]: "failed in verify: unknown" }, undefined]);
});

test("a name that is wanted late, of an image that was named already, is given without a repair", async () => {
  const { node, clock, run, serve } = bench();
  const image = served("a");
  serve(image, A, B);
  node.before(`pull ${B}`, () => clock.sleep(60_000));
  const further = (name: string) => ({ furtherNames: [reference(name)] });
  const { events } = await run([wanted(A, further("x.y/a:1")), wanted(B, further("x.y/b:1"))]);
  const lists = node.calls.filter((call) => call === "records").length;
  // The look before and the proof after.
  expect(lists).toBe(2);
  expect(node.records.get("x.y/b:1")?.target).toEqual(image.target);
  expect(events.filter((event) => event.type === "tagged" && event.target === "x.y/b:1")).toHaveLength(1);
});

test("the progress of a damaged image that is pulled again is told", async () => {
  const { node, clock, run, serve } = bench();
  const image = serve(served("a", { layers: [100] }), A);
  node.bring(A, image);
  const { digest = "" } = image.layers[0] ?? {};
  node.snapshots.delete(image.chainId);
  node.blobs.delete(digest);
  node.before(`pull ${A}`, async () => {
    const ref = layerRef(digest);
    node.downloads.set(ref, { ref, offset: 10, total: 100 });
    await clock.sleep(2_000);
    node.downloads.set(ref, { ref, offset: 60, total: 100 });
    await clock.sleep(2_000);
    node.downloads.delete(ref);
  });
  const { events, outcomes } = await run([A]);
  expect(outcomes).toEqual({ [A]: "pulled" });
  expect(typesOf(events, A)).toContain("progress");
});

test("a name that the kubelet will refuse is warned of at the end", async () => {
  const { run, serve } = bench();
  const image = serve(served("a"), A);
  const pulled = {
    imageRef: image.id,
    credentialMapping: { "other.registry/x": { nodePodsAccessible: true } },
  };
  mkdirSync(`${folder.path}/image_manager/pulled`, { recursive: true });
  folder.write(`image_manager/pulled/sha256-${"a".repeat(64)}`, JSON.stringify(pulled));
  const { events } = await run([A], { kubelet: { root_dir: folder.path } });
  expect(events).toContainEqual({
    type: "warning",
    message: expect.stringContaining("the kubelet will refuse to start pods that use r.one/a:1"),
  });
});
