// A machine for the BOSH lifecycle: mounts and processes of its own, so that /var/vcap can be written and emptied and
// nothing outlives the test. Network, /tmp and the rest of the file system are those of the machine it runs on.
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import path from "node:path";
import process from "node:process";
import { startDaemon } from "../rig/daemon.ts";
import { poll } from "../rig/poll.ts";

export interface Result {
  readonly code: number;
  /** stdout and stderr, in the order in which they came. */
  readonly output: string;
}

export interface Machine extends AsyncDisposable {
  /** Runs a program inside, as root. */
  run(file: string, args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Result>;
  /** The path by which a file inside is reached from outside. */
  inside(file: string): string;
  /** Command lines of the processes inside, the machine's own first process left out. */
  processes(): Promise<string[]>;
}

// Process 1 takes over what the CLI and the agent leave behind, and a shell that waits is one that reaps.
const firstProcess = `set -e
mount -t tmpfs -o mode=755 tmpfs /var
mkdir -p /var/vcap /var/tmp /var/log /var/lib
ln -s /run /var/run
touch /var/ready
while :; do sleep 1000 & wait $! || :; done`;

/** @param folder for the log of its first process */
export async function startMachine(folder: string): Promise<Machine> {
  const args = [
    "--mount",
    "--pid",
    "--fork",
    "--kill-child=KILL",
    "--mount-proc",
    "bash",
    "-c",
    firstProcess,
  ];
  const daemon = startDaemon("unshare", args, { logFile: path.join(folder, "machine.log") });
  const first = await poll("the machine's first process runs", () => onlyChild(daemon.pid));
  const inside = (file: string): string => `/proc/${first}/root${file}`;
  await poll("the machine has its own /var", async () => (await readFile(inside("/var/ready"))) && true);
  const enter = ["--target", String(first), "--mount", "--pid", "--"];
  const run: Machine["run"] = (file, words, env = {}) => collect("nsenter", [...enter, file, ...words], env);
  const processes = async (): Promise<string[]> => {
    const { output } = await run("ps", ["-e", "-o", "pid=", "-o", "args="]);
    return output.split("\n").filter((line) => line !== "" && !/^ *1 | sleep 1000$| ps -e /u.test(line));
  };
  return { run, inside, processes, [Symbol.asyncDispose]: () => daemon.kill() };
}

async function onlyChild(pid: number): Promise<number | undefined> {
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).trim();
  return children === "" ? undefined : Number(children.split(" ")[0]);
}

function collect(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Result> {
  return new Promise((resolve) => {
    const child = execFile(
      file,
      args,
      { env: { PATH: process.env["PATH"] ?? "", ...env }, maxBuffer: 64 * 2 ** 20 },
      () => resolve({ code: child.exitCode ?? 255, output: chunks.join("") }),
    );
    const chunks: string[] = [];
    for (const stream of [child.stdout, child.stderr])
      stream?.on("data", (chunk: string) => chunks.push(chunk));
  });
}
