// What a whole run holds to, whatever its steps are made of: its time, its lease, its credentials, its limits.
import { describe, expect, test } from "vitest";
import { layerRef } from "../../../src/core/transfer.ts";
import { pinName } from "../../../src/core/pins.ts";
import { gone, toolError } from "../containerd/in-memory.ts";
import { served } from "../containerd/served-image.ts";
import { credential, reference, wanted } from "../samples.ts";
import { bench, TEXTS, typesOf } from "./bench.ts";

const A = "r.one/a:1";
const B = "r.one/b:1";
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
    node.cri.lag = 19;
    const furtherNames = Array.from({ length: 300 }, (_, nth) => reference(`x.y/a:${nth}`));
    expect((await run([wanted(A, { furtherNames })])).outcomes).toEqual({ [A]: "pulled" });
    expect(pulls(node.changes())).toHaveLength(1);
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

describe("the start of a run", () => {
  test("is put off by the random part of start_jitter", async () => {
    const { run, serve, clock } = bench();
    serve(served("a"), A);
    const begin = clock.now();
    let started = 0;
    await run(
      [A],
      { start_jitter: 90_000 },
      { onEvent: ({ type }) => void (type === "runtime-ready" && (started = clock.now())) },
    );
    // The tests' chance is 1.
    expect(started - begin).toBe(90_000);
  });
});
