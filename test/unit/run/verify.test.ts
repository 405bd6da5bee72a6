import { describe, expect, test } from "vitest";
import { nodeState, type PresentImage } from "../../../src/core/plan.ts";
import type { RunEvent } from "../../../src/core/run-state.ts";
import { settle, type Expected, type SettleOptions } from "../../../src/run/verify.ts";
import { digestOf, present, reference, wanted } from "../samples.ts";

const A = "a.b/app:1";
const X = "x.y/app:1";
const ID = "sha256:id";
const expected = (overrides: Partial<Expected> = {}): Expected => ({
  image: wanted(A, { targets: [reference(X)] }),
  id: ID,
  how: "pulled",
  ...overrides,
});

/** A node that tags and pins for real, and can be made to lag behind. */
function node(start: readonly PresentImage[], pins: readonly string[]) {
  const byId = new Map(start.map((image) => [image.id, image]));
  const pinned = new Set(pins);
  const calls: string[] = [];
  let looks = 0;
  const later: (() => void)[] = [];
  return {
    calls,
    looks: () => looks,
    /** Happens at the next look but `after`. */
    at: (after: number, change: () => void) => void (later[looks + after] = change),
    set: (image: PresentImage) => void byId.set(image.id, image),
    images: async () => {
      later[looks]?.();
      looks += 1;
      return [...byId.values()].map((image) => ({
        ...image,
        pinned: image.pinned || image.names.some((name) => pinned.has(name)),
      }));
    },
    pinned: async () => [...pinned],
    pinnedByUs: async () => [...pinned],
    tag: async (source: string, targets: readonly string[]) => {
      calls.push(`tag ${targets.join(" ")}`);
      for (const target of targets) pinned.delete(target);
      for (const image of byId.values()) {
        const names = image.names.filter((name) => !targets.includes(name));
        byId.set(image.id, {
          ...image,
          names: image.names.includes(source) ? [...names, ...targets] : names,
        });
      }
    },
    pin: async (name: string) => {
      calls.push(`pin ${name}`);
      pinned.add(name);
    },
  };
}

async function settled(
  runtime: SettleOptions["runtime"],
  overrides: Partial<Omit<SettleOptions, "runtime" | "emit">> = {},
): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  await settle({
    runtime,
    emit: (event) => void events.push(event),
    pinning: true,
    local: false,
    expected: [expected()],
    untouched: undefined,
    ...overrides,
  });
  return events;
}

describe("an image is verified", () => {
  test("when CRI resolves each of its names to it, and reports it as pinned", async () => {
    const digest = digestOf("d");
    const runtime = node([present(ID, [`a.b/app@${digest}`, A, X], { size: 7 })], [A, X]);
    expect(await settled(runtime)).toEqual([
      {
        type: "image-done",
        image: A,
        phase: "pulled",
        verified: { id: ID, size: 7, pinned: true, digest },
      },
    ]);
    expect(runtime.calls).toEqual([]);
  });

  test("unpinned, where no pin is wanted or the runtime ignores it", async () => {
    const runtime = node([present(ID, [A, X])], []);
    const loose = expected({ image: { ...expected().image, pin: false } });
    const verified = { id: ID, size: 1_000, pinned: false };
    const isDone = [{ type: "image-done", image: A, phase: "pulled", verified }];
    expect(await settled(runtime, { expected: [loose] })).toEqual(isDone);
    expect(await settled(runtime, { pinning: false })).toEqual(isDone);
  });

  test("as what it came by", async () => {
    const runtime = node([present(ID, [A, X])], [A, X]);
    for (const how of ["present", "pulled", "imported", "kept"] as const) {
      expect(await settled(runtime, { expected: [expected({ how })] })).toMatchObject([{ phase: how }]);
    }
  });

  test("without another look, when nothing was done", async () => {
    const runtime = node([present(ID, [A, X], { pinned: true })], [A, X]);
    const untouched = nodeState(await runtime.images(), await runtime.pinned(), []);
    expect(await settled(runtime, { untouched })).toMatchObject([{ type: "image-done" }]);
    expect(runtime.looks()).toBe(1);
  });

  test("once CRI has heard of it, which takes some time", async () => {
    const runtime = node([present(ID, [A])], [A, X]);
    runtime.at(2, () => runtime.set(present(ID, [A, X])));
    expect(await settled(runtime)).toMatchObject([{ type: "image-done" }]);
    expect(runtime.calls).toEqual([]);
  });
});

describe("an image that is not right", () => {
  const PATIENCE = 20_000;

  test.concurrent(
    "is repaired: a name that points elsewhere is moved, one without its pin is pinned",
    async () => {
      const runtime = node([present(ID, [A]), present("sha256:other", [X])], []);
      expect(await settled(runtime)).toMatchObject([
        { type: "pinned", name: A },
        { type: "tagged", moved: true },
        { type: "pinned", name: X },
        { type: "image-done" },
      ]);
      expect(runtime.calls).toEqual([`pin ${A}`, `tag ${X}`, `pin ${X}`]);
    },
    PATIENCE,
  );

  test("is repaired at once where a pin is missing: that is nothing CRI has to hear of first", async () => {
    const runtime = node([present(ID, [A, X])], [A]);
    expect(await settled(runtime)).toMatchObject([{ type: "pinned", name: X }, { type: "image-done" }]);
    // The look that finds it, the one that the repair goes by, and the proof.
    expect(runtime.looks()).toBe(3);
  });

  test.concurrent.each([
    ["whose name is gone", [present("sha256:other", ["q.r/s:1"])], `CRI does not list ${A}`],
    [
      "whose name is another image now",
      [present("sha256:other", [A]), present(ID, [X])],
      `${A} points to sha256:other, expected ${ID}`,
    ],
  ] as const)(
    "%s has failed, and says what CRI shows",
    async (_what, images, problem) => {
      const runtime = node(images, [A, X]);
      const frozen = { ...runtime, tag: async () => {}, pin: async () => {} };
      const events = await settled(frozen);
      expect(events.at(-1)).toEqual({
        type: "image-failed",
        image: A,
        step: "verify",
        failure: { class: "unknown", message: problem },
      });
    },
    PATIENCE,
  );

  test.concurrent(
    "has failed alone: the others are verified",
    async () => {
      const other = expected({ image: wanted("q.r/s:1"), id: "sha256:other" });
      const runtime = node([present("sha256:other", ["q.r/s:1"])], ["q.r/s:1"]);
      const broken = { ...runtime, pin: () => Promise.reject(new Error("not found")) };
      const events = await settled(broken, { expected: [expected(), other] });
      expect(events.map((event) => event.type)).toEqual(["image-failed", "image-done"]);
    },
    PATIENCE,
  );

  test.concurrent(
    "and is not reported as pinned has failed, although its label is there",
    async () => {
      const runtime = node([present(ID, [A, X])], [A, X]);
      const deaf = { ...runtime, images: async () => [present(ID, [A, X])] };
      expect((await settled(deaf)).at(-1)).toMatchObject({
        type: "image-failed",
        failure: { message: `CRI does not report ${A} as pinned` },
      });
    },
    PATIENCE,
  );
});
