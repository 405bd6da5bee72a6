import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { poll } from "./poll.ts";

/** Ends what still runs with a path below this folder on its command line: shims outlive their containerd by design. */
export async function endProcessesNaming(folder: string): Promise<void> {
  for (const pid of processesNaming(folder)) endIfThere(pid);
  await poll(`no process names ${folder}`, () => processesNaming(folder).length === 0 || undefined);
}

export function processesNaming(folder: string): number[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids
    .map(Number)
    .filter((pid) => pid !== process.pid && commandLine(pid).some((part) => part.includes(`${folder}/`)));
}

function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return []; // It ended between the listing and the reading.
  }
}

function endIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}
