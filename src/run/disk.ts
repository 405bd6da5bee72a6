// Free space of the file system that holds containerd's images.
import { statfs } from "node:fs/promises";
import type { Emit } from "../core/run-state.ts";
import { formatBytes } from "../core/units.ts";
import { Interruption } from "./interruption.ts";

/** The kubelet's default imageGCHighThresholdPercent: above it, it deletes images that no pod uses and nobody pinned. */
const KUBELET_LINE = 85;

export interface DiskGuard {
  /** Before a pull. @throws Interruption (disk) below `disk.min_free_percent` */
  readonly admit: () => Promise<void>;
  /** After the pulls, if there were any: warns of a disk that they filled beyond the kubelet's line. */
  readonly review: () => Promise<void>;
  /** For a message: `1.2GB of 40GB free on /var/vcap/store/containerd`. */
  readonly describe: () => Promise<string>;
}

/** @param directory of that file system; a runtime that does not tell it is no reason not to pull */
export function diskGuard(directory: string | undefined, minFreePercent: number, emit: Emit): DiskGuard {
  const told = new Set<string>();
  const warn = (about: string, message: string): void => {
    if (!told.has(about)) emit({ type: "warning", message });
    told.add(about);
  };
  let asked = false;
  const look = async (): Promise<Usage | undefined> =>
    directory === undefined ? undefined : measure(directory).catch(() => undefined);
  const lookAndWarn = async (): Promise<Usage | undefined> => {
    const usage = await look();
    if (usage === undefined && minFreePercent > 0)
      warn(
        "unknown",
        "disk.min_free_percent cannot be checked: the file system of containerd's images is not known",
      );
    if (usage !== undefined && 100 - usage.freePercent >= KUBELET_LINE)
      warn(
        "full",
        `${usage.text}: above ${KUBELET_LINE}% in use the kubelet deletes images that are neither used nor pinned`,
      );
    return usage;
  };
  return {
    admit: async () => {
      asked = true;
      const usage = await lookAndWarn();
      if (usage !== undefined && usage.freePercent < minFreePercent) throw tooLittle(usage, minFreePercent);
    },
    review: async () => {
      if (asked) await lookAndWarn();
    },
    describe: async () => (await look())?.text ?? "free space unknown",
  };
}

interface Usage {
  readonly freePercent: number;
  readonly text: string;
}

async function measure(directory: string): Promise<Usage> {
  const { bsize, blocks, bavail } = await statfs(directory);
  const [total, free] = [blocks * bsize, bavail * bsize];
  const freePercent = total === 0 ? 100 : (100 * free) / total;
  return {
    freePercent,
    text: `${formatBytes(free)} of ${formatBytes(total)} (${freePercent.toFixed(1)}%) free on ${directory}`,
  };
}

const tooLittle = (usage: Usage, minFreePercent: number): Interruption =>
  new Interruption({
    class: "disk",
    message: `${usage.text}, and disk.min_free_percent is ${minFreePercent}: not pulled`,
  });
