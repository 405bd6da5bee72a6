// Compares platforms as containerd does: one platform has several spellings, and a CPU can run others besides its own.
import type { Platform } from "./node.ts";

const ARCHITECTURES: Readonly<Record<string, string>> = {
  i386: "386",
  x86_64: "amd64",
  "x86-64": "amd64",
  aarch64: "arm64",
  armhf: "arm/v7",
  armel: "arm/v6",
};

/** Variants that mean the same as no variant. */
const USUAL = new Set(["amd64/v1", "arm64/8", "arm64/v8"]);

/** What a CPU runs if it runs more than its own platform, best first. */
const RUNS: Readonly<Record<string, readonly string[]>> = {
  amd64: ["amd64", "386"],
  arm64: ["arm64", "arm/v8", "arm/v7", "arm/v6", "arm/v5"],
};

/** Uses containerd's spelling; `cpu` includes the variant. An empty operating system is the node's, Linux. */
function normalised({ os, architecture, variant = "" }: Platform): { os: string; cpu: string } {
  const written = architecture.toLowerCase();
  const known = ARCHITECTURES[written] ?? written;
  const digits = known === "arm" && variant === "" ? "v7" : variant.toLowerCase();
  const full = known === "arm" && /^\d$/u.test(digits) ? `v${digits}` : digits;
  const isWhole = full === "" || known.includes("/") || written === "i386" || USUAL.has(`${known}/${full}`);
  return { os: os === "" ? "linux" : os.toLowerCase(), cpu: isWhole ? known : `${known}/${full}` };
}

/** How well a node runs a platform: 0 is best, undefined if not at all. */
export function rankOf(platform: Platform, node: Platform): number | undefined {
  const { os, cpu } = normalised(platform);
  const own = normalised(node);
  const rank = (RUNS[own.cpu] ?? [own.cpu]).indexOf(cpu);
  return os === own.os && rank !== -1 ? rank : undefined;
}

/** Whether an image states that it is for another platform. Missing fields do not contradict. */
export const contradicts = ({ os, architecture }: Platform, node: Platform): boolean =>
  rankOf({ os, architecture: architecture === "" ? node.architecture : architecture }, node) === undefined;

export const platformText = ({ os, architecture }: Platform): string =>
  `${os === "" ? "?" : os}/${architecture === "" ? "?" : architecture}`;
