// Free space of the file system that holds containerd's images.
import { statfs } from "node:fs/promises";
import { Failed } from "../core/failure.ts";
import type { Emit } from "../core/events.ts";
import { formatBytes } from "../core/units.ts";

/** The kubelet's default imageGCHighThresholdPercent: above it, it deletes images that no pod uses and nobody pinned. */
const KUBELET_LINE = 85;

export type DiskGuard = ReturnType<typeof diskGuard>;

/** @param directory of that file system; a runtime that does not tell it is no reason not to pull */
export function diskGuard(directory: string | undefined, minFreePercent: number, emit: Emit) {
  const told = new Set<string>();
  const warn = (about: string, message: string): void => {
    if (!told.has(about)) emit({ type: "warning", message });
    told.add(about);
  };
  let asked = false;
  const look = async () => (directory === undefined ? undefined : measure(directory).catch(() => undefined));
  const lookAndWarn = async () => {
    const usage = await look();
    if (usage === undefined && minFreePercent > 0) warn("unknown", UNKNOWN);
    if (usage !== undefined && 100 - usage.freePercent >= KUBELET_LINE)
      warn("full", `${usage.text}: ${FULL}`);
    return usage;
  };
  return {
    /** Before a pull. @throws Failed (disk) below `disk.min_free_percent` */
    admit: async (): Promise<void> => {
      asked = true;
      const usage = await lookAndWarn();
      if (usage === undefined || usage.freePercent >= minFreePercent) return;
      const message = `${usage.text}, and disk.min_free_percent is ${minFreePercent}: not pulled`;
      throw new Failed({ class: "disk", message });
    },
    /** After the pulls, if there were any: warns of a disk that they filled beyond the kubelet's line. */
    review: async (): Promise<void> => {
      if (asked) await lookAndWarn();
    },
    /** For a message: `1.2GB of 40GB (3.0%) free on /var/vcap/store/containerd`. */
    describe: async (): Promise<string> => (await look())?.text ?? "free space unknown",
  };
}

const UNKNOWN =
  "disk.min_free_percent cannot be checked: the file system of containerd's images is not known";
const FULL = `above ${KUBELET_LINE}% in use the kubelet deletes images that are neither used nor pinned`;

async function measure(directory: string) {
  const { bsize, blocks, bavail } = await statfs(directory);
  const [total, free] = [blocks * bsize, bavail * bsize];
  const freePercent = total === 0 ? 100 : (100 * free) / total;
  const text = `${formatBytes(free)} of ${formatBytes(total)} (${freePercent.toFixed(1)}%) free on ${directory}`;
  return { freePercent, text };
}
