// Writes content to the disk before a run reports it as in place. containerd leaves what it unpacks in memory: a power
// loss takes it, and leaves a database that shows it as complete.
import { stat } from "node:fs/promises";
import { directoriesOf, type Node } from "../core/node.ts";
import { chainIdAt, writtenIn, type DiskRecord } from "../core/written.ts";
import type { Context } from "./context.ts";
import type { Placed } from "./work.ts";
import { toFailure } from "./tool-failure.ts";

export interface Flush {
  /** Writes what the images need to the disk, unless all of it is known to be there. Never fails a run. */
  readonly flush: (placed: readonly Placed[]) => Promise<void>;
  /** What is known to be on the disk now. @param sources of images that were proved */
  readonly known: (sources: readonly string[], now: Node) => DiskRecord;
}

/** @param node before the pulls. @param record what was known of the disk then */
export function flusher({ containerd, clock, emit, stop }: Context, node: Node, record: DiskRecord): Flush {
  /** Creation times, by chain ID, of the snapshots that existed before the last sync. */
  let synced: ReadonlyMap<string, string> = new Map();
  const written = writtenIn(node, record);
  const isNew = ({ image, how }: Placed): boolean => {
    const chainId = chainIdAt(node, image.source.name);
    return (how !== "present" && how !== "kept") || (chainId !== undefined && !written.has(chainId));
  };
  return {
    flush: async (placed) => {
      if (stop.signal.aborted || !placed.some(isNew)) return;
      const begun = clock.now();
      try {
        const directories = await fileSystems(node);
        if (directories.length === 0) return;
        const before = await containerd.snapshots(node.snapshotter);
        for (const directory of directories) await containerd.sync(directory);
        synced = new Map(before.map(({ name, createdAt }) => [name, createdAt]));
        emit({ type: "synced", ms: clock.now() - begun });
      } catch (error) {
        const { message } = toFailure(error, stop.ended);
        emit({ type: "warning", message: `${UNWRITTEN}: ${message}` });
      }
    },
    known: (sources, now) => {
      const chains = new Set(sources.map((name) => chainIdAt(now, name)));
      const fresh = [...synced].filter(([chainId]) => chains.has(chainId));
      const targets = sources.flatMap((name) => now.records.get(name)?.target.digest ?? []);
      return {
        sound: new Set([...record.sound, ...targets].filter((digest) => now.blobs.has(digest))),
        written: new Map(
          [...record.written, ...fresh].filter(
            ([chainId, createdAt]) => now.snapshots.get(chainId)?.createdAt === createdAt,
          ),
        ),
      };
    },
  };
}

const UNWRITTEN =
  "what this run added may not be on the disk yet; a power loss now could damage it; the next run writes it";

/** A directory that cannot be read counts as a device of its own: the sync then reports why. */
const deviceOf = (directory: string): Promise<number | string> =>
  stat(directory).then(
    ({ dev }) => dev,
    () => directory,
  );

/** One directory of each file system that containerd uses. */
async function fileSystems(node: Node): Promise<string[]> {
  const devices = await Promise.all(
    directoriesOf(node).map(async (directory) => [await deviceOf(directory), directory] as const),
  );
  return [...new Map(devices).values()];
}
