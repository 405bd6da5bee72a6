import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";

export interface Command {
  file: string;
  args: string[];
  env: Record<string, string>;
}

export interface Measured {
  seconds: number;
  exitCode: number;
  /** User and system time, with all its children. */
  cpuSeconds: number;
  /** Of the process itself, without its children. */
  ownCpuSeconds: number;
  ownPeakMB: number;
  stderrEnd: string;
}

const ticksPerSecond = 100;
const samplingMs = 20;

/** Runs a command to its end under GNU time, which knows about its children; its own share is sampled from /proc. */
export async function measure(command: Command, folder: string): Promise<Measured> {
  const report = path.join(folder, "time.txt");
  const started = performance.now();
  const child = spawn("/usr/bin/time", ["-o", report, "-f", "%U %S", command.file, ...command.args], {
    env: command.env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const own = { ownCpuSeconds: 0, ownPeakMB: 0 };
  const sampler = setInterval(() => sampleChildOf(child.pid ?? 0, own), samplingMs);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once("error", reject).once("close", (code) => resolve(code ?? -1));
  const exitCode = await promise;
  const seconds = (performance.now() - started) / 1000;
  clearInterval(sampler);
  const [user = 0, system = 0] = lastLine(await readFile(report, "utf8"))
    .split(" ")
    .map(Number);
  return { seconds, exitCode, cpuSeconds: user + system, ...own, stderrEnd: stderr.slice(-1000) };
}

// time adds a line of its own before its report when the command fails.
function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}

/** User and system time of a process so far. */
export function cpuSecondsOf(pid: number | string): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

function sampleChildOf(parent: number, own: { ownCpuSeconds: number; ownPeakMB: number }): void {
  try {
    const pid = readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8").trim();
    const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    own.ownCpuSeconds = cpuSecondsOf(pid);
    if (peak !== undefined) own.ownPeakMB = Number(peak) / 1024;
  } catch {
    // It has ended, or not yet begun.
  }
}
