import { describe, expect, test } from "vitest";
import { holds } from "../../../src/run/holds.ts";

/** A content store whose labels can be looked at, and whose calls can be made to wait or fail. */
function store(held: readonly string[] = [], fails: ReadonlySet<string> = new Set()) {
  const labels = new Set(held);
  const calls: string[] = [];
  let gate = Promise.resolve();
  const act = async (what: string, digest: string, change: () => void): Promise<void> => {
    calls.push(`${what} ${digest}`);
    await gate;
    if (fails.has(digest)) throw new Error("content not found");
    change();
  };
  return {
    labels,
    calls,
    /** Calls that come now wait until the returned function is called. */
    close: (): (() => void) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      gate = promise;
      return resolve;
    },
    hold: (digest: string) => act("hold", digest, () => labels.add(digest)),
    release: (digest: string) => act("release", digest, () => labels.delete(digest)),
    held: async () => [...labels],
  };
}

/** All that was begun, and waits for nothing, is done. */
const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

describe("what is held", () => {
  test("is labelled once, however often it is seen", async () => {
    const content = store();
    const held = holds(content, { swept: false });
    await Promise.all([held.hold("app", "m1"), held.hold("app", "m1")]);
    await held.hold("app", "m1");
    expect(content.calls).toEqual(["hold m1"]);
    expect(content.labels).toEqual(new Set(["m1"]));
  });

  test("is released with its owner, and with no other", async () => {
    const content = store();
    const held = holds(content, { swept: false });
    await Promise.all([held.hold("app", "m1"), held.hold("app", "i1"), held.hold("other", "m2")]);
    held.release("app");
    await settled();
    expect(content.labels).toEqual(new Set(["m2"]));
  });

  test("is released only after its label was set, so that none is left behind", async () => {
    const content = store();
    const held = holds(content, { swept: false });
    const open = content.close();
    const holding = held.hold("app", "m1");
    held.release("app");
    await settled();
    expect(content.calls).toEqual(["hold m1"]);
    open();
    await Promise.all([holding, held.releaseAll()]);
    expect(content.calls).toEqual(["hold m1", "release m1"]);
    expect(content.labels).toEqual(new Set());
  });

  test("is released at the end, all of it", async () => {
    const content = store();
    const held = holds(content, { swept: false });
    await Promise.all([held.hold("app", "m1"), held.hold("other", "m2")]);
    await held.releaseAll();
    expect(content.labels).toEqual(new Set());
  });

  test("is released at the end also when it came to be held while all was being released", async () => {
    const content = store(["m0"]);
    const held = holds(content, { swept: false });
    await held.releaseAll();
    await held.hold("app", "m1");
    await held.releaseAll();
    expect(content.calls).toEqual(["release m0", "hold m1", "release m1"]);
  });

  test("can be held again after a release", async () => {
    const content = store();
    const held = holds(content, { swept: false });
    await held.hold("app", "m1");
    held.release("app");
    await held.hold("app", "m1");
    await settled();
    expect(content.labels).toEqual(new Set(["m1"]));
  });
});

describe("a label that cannot be changed fails nothing", () => {
  test("when it is set: the blob went with the attempt that fetched it", async () => {
    const content = store([], new Set(["m1"]));
    const held = holds(content, { swept: false });
    await expect(held.hold("app", "m1")).resolves.toBeUndefined();
    expect(await held.releaseAll()).toBe(0);
  });

  test("when it is removed, and the others are removed all the same", async () => {
    const content = store(["m1", "m2"], new Set(["m1"]));
    expect(await holds(content, { swept: false }).releaseAll()).toBe(1);
    expect(content.labels).toEqual(new Set(["m1"]));
  });

  test("when nothing was held", async () => {
    const content = store();
    holds(content, { swept: false }).release("app");
    await settled();
    expect(content.calls).toEqual([]);
  });
});

describe("what a killed run left", () => {
  test("is kept while this run pulls, which can go on from it, and released at its end", async () => {
    const content = store(["m1", "m2"]);
    const held = holds(content, { swept: false });
    await held.hold("app", "m3");
    held.release("app");
    await settled();
    expect(content.labels).toEqual(new Set(["m1", "m2"]));
    await held.releaseAll();
    expect(content.labels).toEqual(new Set());
  });

  test("is not asked for after a run that surely left nothing", async () => {
    const content = store(["m1"]);
    expect(await holds(content, { swept: true }).releaseAll()).toBe(0);
    expect(content.labels).toEqual(new Set(["m1"]));
  });

  test("stays where it cannot be listed, for the next run", async () => {
    const content = { ...store(["m1"]), held: () => Promise.reject(new Error("unavailable")) };
    expect(await holds(content, { swept: false }).releaseAll()).toBe(0);
    expect(content.labels).toEqual(new Set(["m1"]));
  });
});
