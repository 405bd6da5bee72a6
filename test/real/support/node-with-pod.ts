// A node with a pod that runs, and what that leaves outside the node's own folder until it is stopped.
import { type KubeletNode, startKubeletNode } from "./kubelet-node.ts";

export interface Traces {
  readonly folder: string;
  /** Of the pod's sandbox and its container. */
  readonly processes: readonly number[];
  readonly containers: readonly string[];
}

export async function startNodeWithPod(): Promise<{ node: KubeletNode; traces: Traces }> {
  const node = await startKubeletNode();
  const app = await node.push("rig/app:1");
  await node.import([{ name: app.reference }]);
  const kubelet = await node.startKubelet();
  kubelet.startPod("app", app.reference);
  await kubelet.runs("app");
  const { crictl, folder } = node.containerd;
  const ids = async (command: string): Promise<string[]> =>
    (await crictl(command, "--quiet", "--no-trunc")).split("\n").filter(Boolean);
  const [sandboxes, containers] = [await ids("pods"), await ids("ps")];
  const pidOf = async (command: string, id: string): Promise<number> =>
    (JSON.parse(await crictl(command, id)) as { info: { pid: number } }).info.pid;
  const processes = [
    ...(await Promise.all(sandboxes.map((id) => pidOf("inspectp", id)))),
    ...(await Promise.all(containers.map((id) => pidOf("inspect", id)))),
  ];
  const traces: Traces = { folder, processes, containers: [...sandboxes, ...containers] };
  return { node, traces };
}
