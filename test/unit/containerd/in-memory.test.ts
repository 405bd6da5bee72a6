// What the tests' containerd does as a real one does.
import { expect, test } from "vitest";
import { inMemoryContainerd } from "./in-memory.ts";
import { served } from "./served-image.ts";

const LIVE = { signal: new AbortController().signal, timeout: 1_000 };

test("keeps what a record or a lease points to, and collects the rest", async () => {
  const node = inMemoryContainerd();
  const [kept, leased, lost] = [served("kept"), served("leased"), served("lost")];
  for (const image of [kept, leased, lost]) node.bring(`a.b/${image.id.slice(7, 12)}:1`, image);
  await node.containerd.createLease("ours", new Date(1_000));
  await node.containerd.hold("ours", { type: "content", id: leased.target.digest });
  node.rmi(leased);
  node.rmi(lost);
  expect(node.blobs.has(leased.layers[0]?.digest ?? "")).toBe(true);
  expect([...node.snapshots.keys()]).toEqual([kept.chainId, leased.chainId]);
  expect(node.blobs.has(lost.id)).toBe(false);
  await node.containerd.deleteLease("ours");
  expect([...node.snapshots.keys()]).toEqual([kept.chainId]);
  expect(node.blobs.size).toBe(kept.blobs.length);
});

test("collects what a lease held that has expired, with the downloads that nobody goes on with", async () => {
  let now = 0;
  const node = inMemoryContainerd("1.7.35", () => now);
  node.registry.set("a.b/c:1", served("c"));
  node.downloads.set("layer-x", { ref: "layer-x", offset: 1, total: 2 });
  await node.containerd.createLease("ours", new Date(1_000));
  await node.containerd.hold("ours", { type: "ingests", id: "layer-x" });
  await node.containerd.pull("a.b/c:1", LIVE);
  expect(node.downloads.size).toBe(1);
  now = 1_001;
  await node.containerd.pull("a.b/c:1", LIVE);
  expect([node.downloads.size, node.leases.size]).toEqual([0, 0]);
});

test("lets CRI hear of new names one after the other", async () => {
  let now = 0;
  const node = inMemoryContainerd("1.7.35", () => now);
  node.cri.lag = 10;
  node.bring("a.b/c:1", served("c"));
  await node.containerd.tag("a.b/c:1", ["a.b/c:2", "a.b/c:3"]);
  const names = async (): Promise<number> => (await node.containerd.criImages())[0]?.names.length ?? 0;
  expect(await names()).toBe(0);
  now = 50;
  expect(await names()).toBe(4);
});
