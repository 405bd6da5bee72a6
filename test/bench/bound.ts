import { buffer } from "node:stream/consumers";
import http from "node:http";
import { type Containerd, startContainerd } from "../rig/containerd.ts";
import type { Descriptor } from "../rig/push.ts";
import type { Registry } from "../rig/registry.ts";
import type { ContainerdLine } from "../rig/tools.ts";
import type { BenchCase } from "./case.ts";
import type { Stage, StagedImage } from "./stage.ts";

export interface Bound {
  /** The larger of the other two: no scheduling can beat it. */
  seconds: number;
  /** Unique bytes through the connections that containerd opens. */
  network: number;
  /** The image that takes longest to unpack, by itself, with its requests that have to follow each other. */
  chain: number;
}

const connections = 3;
// HEAD of the tag, manifest, then configuration and layers: three answers that wait for each other.
const requestsInARow = 3;
const probes = 6;

export async function boundOf(
  line: ContainerdLine,
  bench: BenchCase,
  stage: Stage,
  registry: Registry,
): Promise<Bound> {
  const wanted = stage.images.filter((image) => !image.lost);
  const network =
    bench.perConnection === undefined && bench.shared === undefined
      ? await fetchAll(registry, wanted)
      : throttledSeconds(wanted, bench, limitsOf(line, bench));
  const unpacking = await slowestUnpack(line, stage, registry, wanted);
  const chain = unpacking + (requestsInARow * (bench.latencyMs ?? 0)) / 1000;
  return bench.rerun === true
    ? { seconds: 0, network: 0, chain: 0 }
    : { seconds: Math.max(network, chain), network, chain };
}

interface Limits {
  /** Connections for one image alone, and for all of them. */
  image: number;
  all: number;
}

// containerd's limit of 3 downloads is one for each image up to 2.0, and one for the node from 2.1.
function limitsOf(line: ContainerdLine, bench: BenchCase): Limits {
  const { images, nodeDownloads = connections, mostAtOnce = Infinity } = bench;
  const image = Math.min(line === "2" ? nodeDownloads : connections, mostAtOnce);
  return { image, all: line === "2" ? image : Math.min(image * images.length, mostAtOnce) };
}

function throttledSeconds(
  images: readonly Pick<StagedImage, "pushed">[],
  { perConnection: rate = Infinity, shared = Infinity }: Pick<BenchCase, "perConnection" | "shared">,
  limits: Limits,
): number {
  const layers = images.map(({ pushed }) => pushed.layers);
  const unique = uniqueLayers(layers);
  const whole = sizeOf(unique) / Math.min(limits.all * rate, shared);
  const largestLayer = Math.max(...unique.map((layer) => layer.size)) / rate;
  // Layers that others bring as well are left out: they may come over the others' connections.
  const seen = Map.groupBy(
    layers.flatMap((list) => uniqueLayers([list])),
    (layer) => layer.digest,
  );
  const alone = layers.map((list) => list.filter((layer) => seen.get(layer.digest)?.length === 1));
  return Math.max(whole, largestLayer, ...alone.map((list) => sizeOf(list) / (limits.image * rate)));
}

function uniqueLayers(layers: readonly Descriptor[][]): Descriptor[] {
  return [...new Map(layers.flat().map((layer) => [layer.digest, layer])).values()];
}

function sizeOf(layers: readonly Descriptor[]): number {
  return layers.reduce((sum, layer) => sum + layer.size, 0);
}

/** The bytes alone, as fast as this machine gets them out of the registry. */
async function fetchAll(registry: Registry, images: readonly StagedImage[]): Promise<number> {
  const queue = images.flatMap(({ pushed }) =>
    pushed.layers.map((layer) => `/v2/${pushed.repository}/blobs/${layer.digest}`),
  );
  const agent = new http.Agent({ keepAlive: true });
  const started = performance.now();
  const worker = async (): Promise<void> => {
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) await drain(registry, agent, next);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  agent.destroy();
  return (performance.now() - started) / 1000;
}

async function drain(registry: Registry, agent: http.Agent, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  http.get(`${registry.scheme}://${registry.host}${path}`, { agent }, resolve).once("error", reject);
  await buffer(await promise);
}

/** Pulls whose bytes are in the content store already: what is left is resolving and unpacking. */
async function slowestUnpack(
  line: ContainerdLine,
  stage: Stage,
  registry: Registry,
  images: readonly StagedImage[],
): Promise<number> {
  await using containerd = await startContainerd(line);
  stage.calm();
  const largest = [...images]
    .toSorted((a, b) => sizeOf(b.pushed.layers) - sizeOf(a.pushed.layers))
    .slice(0, probes);
  let slowest = 0;
  for (const image of largest) slowest = Math.max(slowest, await unpackSeconds(containerd, registry, image));
  return slowest;
}

async function unpackSeconds(
  containerd: Containerd,
  registry: Registry,
  { reference, pushed }: StagedImage,
): Promise<number> {
  const direct = `${registry.host}/${pushed.repository}:${pushed.tag}`;
  await containerd.ctr("content", "fetch", "--plain-http", direct);
  const started = performance.now();
  await containerd.crictl("pull", reference);
  return (performance.now() - started) / 1000;
}
