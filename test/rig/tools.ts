import { execFileSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import path from "node:path";
import process from "node:process";

export const containerdLines = ["1.6.20", "1.6", "1.7", "2.3", "2"] as const;
/** Those of suites that ask for no others. 2.3 differs from 2 in its pulls, which suites of their own prove on every line. */
export const usualLines = containerdLines.filter((line) => line !== "2.3");
export type ContainerdLine = (typeof containerdLines)[number];

/** The first is the one that all suites use. */
export const crictlVersions = ["1.30", "1.26", "1.37"] as const;
export type CrictlVersion = (typeof crictlVersions)[number];

export interface ToolPaths {
  containerd: string;
  ctr: string;
  crictl: string;
  registry: string;
  bosh: string;
  boshAgent: string;
  nodeExporter: string;
  kubelet: string;
  /** Found by containerd on its PATH: only that of line 2 is of its own version. */
  shim: string;
}

// As in scripts/tools, which fills this folder.
const cache =
  process.env["IMPORT_IMAGES_TOOLS"] ?? path.resolve(import.meta.dirname, "..", "..", ".cache", "tools");

// The oldest line is Debian 12's own package: nothing is built for it.
const debianLine = "1.6.20";

export function toolPaths(line: ContainerdLine, crictl: CrictlVersion = "1.30"): ToolPaths {
  const runtime = line === debianLine ? "/usr/bin" : path.join(cache, `containerd-${line}`);
  return {
    containerd: path.join(runtime, "containerd"),
    ctr: path.join(runtime, "ctr"),
    crictl: path.join(cache, crictl === "1.30" ? "crictl" : `crictl-${crictl}`, "crictl"),
    registry: path.join(cache, "registry", "registry"),
    bosh: path.join(cache, "bosh-cli", "bosh"),
    boshAgent: path.join(cache, "bosh-agent", "bosh-agent"),
    nodeExporter: path.join(cache, "node-exporter", "node_exporter"),
    kubelet: path.join(cache, "kubelet", "kubelet"),
    shim: path.join(runtime, "containerd-shim-runc-v2"),
  };
}

export type Tool = keyof ToolPaths;

/** Why the real parts cannot run here: one reason a line, none when they can. */
export function missingTools(
  line: ContainerdLine,
  wanted: readonly Tool[] = runtimeTools,
  crictl: CrictlVersion = "1.30",
): string[] {
  if (process.platform !== "linux") return [`this is ${process.platform}, containerd needs Linux`];
  const reasons: string[] = [];
  if (process.getuid?.() !== 0) reasons.push("not root: containerd mounts snapshots");
  const paths = toolPaths(line, crictl);
  const missing = wanted.filter((tool) => !isExecutable(paths[tool])).map((tool) => paths[tool]);
  if (missing.length > 0) reasons.push(`run scripts/tools for ${missing.join(", ")}`);
  if (reasons.length === 0 && line === debianLine) reasons.push(...otherDebianVersion(paths.containerd));
  return reasons;
}

const runtimeTools: readonly Tool[] = ["containerd", "ctr", "crictl", "registry"];

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

// Another distribution's containerd under the same path would pass for a line that it is not.
function otherDebianVersion(containerd: string): string[] {
  const version = execFileSync(containerd, ["--version"], { encoding: "utf8" }).trim();
  return version.includes(debianLine) ? [] : [`the packaged containerd is not ${debianLine}: ${version}`];
}
