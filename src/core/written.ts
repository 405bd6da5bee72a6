// What is known to be on the disk, and what to examine or write before it is reported as in place.
import { chainIdOf } from "./content.ts";
import { judge } from "./judge.ts";
import type { Descriptor, Node } from "./node.ts";

export interface DiskRecord {
  /** Digests of targets that were found whole on the disk, or were placed, since the node booted. */
  readonly sound: ReadonlySet<string>;
  /**
   * Creation times of snapshots whose files are known to be on the disk, by chain id. A snapshot with another time, or
   * without an entry because the power failed before this was saved, counts as not written.
   */
  readonly written: ReadonlyMap<string, string>;
}

/** Drops what proved damaged, so that the next run examines and repairs it. */
export function corrected({ sound, written }: DiskRecord, { damage }: Pick<Node, "damage">): DiskRecord {
  const broken = new Set([...damage.values()].flatMap(({ snapshots }) => snapshots));
  return {
    sound: new Set([...sound].filter((digest) => !damage.has(digest))),
    written: new Map([...written].filter(([chainId]) => !broken.has(chainId))),
  };
}

export const NOTHING_KNOWN: DiskRecord = { sound: new Set(), written: new Map() };

/** Chain ids of a snapshot and those below it, top first. */
export function chainOf({ snapshots }: Pick<Node, "snapshots">, top = ""): string[] {
  const chain: string[] = [];
  for (let next = snapshots.get(top); next !== undefined; next = snapshots.get(next.parent))
    chain.push(next.name);
  return chain;
}

/** Chain ids of snapshots that are known to be on the disk, and of those below them. */
export function writtenIn({ snapshots }: Pick<Node, "snapshots">, { written }: DiskRecord): Set<string> {
  const tops = [...written].filter(([chainId, createdAt]) => snapshots.get(chainId)?.createdAt === createdAt);
  return new Set(tops.flatMap(([chainId]) => chainOf({ snapshots }, chainId)));
}

/** Targets of the names that were not examined since the node booted, or are damaged; each once. */
export function suspects(node: Node, names: Iterable<string>, { sound }: DiskRecord): Descriptor[] {
  const found = new Map<string, Descriptor>();
  for (const name of names) {
    const target = node.records.get(name)?.target;
    if (target === undefined) continue;
    if (!sound.has(target.digest) || judge(node, name).is === "damaged") found.set(target.digest, target);
  }
  return [...found.values()];
}

/** Chain id of the name's image; undefined if it is not usable or not unpacked. */
export function chainIdAt(node: Node, name: string): string | undefined {
  const config = node.blobs.get(judge(node, name).id ?? "");
  return node.snapshots.get((config && chainIdOf(config, node.snapshotter)) ?? "")?.name;
}
