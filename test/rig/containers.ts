// What pods leave when nobody removed them through CRI: their processes and cgroups outlive containerd by design.
import { readdirSync, readFileSync, rmdirSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { processesNaming } from "./processes.ts";

/** Where containerd puts the cgroups of pods that name no parent. */
const podsCgroup = "/k8s.io";

/** Ends the containers of the shims that name this folder, and the shims. Synchronous, for the end of the test process. */
export function endContainers(folder: string): void {
  const shims = processesNaming(folder).filter((pid) => containersOf(pid).length > 0);
  const containers = shims.flatMap(containersOf);
  const cgroups = containers.map(cgroupOf);
  for (const pid of containers) kill(pid);
  // A cgroup can be removed once the kernel has let go of its last process.
  waitUntil(() => cgroups.map(removeCgroup).every(Boolean));
  for (const pid of shims) kill(pid);
  waitUntil(() => shims.every((pid) => readText(`/proc/${pid}/cmdline`) === ""));
  if (shims.length > 0) removePodsCgroup();
}

/** The parent of all pods' cgroups, which nobody else removes; it stays as long as there are pods. */
export function removePodsCgroup(): void {
  removeCgroup(podsCgroup);
}

const containersOf = (shim: number): number[] =>
  readText(`/proc/${shim}/task/${shim}/children`)
    .split(" ")
    .filter(Boolean)
    .map(Number)
    .filter((pid) => cgroupOf(pid).startsWith(podsCgroup));

/** Relative to the roots of the hierarchies; empty for a process that is gone. */
const cgroupOf = (pid: number): string =>
  readText(`/proc/${pid}/cgroup`)
    .split("\n")
    .map((line) => line.split(":")[2] ?? "")
    .find((cgroup) => cgroup.startsWith(podsCgroup)) ?? "";

/** Whether it is gone from every hierarchy. */
function removeCgroup(cgroup: string): boolean {
  const root = "/sys/fs/cgroup";
  // Of version 1 each controller has a hierarchy below the root; of version 2 the root is the only one.
  const hierarchies = [root, ...directories(root).map((name) => path.join(root, name))];
  return hierarchies.map((hierarchy) => removeEmpty(path.join(hierarchy, cgroup))).every(Boolean);
}

function removeEmpty(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
}

function directories(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return []; // A machine without cgroups.
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return ""; // The process has ended.
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}

function waitUntil(done: () => boolean): void {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  for (let tries = 0; tries < 40 && !done(); tries++) Atomics.wait(cell, 0, 0, 50);
}
