// The rig's kubelet leaves nothing behind: a failure here explains what other suites find.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, globSync, readdirSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { mountsBelow } from "../rig/folder.ts";
import { processesNaming } from "../rig/processes.ts";
import { describeReal } from "../rig/suite.ts";
import { kubeletLine, kubeletTools } from "./support/kubelet-node.ts";
import { startNodeWithPod, type Traces } from "./support/node-with-pod.ts";

/** Entries of folders that a kubelet and the shims of the machine itself would use. */
const sharedFolders = (): string[] =>
  [
    "/run/containerd/s",
    "/run/containerd/runc",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
  ].map((folder) => (existsSync(folder) ? `${folder}: ${readdirSync(folder).join(" ")}` : `no ${folder}`));

const cgroupsOf = ({ containers }: Traces): string[] =>
  containers.flatMap((id) => globSync(`/sys/fs/cgroup/{,*/}k8s.io/${id}`));

const running = ({ processes }: Traces): number[] => processes.filter((pid) => existsSync(`/proc/${pid}`));

/** Nothing is left in `ps`, `mount`, the cgroups, or the folder. */
function expectNothingLeft(traces: Traces): void {
  expect(running(traces)).toEqual([]);
  expect(cgroupsOf(traces)).toEqual([]);
  expect([processesNaming(traces.folder), mountsBelow(traces.folder)]).toEqual([[], []]);
  expect(existsSync(traces.folder)).toBe(false);
}

/** Runs a module of this repository in a process of its own. */
const start = (script: string): ChildProcess =>
  spawn(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: import.meta.dirname,
    stdio: ["ignore", "pipe", "inherit"],
  });

/** Empty when it ended without a word: why is on stderr. */
async function firstLine({ stdout }: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: stdout! })) return line;
  return "";
}

describeReal(
  "the rig's kubelet",
  kubeletLine,
  () => {
    test("leaves no process, mount, cgroup or file once it is stopped", async () => {
      const before = sharedFolders();
      const { node, traces } = await startNodeWithPod();
      expect(running(traces)).toHaveLength(2);
      expect(cgroupsOf(traces)).not.toEqual([]);
      await node[Symbol.asyncDispose]();

      expectNothingLeft(traces);
      expect(sharedFolders()).toEqual(before);
    });

    test("is swept by the next test process when its own was killed outright, with its pods", async () => {
      const killed = start(`
        import { startNodeWithPod } from "./support/node-with-pod.ts";
        const { traces } = await startNodeWithPod();
        console.log(JSON.stringify(traces));
        setInterval(() => undefined, 1000);`);
      const traces = JSON.parse(await firstLine(killed)) as Traces;
      expect(running(traces)).toHaveLength(2);
      killed.kill("SIGKILL");
      await once(killed, "exit");

      const next = start(`import { temporaryFolder } from "../rig/folder.ts"; temporaryFolder();`);
      await once(next, "exit");
      expectNothingLeft(traces);
    });
  },
  kubeletTools,
);
