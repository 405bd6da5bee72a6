import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { type Containerd, startContainerd } from "../rig/containerd.ts";
import { type Endpoint, type Registry, startRegistry } from "../rig/registry.ts";
import { pushImage } from "../rig/push.ts";
import { tokenBucket } from "../rig/token-bucket.ts";
import { agentRun, runtimeOf } from "./contenders.ts";
import type { Fleet, Roll } from "./fleet-model.ts";
import { type Link, startLink } from "./link.ts";
import { measure } from "./measure.ts";
import { trafficOf } from "./stage.ts";
import { spread } from "./statistics.ts";

/** A real registry behind a slow way out. */
export interface Origin extends AsyncDisposable {
  readonly registry: Registry;
  readonly host: string;
  readonly images: readonly { readonly reference: string }[];
  /** Of all images together. */
  readonly bytes: number;
}

/** @param bytesPerSecond that all who pull from the registry share */
export async function startOrigin(bytesPerSecond: number): Promise<Origin> {
  await using cleanup = new AsyncDisposableStack();
  const registry = cleanup.use(await startRegistry());
  const { host } = cleanup.use(await startShared(registry, bytesPerSecond));
  const pushed = await Promise.all(
    [0, 1, 2].map((image) =>
      pushImage(registry, `fleet/image-${image}:v1`, {
        layers: [0, 1, 2].map((layer) => ({ bytes: 2_500_000, seed: `fleet.${image}.${layer}` })),
      }),
    ),
  );
  const owned = cleanup.move();
  return {
    registry,
    host,
    images: pushed.map(({ repository, tag }) => ({ reference: `${host}/${repository}:${tag}` })),
    bytes: pushed.flatMap(({ layers }) => layers).reduce((sum, { size }) => sum + size, 0),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** One rate for all connections, as a machine's network card has it. */
function startShared({ host }: Endpoint, bytesPerSecond: number): Promise<Link> {
  const rate = tokenBucket(bytesPerSecond);
  return startLink(host, () => [rate]);
}

export type Way = Pick<
  Fleet,
  "nodes" | "canaries" | "maxInFlight" | "jitterSeconds" | "caches" | "cacheRate"
>;

/** Rolls real containerds, each filled by our executable; the next begins when one has finished, as with BOSH. */
export async function measureRoll(executable: string, origin: Origin, way: Way): Promise<Roll> {
  await using cleanup = new AsyncDisposableStack();
  const caches = await startCaches(cleanup, origin, way);
  const workers: Containerd[] = [];
  for (let index = 0; index < way.nodes; index++) {
    const worker = cleanup.use(await startContainerd("1.7"));
    const cache = caches[index % caches.length];
    const mirror = cache === undefined ? {} : { mirror: `http://${cache}` };
    await worker.useHost(origin.host, { server: `http://${origin.host}`, ...mirror });
    workers.push(worker);
  }
  await origin.registry.clearRequests();

  const began = performance.now();
  const seconds: number[] = [];
  const update = async (some: Iterable<Containerd>): Promise<void> => {
    for (const worker of some) seconds.push(await fill(executable, origin, worker, way.jitterSeconds));
  };
  await Promise.all(workers.slice(0, way.canaries).map((canary) => update([canary])));
  // Each slot takes the next worker from what is left.
  const waiting = workers.slice(way.canaries).values();
  await Promise.all(Array.from({ length: way.maxInFlight }, () => update(waiting)));
  const rollSeconds = (performance.now() - began) / 1000;
  const { bytes } = trafficOf(await origin.registry.requests());
  return { rollSeconds, pullSeconds: spread(seconds), registryBytes: bytes };
}

/** @returns their hosts */
async function startCaches(
  cleanup: AsyncDisposableStack,
  origin: Origin,
  { caches = 0, cacheRate = Infinity }: Way,
): Promise<string[]> {
  const hosts: string[] = [];
  for (let cache = 0; cache < caches; cache++) {
    const registry = cleanup.use(await startRegistry({ cacheOf: `http://${origin.host}` }));
    hosts.push(cleanup.use(await startShared(registry, cacheRate)).host);
  }
  return hosts;
}

/** @returns seconds from the first attempt to the end of the run, which leaves out jitter and start */
async function fill(
  executable: string,
  { images }: Origin,
  worker: Containerd,
  jitterSeconds: number,
): Promise<number> {
  const own = path.join(worker.folder, "fleet");
  await mkdir(own);
  const settings = { start_jitter: `${jitterSeconds}s` };
  const command = await agentRun(executable, runtimeOf(worker), images, own, settings);
  const { exitCode, stderrEnd } = await measure(command, own);
  if (exitCode !== 0) throw new Error(`a worker's run ended with ${exitCode}: ${stderrEnd}`);
  const status: { images: { startedAt: string }[]; endedAt: string } = JSON.parse(
    await readFile(path.join(own, "status.json"), "utf8"),
  );
  const first = Math.min(...status.images.map(({ startedAt }) => Date.parse(startedAt)));
  return (Date.parse(status.endedAt) - first) / 1000;
}
