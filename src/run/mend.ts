// Repairs images that are damaged on the disk. Snapshots are unpacked again from their blobs, without the registry.
// A blob that is cut short is deleted, so that it is pulled again.
import { chainIdOf, layersAt } from "../core/content.ts";
import type { Failure, FailureClass } from "../core/failure.ts";
import type { Damage, Node } from "../core/node.ts";
import { chainIdAt, chainOf, NOTHING_KNOWN, suspects, writtenIn, type DiskRecord } from "../core/written.ts";
import type { Containerd } from "../containerd/containerd.ts";
import type { Context } from "./context.ts";
import type { Leases } from "./lease.ts";
import { examine } from "./examine.ts";
import { slots } from "./slots.ts";
import { toFailure } from "./tool-failure.ts";
import type { Placed } from "./work.ts";

/** Images unpacked at once: unpacking takes CPU and disk. */
const AT_ONCE = 2;

type MendLeases = Pick<Leases, "hold" | "collect">;

export interface Examined {
  /** Number of images that had to be examined. */
  readonly images: number;
  /** With the damage found on the disk. */
  readonly node: Node;
  /** Digests of targets that are not damaged. */
  readonly sound: ReadonlySet<string>;
}

/** Examines what the names refer to, unless a run has done so since boot. */
export async function examineNames(
  containerd: Pick<Containerd, "layerDirectories">,
  node: Node,
  names: readonly string[],
  record: DiskRecord,
): Promise<Examined> {
  const targets = suspects(node, names, record);
  if (targets.length === 0) return { node, images: 0, sound: record.sound };
  const written = writtenIn(node, record);
  const damage = await examine({ containerd, node, isWritten: (chainId) => written.has(chainId) }, targets);
  const looked = targets.map(({ digest }) => digest).filter((digest) => !damage.has(digest));
  return { node: { ...node, damage }, images: targets.length, sound: record.sound.union(new Set(looked)) };
}

/**
 * A pull reuses snapshots as they are, even those that a power loss has emptied. Examines and repairs the pulled images
 * that contain a snapshot from before the pulls that is not known to be written to the disk.
 * @param before the node before the pulls
 * @returns `placed` without the images that stay damaged, which have failed
 */
export async function mendPulled(
  context: Context,
  leases: MendLeases,
  before: Node,
  placed: readonly Placed[],
  record: DiskRecord,
  look: (names: readonly string[]) => Promise<Node>,
): Promise<readonly Placed[]> {
  const names = placed.filter(({ how }) => how === "pulled").map(({ image }) => image.source.name);
  const written = writtenIn(before, record);
  if (names.length === 0 || written.isSupersetOf(before.snapshots)) return placed;
  const node = await look(names);
  const isOld = (chainId: string): boolean =>
    !written.has(chainId) &&
    before.snapshots.get(chainId)?.createdAt === node.snapshots.get(chainId)?.createdAt;
  const doubtful = names.filter((name) => chainOf(node, chainIdAt(node, name)).some(isOld));
  const targets = suspects(node, doubtful, NOTHING_KNOWN);
  const options = { ...context, node, isWritten: (chainId: string): boolean => !isOld(chainId) };
  const found = await examine(options, targets);
  const damage = await repair(context, leases, { ...node, damage: found }, names);
  return placed.filter(({ image: { source } }) => {
    const left = damage.get(node.records.get(source.name)?.target.digest ?? "");
    if (left === undefined) return true;
    const failure: Failure = { class: "damaged", message: `it is damaged: ${left.what}` };
    context.emit({ type: "image-failed", image: source.name, step: "verify", failure });
    return false;
  });
}

/** Repairs what it can. @returns the node, read again; `damage` keeps only images whose snapshots are in use */
export async function mend(
  context: Context,
  leases: MendLeases,
  node: Node,
  names: readonly string[],
  look: () => Promise<Node>,
): Promise<Node> {
  const damage = await repair(context, leases, node, names);
  return damage === node.damage ? node : { ...(await look()), damage };
}

/** @returns the damage that stays; the same map if there is nothing to repair */
async function repair(
  context: Context,
  leases: MendLeases,
  { damage, ...node }: Node,
  names: readonly string[],
): Promise<Node["damage"]> {
  const mendable = new Map([...damage].filter(([, { mend: how }]) => how !== "held"));
  if (mendable.size === 0) return damage;
  const named = new Map(names.map((name) => [node.records.get(name)?.target.digest, name]));
  for (const [digest, { mend: how }] of mendable)
    if (how === "pull") await leases.hold(named.get(digest) ?? digest, layersToHold(node, digest));
  const held = await clear(context, leases, node, [...mendable.values()]);
  const left = new Map(
    [...damage]
      .filter(([digest, { snapshots }]) => !mendable.has(digest) || snapshots.some((each) => held.has(each)))
      .map(([digest, each]) => [digest, { ...each, mend: "held" as const }]),
  );
  const limit = slots(AT_ONCE);
  const unpacked = [...mendable]
    .filter(([digest]) => !left.has(digest))
    .map(([digest, each]) =>
      limit(() => unpack(context, leases, node, { digest, name: named.get(digest) ?? digest, ...each })),
    );
  await Promise.all(unpacked);
  return left;
}

/** Nothing keeps these layers once the manifest is deleted. Holding them avoids fetching them again. */
const layersToHold = ({ blobs }: Pick<Node, "blobs">, digest: string) =>
  layersAt(blobs, digest)
    .filter((layer) => blobs.has(layer))
    .map((id) => ({ type: "content" as const, id }));

/** Removes what is damaged, so that it is created again. @returns chain IDs of snapshots that are in use meanwhile */
async function clear(
  { containerd }: Context,
  leases: MendLeases,
  { snapshotter, blobs }: Pick<Node, "blobs" | "snapshotter">,
  damage: readonly Damage[],
): Promise<ReadonlySet<string>> {
  const refused = new Set<string>();
  // In order, because a snapshot can only be removed after those on top of it.
  for (const chainId of new Set(damage.flatMap(({ snapshots }) => snapshots)))
    if (!(await containerd.removeSnapshot(snapshotter, chainId))) refused.add(chainId);
  // containerd still counts children that its garbage collection has taken, and refuses. The collection does not.
  for (const config of blobs.values())
    if (refused.has(chainIdOf(config, snapshotter) ?? ""))
      await containerd.unlinkSnapshot(config.digest, snapshotter);
  for (const digest of new Set(damage.flatMap((each) => each.blobs))) await containerd.deleteBlob(digest);
  // Needed for blobs too: a file outlives its record until a collection, and a pull would reuse it, cut short as it is.
  await leases.collect();
  const there = refused.size === 0 ? [] : await containerd.snapshots(snapshotter);
  return refused.intersection(new Set(there.map(({ name }) => name)));
}

/** Failures that say nothing about the blobs. */
const OF_THE_NODE = new Set<FailureClass>(["disk", "runtime", "cancelled", "timeout"]);

async function unpack(
  { config, containerd, emit, stop }: Context,
  leases: MendLeases,
  node: Omit<Node, "damage">,
  { digest, name, what, mend: how }: Damage & { readonly digest: string; readonly name: string },
): Promise<void> {
  const warn = (mended: string): void =>
    emit({ type: "warning", message: `${name} was damaged on the disk: ${what}; ${mended}` });
  if (how === "pull") return warn("what is incomplete is deleted, and pulled again");
  const bounds = { signal: stop.signal, timeout: config.deadline };
  try {
    await containerd.unpack(digest, node.snapshotter, bounds);
    warn("unpacked again from its layers, which are whole");
  } catch (error) {
    const failure = toFailure(error, stop.signal);
    warn(`it could not be unpacked again: ${failure.message}`);
    if (OF_THE_NODE.has(failure.class)) return;
    // The blobs have the right length, but the wrong content. As in `clear`, a pull would reuse their files.
    for (const layer of layersAt(node.blobs, digest)) await containerd.deleteBlob(layer);
    await leases.collect();
  }
}
