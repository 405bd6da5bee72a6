import { describe, expect, test } from "vitest";
import { leasesOf } from "../../../src/run/lease.ts";
import { inMemoryContainerd, toolError } from "../containerd/in-memory.ts";

const [A, B] = ["r.one/a:1", "r.one/b:1"];
const LAYER = { type: "ingests", id: "layer-sha256:a" } as const;
const MANIFEST = { type: "content", id: "sha256:b" } as const;
const LATER = new Date(1_000);
const set = () => {
  const node = inMemoryContainerd();
  const leases = leasesOf(node.containerd, "ours", LATER);
  const held = (): string[][] => [...node.leases.values()].map((lease) => [...lease]);
  const calls = (what: string): string[] => node.calls.filter((call) => call.startsWith(what));
  return { node, leases, held, calls };
};
const fails = (): never => {
  throw toolError("no");
};

describe("a lease", () => {
  test("is not made before there is something to hold, and what is held is held once", async () => {
    const { node, leases, held, calls } = set();
    await leases.hold(A, []);
    expect(node.calls).toEqual([]);
    await leases.hold(A, [LAYER]);
    await leases.hold(A, [LAYER, MANIFEST]);
    expect([calls("createLease").length, calls("hold").length]).toEqual([1, 2]);
    expect(held()).toEqual([[LAYER.id, MANIFEST.id]]);
  });

  test("is made once for all that come at the same moment, and one for each image", async () => {
    const { leases, held } = set();
    await Promise.all([leases.hold(A, [LAYER]), leases.hold(A, [MANIFEST]), leases.hold(B, [MANIFEST])]);
    expect(held()).toEqual([[LAYER.id, MANIFEST.id], [MANIFEST.id]]);
  });

  test.each(["createLease", "hold"])("that fails at %s is tried again at the next look", async (call) => {
    const { node, leases, held } = set();
    node.before(call, fails);
    await leases.hold(A, [LAYER]);
    await leases.hold(A, [LAYER]);
    expect(held()).toEqual([[LAYER.id]]);
  });

  test("is made anew after somebody else deleted it", async () => {
    const { node, leases, held } = set();
    await leases.hold(A, [LAYER]);
    node.leases.clear();
    await leases.hold(A, [MANIFEST]);
    await leases.hold(A, [MANIFEST]);
    expect(held()).toEqual([[MANIFEST.id]]);
  });
});

test("a bug of ours is no lease that cannot be had", async () => {
  const { node, leases } = set();
  node.before("createLease", () => {
    throw new TypeError("x is not a function");
  });
  await expect(leases.hold(A, [LAYER])).rejects.toThrow("x is not a function");
});

test("a collection is waited for with the last lease that goes, and not for a single image", async () => {
  const { containerd } = inMemoryContainerd();
  const waited: (boolean | undefined)[] = [];
  const deleteLease = async (id: string, sync?: boolean): Promise<void> => {
    waited.push(sync);
    await containerd.deleteLease(id, sync);
  };
  const leases = leasesOf({ ...containerd, deleteLease }, "ours", LATER);
  for (const image of [A, A, B]) await leases.hold(image, [LAYER]);
  await leases.letGo(A);
  await leases.collect();
  await leases.hold(A, [LAYER]);
  await leases.release("all");
  expect(waited).toEqual([false, true, false, true]);
});

describe("letting go", () => {
  test("of an image leaves the others, and takes what earlier runs held for it", async () => {
    const { node, leases, held } = set();
    const earlier = leasesOf(node.containerd, "earlier", LATER);
    await Promise.all([earlier.hold(A, [LAYER]), earlier.hold(B, [LAYER])]);
    await Promise.all([leases.hold(A, [LAYER]), leases.hold(B, [MANIFEST])]);
    await leases.letGo(A);
    expect(held()).toEqual([[LAYER.id], [MANIFEST.id]]);
    expect([...node.leases.keys()].filter((id) => id.endsWith("ours"))).toHaveLength(1);
  });

  test("of an image for which nothing is held costs one question for all images", async () => {
    const { node, leases } = set();
    for (const image of [A, B]) await leases.letGo(image);
    expect(node.calls).toEqual(["leases"]);
  });

  test("takes the leases of earlier runs too, and what only they held", async () => {
    const { node, leases } = set();
    node.leases.set("earlier", new Set());
    node.downloads.set(LAYER.id, { ref: LAYER.id, offset: 1, total: 2 });
    await leases.hold(A, [LAYER]);
    await leases.release("all");
    expect([node.leases.size, node.downloads.size]).toEqual([0, 0]);
  });

  test("of everything leaves what is firmly held, which goes only by itself", async () => {
    const { node, leases, held } = set();
    await leases.hold(A, [MANIFEST], true);
    await leases.hold(B, [LAYER]);
    await leases.release("all");
    expect(held()).toEqual([[MANIFEST.id]]);
    await leasesOf(node.containerd, "later", LATER).letGo(A);
    expect(held()).toEqual([]);
  });

  test("of its own leaves the others, and does nothing where there is none", async () => {
    const { node, leases } = set();
    node.leases.set("earlier", new Set());
    await leasesOf(node.containerd, "idle", LATER).release("own");
    expect(node.calls).toEqual([]);
    await leases.hold(A, [LAYER]);
    await leases.release("own");
    expect([...node.leases.keys()]).toEqual(["earlier"]);
  });

  test("fails nothing, and lets go of its own where the others are not known", async () => {
    const { node, leases } = set();
    await leases.hold(A, [LAYER]);
    node.before("leases", fails);
    await leases.release("all");
    expect(node.leases.size).toBe(0);
    node.before("leases", fails);
    node.before("deleteLease", fails);
    await expect(leases.release("all")).resolves.toBeUndefined();
  });

  test("of everything waits for what is being held at that moment", async () => {
    const { node, leases } = set();
    const [begun, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    node.before("createLease", () => (begun.resolve(), gate.promise));
    const holding = leases.hold(A, [LAYER]);
    await begun.promise;
    const released = leases.release("own");
    await new Promise((resolve) => setImmediate(resolve));
    gate.resolve();
    await Promise.all([holding, released]);
    expect(node.leases.size).toBe(0);
  });

  test("of everything is the end: nothing is held any more, also what was just being held", async () => {
    const { node, leases } = set();
    const gate = Promise.withResolvers<void>();
    node.before("createLease", () => gate.promise);
    const [holding, later] = [leases.hold(A, [LAYER]), leases.hold(A, [MANIFEST])];
    const released = leases.release("all");
    gate.resolve();
    await Promise.all([holding, later, released]);
    await leases.hold(B, [LAYER]);
    expect(node.leases.size).toBe(0);
  });
});
