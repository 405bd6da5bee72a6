// The disks that hold containerd's images (possibly two: for blobs and for snapshots): how much space is free, and what
// happens when one is full. Pulls, imports and names all use this.
import { stat, statfs } from "node:fs/promises";
import { Failed, nextStep, type Failure } from "../core/failure.ts";
import { formatBytes } from "../core/units.ts";
import type { Context, DiskUsage, Machine } from "./context.ts";
import type { Leases } from "./lease.ts";

/** The kubelet's default imageGCHighThresholdPercent. Above it, the kubelet deletes images neither used nor pinned. */
const KUBELET_LINE = 85;

export type Disks = ReturnType<typeof watchDisks>;

export interface DiskOptions extends Pick<Context, "config" | "emit" | "machine" | "stop"> {
  /** Where containerd keeps images. May be empty: a runtime that reports no directory does not prevent pulls. */
  readonly directories: readonly string[];
  readonly leases: Pick<Leases, "release">;
}

export function watchDisks({ config, emit, machine, stop, directories, leases }: DiskOptions) {
  const least = config.disk.min_free_percent;
  const warned = new Set<string>();
  const warn = (about: string, message: string): void => {
    if (!warned.has(about)) emit({ type: "warning", message });
    warned.add(about);
  };
  let asked = false;
  const lookAndWarn = async (): Promise<Room[]> => {
    const { rooms, areKnown } = await look(machine, directories);
    if (!areKnown && least > 0) warn("unknown", UNKNOWN);
    for (const { resource, text, directory, freePercent } of rooms)
      if (resource === "bytes" && 100 - freePercent >= KUBELET_LINE) warn(directory, `${text}: ${FULL}`);
    return rooms;
  };
  return {
    /** Call before a pull or an import. @throws Failed (disk) below `disk.min_free_percent` */
    admit: async (what: "pulled" | "imported" = "pulled"): Promise<void> => {
      asked = true;
      const low = (await lookAndWarn()).find(({ freePercent }) => freePercent < least);
      if (low === undefined) return;
      const message = `${low.text}, and disk.min_free_percent is ${least}: not ${what}`;
      throw new Failed({ class: "disk", message });
    },
    /** Call after the work. If there was any, warns of a disk above the kubelet's threshold. */
    review: async (): Promise<void> => {
      if (asked) await lookAndWarn();
    },
    /**
     * Stops new work because a disk is full or broken, and deletes all leases, because what they hold fills the disk.
     * @param ended waits for what may still add to a lease
     * @param needs what is known of the need, for the message
     * @returns the failure with the full disk: `1.2GB of 40GB (3.0%) free on /var/vcap/store/containerd`
     */
    full: async (failure: Failure, ended: () => Promise<void>, needs = ""): Promise<Failure> => {
      const isFull = failure.next === undefined || failure.next === nextStep("disk");
      // The free space of a broken disk means nothing.
      const room = isFull ? await roomFor(machine, directories, failure) : "";
      stop.diskFull(isFull ? room : failure.message, failure.next);
      await ended();
      await leases.release("all");
      return isFull ? { ...failure, message: `${failure.message} (${needs}${room})` } : failure;
    },
  };
}

const UNKNOWN =
  "disk.min_free_percent cannot be checked: the file system of containerd's images is not known";
const FULL = `above ${KUBELET_LINE}% in use the kubelet deletes images that are neither used nor pinned`;

interface Room {
  readonly directory: string;
  readonly resource: "bytes" | "inodes";
  readonly freePercent: number;
  readonly text: string;
}

/** Free space of the disk that the tool's message names, or else of the scarcest. */
async function roomFor(
  machine: Machine,
  directories: readonly string[],
  { message }: Failure,
): Promise<string> {
  const { rooms } = await look(machine, directories);
  const scarcest = rooms.toSorted((a, b) => a.freePercent - b.freePercent);
  const named = scarcest.find(({ directory }) => message.includes(directory));
  return (named ?? scarcest[0])?.text ?? "free space unknown";
}

/** Reads each file system once. */
async function look(
  { usage }: Machine,
  directories: readonly string[],
): Promise<{ rooms: Room[]; areKnown: boolean }> {
  const seen = directories.map(async (directory) => {
    const found = await usage(directory);
    return [found.device, roomsIn(directory, found)] as const;
  });
  const known = (await Promise.allSettled(seen)).flatMap((each) =>
    each.status === "fulfilled" ? [each.value] : [],
  );
  const areKnown = directories.length > 0 && known.length === directories.length;
  return { rooms: [...new Map(known).values()].flat(), areKnown };
}

export async function diskUsage(directory: string): Promise<DiskUsage> {
  const [{ dev }, { bsize, blocks, bavail, files, ffree }] = await Promise.all([
    stat(directory),
    statfs(directory),
  ]);
  return { device: dev, bsize, blocks, bavail, files, ffree };
}

function roomsIn(directory: string, { bsize, blocks, bavail, files, ffree }: DiskUsage): Room[] {
  const [bytes, inodes] = [share(bavail, blocks), share(ffree, files)];
  const text = `${formatBytes(bavail * bsize)} of ${formatBytes(blocks * bsize)} (${bytes.toFixed(1)}%) free on ${directory}`;
  const inodesText = `${ffree} of ${files} inodes free on ${directory}`;
  return [
    { directory, resource: "bytes", freePercent: bytes, text },
    { directory, resource: "inodes", freePercent: inodes, text: inodesText },
  ];
}

/** File systems that create inodes on demand report a total of 0. */
const share = (free: number, total: number): number => (total === 0 ? 100 : (100 * free) / total);
