// What is known to be on the disk, and what has to be looked at or written before it is told to be in place.
import { chainIdOf } from "./content.ts";
import { judge } from "./judge.ts";
import type { Descriptor, Node } from "./node.ts";

export interface DiskRecord {
  /** Digests of targets that were found whole on the disk, or were placed, in this boot. */
  readonly sound: ReadonlySet<string>;
  /**
   * When snapshots were made whose files are known to be on the disk, by chain id. One that was made again since, or of which
   * this file does not know because the power failed, counts as not written.
   */
  readonly written: ReadonlyMap<string, string>;
}

/** Without what turned out to be damaged, so that the next run looks at it and mends it. */
export function corrected({ sound, written }: DiskRecord, { damage }: Pick<Node, "damage">): DiskRecord {
  const broken = new Set([...damage.values()].flatMap(({ snapshots }) => snapshots));
  return {
    sound: new Set([...sound].filter((digest) => !damage.has(digest))),
    written: new Map([...written].filter(([chainId]) => !broken.has(chainId))),
  };
}

export const NOTHING_KNOWN: DiskRecord = { sound: new Set(), written: new Map() };

/** A snapshot and those below it. */
export function chainOf({ snapshots }: Pick<Node, "snapshots">, top = ""): string[] {
  const chain: string[] = [];
  for (let next = snapshots.get(top); next !== undefined; next = snapshots.get(next.parent))
    chain.push(next.name);
  return chain;
}

/** Chain ids of snapshots that are known to be on the disk, with those below them. */
export function writtenIn({ snapshots }: Pick<Node, "snapshots">, { written }: DiskRecord): Set<string> {
  const tops = [...written].filter(([chainId, createdAt]) => snapshots.get(chainId)?.createdAt === createdAt);
  return new Set(tops.flatMap(([chainId]) => chainOf({ snapshots }, chainId)));
}

/** What names lead to that was not looked at in this boot, or is not as it should be; each once. */
export function suspects(node: Node, names: Iterable<string>, { sound }: DiskRecord): Descriptor[] {
  const found = new Map<string, Descriptor>();
  for (const name of names) {
    const target = node.records.get(name)?.target;
    if (target === undefined) continue;
    if (!sound.has(target.digest) || judge(node, name).is === "damaged") found.set(target.digest, target);
  }
  return [...found.values()];
}

/** The snapshot of the image of a name; undefined for one that is not usable, or not unpacked. */
export function chainIdAt(node: Node, name: string): string | undefined {
  const judgement = judge(node, name);
  const config = judgement.is === "usable" ? node.blobs.get(judgement.id) : undefined;
  const chainId = config && chainIdOf(config, node.snapshotter);
  return chainId !== undefined && node.snapshots.has(chainId) ? chainId : undefined;
}
