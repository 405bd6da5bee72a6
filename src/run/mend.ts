// Mends images that are damaged on the disk: what is unpacked is unpacked again from its blobs, without the registry, and a
// blob that is cut is deleted, so that it is pulled again.
import { chainIdOf, layersAt } from "../core/content.ts";
import type { Failure, FailureClass } from "../core/failure.ts";
import type { Damage, Node } from "../core/node.ts";
import { chainIdAt, chainOf, suspects, writtenIn, type DiskRecord } from "../core/written.ts";
import type { Containerd } from "../containerd/containerd.ts";
import type { Context } from "./context.ts";
import type { Leases } from "./lease.ts";
import { examine } from "./examine.ts";
import { slots } from "./slots.ts";
import { toFailure } from "./tool-failure.ts";
import type { Placed } from "./work.ts";

/** Images at once: unpacking is work for CPU and disk. */
const AT_ONCE = 2;

type MendLeases = Pick<Leases, "hold" | "collect">;

export interface Examined {
  /** How many had to be looked at. */
  readonly images: number;
  /** With what is wrong on the disk. */
  readonly node: Node;
  /** Digests of targets that are whole. */
  readonly sound: ReadonlySet<string>;
}

/** Looks below the database at what the names lead to, as far as that was not done in this boot. */
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
 * A pull takes what it finds unpacked as it is, also what a power loss has emptied: of the images that were pulled, those on
 * top of something that was here before and is not known to be written are looked at, and mended.
 * @param before the node, before anything was pulled
 * @returns the images without those that stay damaged, which have failed
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
  const doubtful = new Set([...before.snapshots.keys()].filter((chainId) => !written.has(chainId)));
  if (names.length === 0 || doubtful.size === 0) return placed;
  const node = await look(names);
  const isOld = (chainId: string): boolean =>
    doubtful.has(chainId) &&
    before.snapshots.get(chainId)?.createdAt === node.snapshots.get(chainId)?.createdAt;
  const targets = names.flatMap((name) => {
    const target = node.records.get(name)?.target;
    return target !== undefined && chainOf(node, chainIdAt(node, name)).some(isOld) ? [target] : [];
  });
  const isWritten = (chainId: string): boolean => !isOld(chainId);
  const found = await examine({ containerd: context.containerd, node, isWritten }, targets);
  const { damage } = await mend(context, leases, { ...node, damage: found }, names, () => look(names));
  return placed.filter(({ image: { source } }) => {
    const left = damage.get(node.records.get(source.name)?.target.digest ?? "");
    if (left === undefined) return true;
    const failure: Failure = { class: "damaged", message: `it is damaged: ${left.what}` };
    context.emit({ type: "image-failed", image: source.name, step: "verify", failure });
    return false;
  });
}

/**
 * Mends what can be mended.
 * @param look at the node, anew
 * @returns the node as it is then, with what is in use, so that it stays damaged
 */
export async function mend(
  context: Context,
  leases: MendLeases,
  { damage, ...node }: Node,
  names: readonly string[],
  look: () => Promise<Node>,
): Promise<Node> {
  const mendable = new Map([...damage].filter(([, { mend: how }]) => how !== "held"));
  if (mendable.size === 0) return { ...node, damage };
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
      limit(() => unpack(context, node, { digest, name: named.get(digest) ?? digest, ...each })),
    );
  await Promise.all(unpacked);
  return { ...(await look()), damage: left };
}

/** The layers of an image, which lose what links them to it with its manifest, and need not be fetched again. */
const layersToHold = ({ blobs }: Pick<Node, "blobs">, digest: string) =>
  layersAt(blobs, digest)
    .filter((layer) => blobs.has(layer))
    .map((id) => ({ type: "content" as const, id }));

/**
 * Takes away what is not whole, so that it is made again.
 * @returns chain ids of what could not be taken away, because it is in use meanwhile
 */
async function clear(
  { containerd }: Context,
  leases: MendLeases,
  { snapshotter, blobs }: Pick<Node, "blobs" | "snapshotter">,
  damage: readonly Damage[],
): Promise<ReadonlySet<string>> {
  const refused = new Set<string>();
  // One after the other: those on top go first.
  for (const chainId of new Set(damage.flatMap(({ snapshots }) => snapshots)))
    if (!(await containerd.removeSnapshot(snapshotter, chainId))) refused.add(chainId);
  // containerd still counts as on top what its garbage collection took from there. The collection itself does not.
  for (const config of blobs.values())
    if (refused.has(chainIdOf(config, snapshotter) ?? ""))
      await containerd.unlinkSnapshot(config.digest, snapshotter);
  for (const digest of new Set(damage.flatMap((each) => each.blobs))) await containerd.deleteBlob(digest);
  // Also because a blob of which only the record is deleted would be taken for what is pulled, cut as it is.
  await leases.collect();
  const there = refused.size === 0 ? [] : await containerd.snapshots(snapshotter);
  return refused.intersection(new Set(there.map(({ name }) => name)));
}

/** Failures that are not the blobs' own. */
const OF_THE_NODE = new Set<FailureClass>(["disk", "runtime", "cancelled", "timeout"]);

async function unpack(
  { config, containerd, emit, stop }: Context,
  node: Omit<Node, "damage">,
  { digest, name, what, mend: how }: Damage & { readonly digest: string; readonly name: string },
): Promise<void> {
  const tell = (mended: string): void =>
    emit({ type: "warning", message: `${name} was damaged on the disk: ${what}; ${mended}` });
  if (how === "pull") return tell("what is incomplete is deleted, and pulled again");
  const bounds = { signal: stop.signal, timeout: config.deadline };
  try {
    await containerd.unpack(digest, node.snapshotter, bounds);
    tell("unpacked again from its layers, which are whole");
  } catch (error) {
    const failure = toFailure(error, stop.signal);
    tell(`it could not be unpacked again: ${failure.message}`);
    if (OF_THE_NODE.has(failure.class)) return;
    // Of the right length, and not what they should be.
    for (const layer of layersAt(node.blobs, digest)) await containerd.deleteBlob(layer);
  }
}
