// A real kubelet without an API server, on a containerd of the rig: its pods are files in a folder.
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
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

// No disk has so much free, whatever is on it: at each look, every ten seconds, the kubelet deletes all images that it may.
// An age of zero would mean the default, two minutes.
const diskPressure: KubeletConfig = {
  imageMinimumGCAge: "1ms",
  evictionHard: { "imagefs.available": "1Ei" },
};

export interface Kubelet extends AsyncDisposable {
  /** Its --root-dir. */
  readonly root: string;
  startPod(name: string, image: string, spec?: PodSpec): void;
  /** Waits until the pod runs; an error says why it does not. */
  runs(name: string): Promise<Pod>;
  /** Waits so many seconds until the pod runs, and takes no refusal for an answer. */
  runsWithin(name: string, seconds: number): Promise<Pod>;
  /** Waits until the pod waits for that reason, and gives the kubelet's message. */
  refused(name: string, reason: string): Promise<string>;
  /** Waits until the pod's container has printed something. */
  output(name: string): Promise<string>;
  /** Lets it delete all images that it may, by a restart under disk pressure, and starts it again without. */
  collectImages(): Promise<void>;
  removePod(name: string): Promise<void>;
  /** With its records and pods, and other settings beside those of the start. */
  restart(config?: KubeletConfig, whileStopped?: () => void | Promise<void>): Promise<void>;
  /** The pods as Kubernetes' API shows them, a PodList in JSON. */
  podList(): Promise<string>;
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
  podList(): Promise<string>;
  pods(): Promise<Pod[]>;
}

const namespace = "default";
// What it sees of the disk, and of each image why it leaves it; more of the rest would only hide that.
const verbose = "eviction_manager=3,helpers=3,image_gc_manager=5";
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
  const readOnlyPort = await freePort();
  const file = path.join(setup.folder, "config.json");
  writeFileSync(file, JSON.stringify(configuration(setup, { readOnlyPort, ...config })));
  const args = ["--config", file, "--root-dir", setup.root, "--cert-dir", path.join(setup.folder, "certs")];
  const daemon = startDaemon(
    toolPaths(setup.containerd.line).kubelet,
    [...args, "--hostname-override", host, "--v=1", `--vmodule=${verbose}`],
    // Paths under these are constants of its source: sockets of device plugins, links to the logs of containers.
    { logFile: setup.logFile, privateFolders: ["/var/lib", "/var/log"] },
  );
  const podList = async (): Promise<string> => {
    if (!daemon.alive()) throw new Error(`the kubelet ended:\n${lastLines(setup)}`);
    return await (await fetch(`http://127.0.0.1:${readOnlyPort}/pods`)).text();
  };
  const pods = async (): Promise<Pod[]> => ((JSON.parse(await podList()) as PodList).items ?? []).map(podOf);
  try {
    await poll("the kubelet answers", () => (daemon.alive() ? pods() : []), { bound: 30_000, every: 50 });
    await pods();
    return { daemon, podList, pods };
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
  // Only the read-only port answers.
  enableServer: false,
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
  // This machine's own memory and disk are no matter of the test: 0% is never, and so is a threshold of 100% in use.
  evictionHard: { "memory.available": "0%" },
  imageGCHighThresholdPercent: 100,
  fileCheckFrequency: "200ms",
  syncFrequency: "1s",
  ...own,
});

function assemble(setup: Setup, config: KubeletConfig, first: Started): Kubelet {
  let current = first;
  const find = async (name: string): Promise<Pod | undefined> =>
    (await current.pods()).find((pod) => pod.name === name);
  const manifest = (name: string): string => path.join(setup.podsFolder, `${name}.json`);
  const explained = <T>(waiting: Promise<T>): Promise<T> =>
    waiting.catch((error: unknown) => {
      const { message } = error as Error;
      throw new Error(`${message}; the kubelet said last:\n${lastLines(setup)}`, { cause: error });
    });
  const log = (): string => readFileSync(setup.logFile, "utf8");
  const restart: Kubelet["restart"] = async (further = {}, whileStopped = () => undefined) => {
    await current.daemon.stop();
    await whileStopped();
    current = await launch(setup, { ...config, ...further });
  };
  const stop = async (): Promise<void> => {
    await current.daemon.stop();
    await removeSandboxes(setup.containerd);
    removePodsCgroup();
  };
  return {
    root: setup.root,
    startPod: (name, image, spec) =>
      writeFileSync(manifest(name), JSON.stringify(podFile(name, image, spec))),
    runs: (name) => explained(waitFor(name, find, ({ running }) => running)),
    runsWithin: (name, seconds) =>
      explained(
        poll(`pod ${name} runs`, () => find(name).then((pod) => (pod?.running === true ? pod : undefined)), {
          bound: seconds * 1_000,
          every: 100,
        }),
      ),
    refused: async (name, reason) =>
      (await explained(waitFor(name, find, (pod) => pod.reason === reason))).message,
    podList: () => current.podList(),
    output: (name) => outputOf(setup.containerd, name),
    removePod: async (name) => {
      rmSync(manifest(name));
      await explained(poll(`pod ${name} is gone`, async () => (await find(name)) === undefined || undefined));
      // The kubelet itself does it once a minute, and until then the pod's image counts as used.
      await removeSandboxes(setup.containerd, "--label", `io.kubernetes.pod.name=${name}-${host}`);
    },
    collectImages: async () => {
      const before = log().length;
      await restart(diskPressure);
      await explained(wholeCollection(() => log().slice(before)));
      await restart();
    },
    restart,
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

const outputOf = ({ crictl }: Containerd, name: string): Promise<string> =>
  poll(`pod ${name} prints`, async () => {
    const container = await crictl("ps", "--quiet", "--label", `io.kubernetes.pod.name=${name}-${host}`);
    return (await crictl("logs", container.trim())) || undefined;
  });

// What a collection is the first to see, it leaves as too young; another part of the kubelet lists the images as it starts,
// at the same moment as the first collection. The next one, ten seconds later, takes them.
async function wholeCollection(log: () => string): Promise<void> {
  const whole =
    /delete unused images(?:(?!unexpected error|policy's minAge)[^])*?(?:able to reduce|must evict)/u;
  await poll("the kubelet has collected images", () => whole.test(log()) || undefined, {
    bound: 60_000,
    every: 100,
  });
}

// Through CRI: what runs in a pod outlives its kubelet and its containerd by design.
async function removeSandboxes({ crictl }: Containerd, ...filter: string[]): Promise<void> {
  const gone = async (): Promise<true | undefined> => {
    const sandboxes = (await crictl("pods", "--quiet", ...filter)).split("\n").filter(Boolean);
    if (sandboxes.length === 0) return true;
    // It fails for one that the kubelet has removed meanwhile.
    await crictl("rmp", "--force", ...sandboxes);
    return undefined;
  };
  await poll("the sandboxes are gone", gone, { bound: 60_000 });
}

const lastLines = ({ logFile }: Setup): string =>
  readFileSync(logFile, "utf8").split("\n").slice(-50).join("\n");

// It takes no port 0. Below those that Linux gives to connections: one of another test could be faster than the kubelet.
async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_768);
    const server = createServer().listen(port, "127.0.0.1");
    const free = await once(server, "listening").then(
      () => true,
      () => false,
    );
    server.close();
    if (free) return port;
  }
}
