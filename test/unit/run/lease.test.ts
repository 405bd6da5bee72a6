import { describe, expect, test } from "vitest";
import { leaseOf } from "../../../src/run/lease.ts";
import { inMemoryContainerd, toolError } from "../containerd/in-memory.ts";

const LAYER = { type: "ingests", id: "layer-sha256:a" } as const;
const MANIFEST = { type: "content", id: "sha256:b" } as const;
const set = () => {
  const node = inMemoryContainerd();
  return { node, lease: leaseOf(node.containerd, "ours", new Date(0)) };
};
const fails = (): never => {
  throw toolError("no");
};

describe("a lease", () => {
  test("is not made before there is something to hold, and what is held is held once", async () => {
    const { node, lease } = set();
    await lease.hold([]);
    expect(node.calls).toEqual([]);
    await lease.hold([LAYER]);
    await lease.hold([LAYER, MANIFEST]);
    expect(node.calls).toEqual(["createLease ours", `hold ours ${LAYER.id}`, `hold ours ${MANIFEST.id}`]);
  });

  test("is made once for all that come at the same moment", async () => {
    const { node, lease } = set();
    await Promise.all([lease.hold([LAYER]), lease.hold([MANIFEST])]);
    expect(node.calls.filter((call) => call.startsWith("createLease"))).toHaveLength(1);
  });

  test.each(["createLease", "hold"])("that fails at %s is tried again at the next look", async (call) => {
    const { node, lease } = set();
    node.before(call, fails);
    await lease.hold([LAYER]);
    await lease.hold([LAYER]);
    expect(node.leases.get("ours")).toEqual(new Set([LAYER.id]));
  });

  test("is made anew after somebody else deleted it", async () => {
    const { node, lease } = set();
    await lease.hold([LAYER]);
    node.leases.delete("ours");
    await lease.hold([MANIFEST]);
    await lease.hold([MANIFEST]);
    expect(node.leases.get("ours")).toEqual(new Set([MANIFEST.id]));
  });
});

describe("letting go", () => {
  test("takes the leases of earlier runs too, and what only they held", async () => {
    const { node, lease } = set();
    node.leases.set("earlier", new Set());
    node.downloads.set(LAYER.id, { ref: LAYER.id, offset: 1, total: 2 });
    await lease.hold([LAYER]);
    await lease.release();
    expect([node.leases.size, node.downloads.size]).toEqual([0, 0]);
  });

  test("of its own leaves the others, and does nothing where there is none", async () => {
    const { node, lease } = set();
    node.leases.set("earlier", new Set());
    await lease.releaseOwn();
    expect(node.calls).toEqual([]);
    await lease.hold([LAYER]);
    await lease.releaseOwn();
    expect([...node.leases.keys()]).toEqual(["earlier"]);
  });

  test("fails nothing, and lets go of its own where the others are not known", async () => {
    const { node, lease } = set();
    await lease.hold([LAYER]);
    node.before("leases", fails);
    await lease.release();
    expect(node.leases.size).toBe(0);
    node.before("leases", fails);
    node.before("deleteLease", fails);
    await expect(lease.release()).resolves.toBeUndefined();
  });

  test("is no end: what comes later is held anew", async () => {
    const { node, lease } = set();
    await lease.hold([LAYER]);
    await lease.release();
    await lease.hold([LAYER]);
    expect(node.leases.get("ours")).toEqual(new Set([LAYER.id]));
  });
});
