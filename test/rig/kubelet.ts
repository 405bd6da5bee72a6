// A real kubelet without an API server, on a containerd of the rig: its pods are files in a folder.
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import path from "node:path";
import type { Containerd } from "./containerd.ts";
import { removePodsCgroup } from "./containers.ts";
import { type Daemon, startDaemon } from "./daemon.ts";
import { poll } from "./poll.ts";
import { toolPaths } from "./tools.ts";

export type PullPolicy = "Always" | "IfNotPresent" | "Never";

export interface PodSpec {
  /** As in the pod; without it the kubelet decides by the tag. */
  pullPolicy?: PullPolicy;
  /** For sh; by default it sleeps. */
  script?: string;
}

/** What the kubelet says of a pod's only container. */
export interface Pod {
  readonly name: string;
  readonly running: boolean;
  /** Why it does not run, `ErrImageNeverPull` for example. */
  readonly reason: string;
  readonly message: string;
  /** A name of the image by digest, once it runs. */
  readonly imageId: string;
}

/** Fields of a KubeletConfiguration. */
export type KubeletConfig = Record<string, unknown>;

/**
 * Settings by which the kubelet deletes all images that it may. An image counts from when the kubelet has first seen it, so
 * the first collection takes only what was there when the kubelet started.
 */
export const diskPressure: KubeletConfig = {
  imageMinimumGCAge: "1ms",
  evictionHard: { "memory.available": "1Mi", "nodefs.available": "1%", "imagefs.available": "99%" },
};

export interface Kubelet extends AsyncDisposable {
  /** Its --root-dir. */
  readonly root: string;
  startPod(name: string, image: string, spec?: PodSpec): void;
  /** Waits until the pod runs; an error says why it does not. */
  runs(name: string): Promise<Pod>;
  /** Waits until the pod waits for that reason, and gives the kubelet's message. */
  refused(name: string, reason: string): Promise<string>;
  /** Waits until the pod's container has printed something. */
  output(name: string): Promise<string>;
  /** Waits for the end of a garbage collection that takes something; under `diskPressure` there is one each ten seconds. */
  collects(): Promise<void>;
  removePod(name: string): Promise<void>;
  log(): string;
  /** With its records and pods, and other settings beside those of the start. */
  restart(config?: KubeletConfig): Promise<void>;
  /** Removes the pods as well. */
  stop(): Promise<void>;
}

interface Setup {
  containerd: Containerd;
  root: string;
  podsFolder: string;
  logsFolder: string;
  folder: string;
  logFile: string;
}

interface Started {
  daemon: Daemon;
  pods(): Promise<Pod[]>;
}

const namespace = "default";
// The kubelet puts its host name behind the names of pods that come from files.
const host = "rig";

/** Resolves when it answers for its pods. The containerd needs a `sandboxImage`. */
export async function startKubelet(containerd: Containerd, config: KubeletConfig = {}): Promise<Kubelet> {
  const folder = path.join(containerd.folder, "kubelet");
  const setup: Setup = {
    containerd,
    folder,
    root: path.join(folder, "root"),
    podsFolder: path.join(folder, "manifests"),
    logsFolder: path.join(folder, "logs"),
    logFile: path.join(folder, "kubelet.log"),
  };
  for (const each of [setup.root, setup.podsFolder, setup.logsFolder]) mkdirSync(each, { recursive: true });
  return assemble(setup, config, await launch(setup, config));
}

async function launch(setup: Setup, config: KubeletConfig): Promise<Started> {
  const [port, readOnlyPort] = await freePorts();
  const file = path.join(setup.folder, "config.json");
  writeFileSync(file, JSON.stringify(configuration(setup, { port, readOnlyPort, ...config })));
  const args = ["--config", file, "--root-dir", setup.root, "--cert-dir", path.join(setup.folder, "certs")];
  const daemon = startDaemon(
    toolPaths(setup.containerd.line).kubelet,
    [...args, "--hostname-override", host, "--v=3"],
    // Paths under these are constants of its source: sockets of device plugins, links to the logs of containers.
    { logFile: setup.logFile, privateFolders: ["/var/lib", "/var/log"] },
  );
  const pods = async (): Promise<Pod[]> => {
    if (!daemon.alive()) throw new Error(`the kubelet ended:\n${lastLines(setup)}`);
    const answer = await fetch(`http://127.0.0.1:${readOnlyPort}/pods`);
    return (((await answer.json()) as PodList).items ?? []).map(podOf);
  };
  try {
    await poll("the kubelet answers", () => (daemon.alive() ? pods() : []), { bound: 30_000, every: 50 });
    await pods();
    return { daemon, pods };
  } catch (error) {
    await daemon.kill();
    throw new Error(`the kubelet did not start:\n${lastLines(setup)}`, { cause: error });
  }
}

const configuration = (
  { containerd, folder, podsFolder, logsFolder }: Setup,
  own: KubeletConfig,
): object => ({
  apiVersion: "kubelet.config.k8s.io/v1beta1",
  kind: "KubeletConfiguration",
  containerRuntimeEndpoint: `unix://${containerd.socket}`,
  staticPodPath: podsFolder,
  podLogsDir: logsFolder,
  volumePluginDir: path.join(folder, "plugins"),
  address: "127.0.0.1",
  healthzPort: 0,
  authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
  authorization: { mode: "AlwaysAllow" },
  // What a machine without systemd, cgroup v2 and iptables allows.
  failSwapOn: false,
  failCgroupV1: false,
  cgroupDriver: "cgroupfs",
  cgroupsPerQOS: false,
  enforceNodeAllocatable: [],
  makeIPTablesUtilChains: false,
  resolvConf: "",
  registerNode: false,
  // Without it the kubelet looks at no disk, and collects nothing.
  localStorageCapacityIsolation: true,
  // This machine's own memory and disk are no matter of the test.
  evictionHard: { "memory.available": "1Mi", "nodefs.available": "1%", "imagefs.available": "1%" },
  fileCheckFrequency: "200ms",
  syncFrequency: "1s",
  ...own,
});

function assemble(setup: Setup, config: KubeletConfig, first: Started): Kubelet {
  let current = first;
  const find = async (name: string): Promise<Pod | undefined> =>
    (await current.pods()).find((pod) => pod.name === name);
  const manifest = (name: string): string => path.join(setup.podsFolder, `${name}.json`);
  const log = (): string => readFileSync(setup.logFile, "utf8");
  const stop = async (): Promise<void> => {
    await current.daemon.stop();
    await removeSandboxes(setup.containerd);
    removePodsCgroup();
  };
  return {
    root: setup.root,
    startPod: (name, image, spec) =>
      writeFileSync(manifest(name), JSON.stringify(podFile(name, image, spec))),
    runs: (name) => waitFor(name, find, ({ running }) => running),
    refused: async (name, reason) => (await waitFor(name, find, (pod) => pod.reason === reason)).message,
    output: (name) => outputOf(setup.containerd, name),
    removePod: async (name) => {
      rmSync(manifest(name));
      await poll(`pod ${name} is gone`, async () => (await find(name)) === undefined || undefined);
      // The kubelet itself does it once a minute, and until then the pod's image counts as used.
      await removeSandboxes(setup.containerd, "--label", `io.kubernetes.pod.name=${name}-${host}`);
    },
    collects: () => collection(log),
    log,
    restart: async (further = {}) => {
      await current.daemon.stop();
      current = await launch(setup, { ...config, ...further });
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function waitFor(
  name: string,
  find: (name: string) => Promise<Pod | undefined>,
  matches: (pod: Pod) => boolean,
): Promise<Pod> {
  let last: Pod | undefined;
  const probe = async (): Promise<Pod | undefined> => {
    last = await find(name);
    return last !== undefined && (matches(last) || isRefused(last)) ? last : undefined;
  };
  const unexpected = (cause?: unknown): Error =>
    new Error(`pod ${name} is not as expected, but ${JSON.stringify(last)}`, { cause });
  const pod = await poll(`pod ${name}`, probe, { bound: 40_000, every: 100 }).catch((error: unknown) => {
    throw unexpected(error);
  });
  if (!matches(pod)) throw unexpected();
  return pod;
}

// The kubelet goes on trying, but nothing in a test changes while it waits.
const isRefused = ({ reason }: Pod): boolean => /^(?:Err|Create.*Error|RunContainerError)/u.test(reason);

const podFile = (name: string, image: string, { pullPolicy, script }: PodSpec = {}): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace },
  spec: {
    // No network of their own, so that no CNI plugin is needed.
    hostNetwork: true,
    enableServiceLinks: false,
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 0,
    containers: [
      {
        name: "main",
        image,
        command: ["/bin/sh", "-c", `${script ?? "true"}; exec sleep 3600`],
        ...(pullPolicy && { imagePullPolicy: pullPolicy }),
      },
    ],
  },
});

interface PodList {
  items?: RawPod[];
}

interface RawPod {
  metadata: { name: string };
  status?: {
    containerStatuses?: {
      imageID?: string;
      state?: { running?: object; waiting?: { reason?: string; message?: string } };
    }[];
  };
}

function podOf({ metadata, status }: RawPod): Pod {
  const container = status?.containerStatuses?.[0];
  const waiting = container?.state?.waiting;
  return {
    name: metadata.name.slice(0, -`-${host}`.length),
    running: container?.state?.running !== undefined,
    // It becomes a back-off a moment later, and at each try for a moment the error again.
    reason: waiting?.reason === "ImagePullBackOff" ? "ErrImagePull" : (waiting?.reason ?? ""),
    message: waiting?.message ?? "",
    imageId: container?.imageID ?? "",
  };
}

async function outputOf({ crictl }: Containerd, name: string): Promise<string> {
  const container = await crictl("ps", "--quiet", "--label", `io.kubernetes.pod.name=${name}-${host}`);
  return poll(`pod ${name} prints`, async () => (await crictl("logs", container.trim())) || undefined);
}

// The first one after a start may come before the kubelet has seen any image.
async function collection(log: () => string): Promise<void> {
  const from = log().length;
  const some =
    /attempting to reclaim(?:(?!attempting to reclaim)[^])*?Removing image[^]*?(?:able to reduce|must evict)/u;
  await poll("the kubelet collects", () => some.test(log().slice(from)) || undefined, { bound: 60_000 });
}

// Through CRI: what runs in a pod outlives its kubelet and its containerd by design.
async function removeSandboxes({ crictl }: Containerd, ...filter: string[]): Promise<void> {
  const sandboxes = (await crictl("pods", "--quiet", ...filter)).split("\n").filter(Boolean);
  if (sandboxes.length > 0) await crictl("rmp", "--force", ...sandboxes);
}

const lastLines = ({ logFile }: Setup): string =>
  readFileSync(logFile, "utf8").split("\n").slice(-25).join("\n");

// It takes no port 0. Both are held until both are known, so that they differ.
async function freePorts(): Promise<[number, number]> {
  const servers = [createServer(), createServer()] as const;
  const port = async (server: (typeof servers)[number]): Promise<number> => {
    await once(server.listen(0, "127.0.0.1"), "listening");
    return (server.address() as AddressInfo).port;
  };
  const ports: [number, number] = [await port(servers[0]), await port(servers[1])];
  for (const server of servers) server.close();
  return ports;
}
