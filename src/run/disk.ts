// Free space of the file system that holds containerd's images.
import { statfs } from "node:fs/promises";
import type { Emit } from "../core/run-state.ts";
import { formatBytes } from "../core/units.ts";
import { Interruption } from "./interruption.ts";
import { UNHURRIED } from "./pause.ts";

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

/** @param find gives a directory of that file system; asked once, and only if something is to be pulled */
export function diskGuard(
  find: () => Promise<string | undefined>,
  minFreePercent: number,
  emit: Emit,
): DiskGuard {
  let found: Promise<string | undefined> | undefined;
  // A runtime that cannot tell where its images are is no reason not to pull them.
  const look = async (): Promise<Usage | undefined> => {
    const directory = await (found ??= find().catch(() => undefined));
    return directory === undefined ? undefined : measure(directory).catch(() => undefined);
  };
  let warned = false;
  const warnIfFull = async (): Promise<Usage | undefined> => {
    const usage = await look();
    if (usage === undefined || warned || 100 - usage.freePercent < KUBELET_LINE) return usage;
    warned = true;
    const full = `${usage.text}: above ${KUBELET_LINE}% in use`;
    emit({ type: "warning", message: `${full} the kubelet deletes images that are neither used nor pinned` });
    return usage;
  };
  let early: NodeJS.Timeout | undefined;
  return {
    admit: async () => {
      early ??= setTimeout(warnIfFull, UNHURRIED).unref();
      if (minFreePercent === 0) return;
      const usage = await warnIfFull();
      if (usage !== undefined && usage.freePercent < minFreePercent) throw tooLittle(usage, minFreePercent);
    },
    review: async () => {
      if (early === undefined) return;
      clearTimeout(early);
      await warnIfFull();
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
