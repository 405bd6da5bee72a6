import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import process from "node:process";
import { onProcessEnd } from "./process-end.ts";

export interface Daemon {
  pid: number;
  /** Still running, as far as this process knows. */
  alive(): boolean;
  signal(signal: NodeJS.Signals): void;
  /** TERM, then KILL after a bound; resolves when it has ended. */
  stop(): Promise<void>;
  kill(): Promise<void>;
}

export interface DaemonOptions {
  logFile: string;
  env?: Record<string, string>;
  /** Folders of this machine that it sees empty, and in which nothing of it stays: on Linux, a mount namespace of its own. */
  privateFolders?: readonly string[];
}

const termBound = 5000;

/** Starts a server that cannot outlive this process. */
export function startDaemon(file: string, args: readonly string[], options: DaemonOptions): Daemon {
  const log = openSync(options.logFile, "a");
  // The kernel ends it even when this process is killed outright; setpriv executes it in place, so the pid is its own.
  const command = [...inPrivate(options.privateFolders ?? []), file, ...args];
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...command], {
    stdio: ["ignore", log, log],
    env: { PATH: process.env["PATH"] ?? "", ...options.env },
    // Out of the terminal's process group: Ctrl-C reaches it through this process, once cleanup has begun.
    detached: true,
  });
  closeSync(log);
  return control(child);
}

// Each step executes the next in place: the pid stays the same to the end.
function inPrivate(folders: readonly string[]): string[] {
  if (folders.length === 0) return [];
  const mounts = folders.map((folder) => `mount -t tmpfs tmpfs ${folder} && `).join("");
  return ["unshare", "--mount", "--", "sh", "-c", `${mounts}exec "$@"`, "sh"];
}

function control(child: ChildProcess): Daemon {
  const ended = once(child, "exit").catch(() => undefined);
  const alive = (): boolean =>
    child.pid !== undefined && child.exitCode === null && child.signalCode === null;
  const signal = (name: NodeJS.Signals): void => {
    if (alive()) child.kill(name);
  };
  const forget = onProcessEnd(() => signal("SIGKILL"));
  const finish = async (): Promise<void> => {
    if (alive()) await ended;
    forget();
  };
  const stop = async (): Promise<void> => {
    // A frozen process takes TERM only once it runs again.
    signal("SIGCONT");
    signal("SIGTERM");
    const bound = setTimeout(() => signal("SIGKILL"), termBound);
    await finish();
    clearTimeout(bound);
  };
  const kill = async (): Promise<void> => {
    signal("SIGKILL");
    await finish();
  };
  return { pid: child.pid ?? 0, alive, signal, stop, kill };
}
