// A node on which pods start: containerd 2 with a kubelet, filled by our executable from one registry.
import { type Containerd, startContainerd } from "../../rig/containerd.ts";
import { type FaultProxy, startFaultProxy } from "../../rig/fault-proxy.ts";
import { type Kubelet, type KubeletConfig, startKubelet } from "../../rig/kubelet.ts";
import { type PushedImage, pushImage } from "../../rig/push.ts";
import { type Registry, startRegistry } from "../../rig/registry.ts";
import type { Tool } from "../../rig/tools.ts";
import { type Agent, agentFor, type Ended, type Properties } from "./agent.ts";

export const kubeletLine = "2";
export const kubeletTools: readonly Tool[] = ["containerd", "ctr", "crictl", "registry", "kubelet", "shim"];

/** The name under which containerd looks for the image of sandboxes; only the import brings it. */
const sandboxImage = "registry.k8s.io/pause:3.10";

export interface WantedEntry {
  readonly name: string;
  readonly [property: string]: unknown;
}

export interface KubeletNode extends AsyncDisposable {
  readonly containerd: Containerd;
  /** In front of the registry: taking it down switches the registry off. */
  readonly proxy: FaultProxy;
  readonly registry: Registry;
  readonly agent: Agent;
  /** An image that runs, with a layer of its own, the last; `reference` is through the proxy. */
  push(name: string, seed?: string): Promise<PushedImage>;
  /** A list of these, and the image of the sandboxes. */
  list(images: readonly WantedEntry[]): Properties;
  /** Runs the agent for that list; an error when it does not end well. */
  import(images: readonly WantedEntry[]): Promise<Ended>;
  /** Once the sandboxes' image is there. */
  startKubelet(config?: KubeletConfig): Promise<Kubelet>;
}

export async function startKubeletNode(): Promise<KubeletNode> {
  await using cleanup = new AsyncDisposableStack();
  const registry = cleanup.use(await startRegistry());
  const proxy = cleanup.use(await startFaultProxy(registry));
  const containerd = cleanup.use(await startContainerd(kubeletLine, { sandboxImage }));
  // Asked for names that are not on the node: on no account the real ones.
  for (const host of ["registry.k8s.io", "docker.io"]) {
    await containerd.useHost(host, { server: `http://${proxy.host}` });
  }
  const agent = agentFor(containerd);
  const through = (image: PushedImage): PushedImage => ({
    ...image,
    reference: `${proxy.host}/${image.repository}:${image.tag}`,
  });
  const pause = through(
    await pushImage(registry, "platform/pause:3.10", {
      layers: [{ busybox: true }],
      command: ["/bin/sleep", "1000000"],
    }),
  );
  const list = (images: readonly WantedEntry[]): Properties => ({
    images: [{ name: pause.reference, retagAs: sandboxImage }, ...images],
  });
  const owned = cleanup.move();
  return {
    containerd,
    proxy,
    registry,
    agent,
    push: async (name, seed = name) =>
      through(await pushImage(registry, name, { layers: [{ busybox: true }, { bytes: 40_000, seed }] })),
    list,
    import: async (images) => {
      const ended = await agent.run(list(images));
      if (ended.exitCode !== 0) throw new Error(`the import ended with ${ended.exitCode}: ${ended.stderr}`);
      return ended;
    },
    startKubelet: async (config) => owned.use(await startKubelet(containerd, config)),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
