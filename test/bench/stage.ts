import type { Rule } from "../rig/fault-rules.ts";
import { type FaultProxy, startFaultProxy } from "../rig/fault-proxy.ts";
import { type PushedImage, pushImage } from "../rig/push.ts";
import type { Registry } from "../rig/registry.ts";
import type { BenchCase } from "./case.ts";
import { bucketsFor } from "../rig/token-bucket.ts";
import { startLink } from "./link.ts";

export interface StagedImage {
  reference: string;
  retagAs?: string;
  /** Cannot be pulled in this case. */
  lost: boolean;
  pushed: PushedImage;
}

export interface Traffic {
  requests: number;
  bytes: number;
}

/** The images of a case in the registry, behind what the case puts in between. */
export interface Stage extends AsyncDisposable {
  images: StagedImage[];
  /** Faults as at the beginning, nothing counted. */
  reset(): Promise<void>;
  /** No faults at all. */
  calm(): void;
  /** Since the last reset. */
  traffic(): Promise<Traffic>;
}

export async function setStage(registry: Registry, bench: BenchCase): Promise<Stage> {
  await using cleanup = new AsyncDisposableStack();
  const way = await openWay(registry, bench, cleanup);
  const images: StagedImage[] = [];
  for (const { name, spec, registry: number = 0 } of bench.images) {
    // Straight to the registry: what is in between is meant for the pulls.
    const pushed = await pushImage(registry, `${bench.name}/${name}`, spec);
    images.push({
      reference: `${way.hosts[number]}/${pushed.repository}:${pushed.tag}`,
      ...(bench.retag !== false && { retagAs: `bench.invalid/${pushed.repository}:${pushed.tag}` }),
      lost: number === bench.dead,
      pushed,
    });
  }
  const owned = cleanup.move();
  return { images, ...way, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

interface Way extends Pick<Stage, "reset" | "calm" | "traffic"> {
  hosts: string[];
}

async function openWay(registry: Registry, bench: BenchCase, cleanup: AsyncDisposableStack): Promise<Way> {
  const { perConnection, shared, latencyMs, mostAtOnce, faults, registries } = bench;
  if ([latencyMs, mostAtOnce, faults, registries].some((wanted) => wanted !== undefined)) {
    return wayOverProxies(registry, bench, cleanup);
  }
  const ofAll = bucketsFor(shared);
  const link =
    perConnection === undefined && shared === undefined
      ? registry
      : cleanup.use(await startLink(registry.host, () => [...bucketsFor(perConnection), ...ofAll]));
  return {
    hosts: [link.host],
    calm: () => undefined,
    reset: () => registry.clearRequests(),
    traffic: async () => trafficOf(await registry.requests()),
  };
}

async function wayOverProxies(
  registry: Registry,
  bench: BenchCase,
  cleanup: AsyncDisposableStack,
): Promise<Way> {
  const start = async (): Promise<FaultProxy> => cleanup.use(await startFaultProxy(registry));
  const proxies = await Promise.all(Array.from({ length: bench.registries ?? 1 }, start));
  if (bench.dead !== undefined) await proxies[bench.dead]?.down("refused");
  return {
    hosts: proxies.map((proxy) => proxy.host),
    calm: () => {
      for (const proxy of proxies) proxy.clear();
    },
    reset: async () => {
      for (const proxy of proxies) {
        proxy.set(...rulesOf(bench));
        proxy.clearRequests();
      }
    },
    traffic: async () => trafficOf(proxies.flatMap((proxy) => proxy.requests())),
  };
}

function rulesOf({ perConnection, shared, latencyMs, mostAtOnce, faults }: BenchCase): Rule[] {
  return [
    ...(perConnection === undefined ? [] : [{ bytesPerSecond: perConnection }]),
    ...(shared === undefined ? [] : [{ sharedBytesPerSecond: shared }]),
    ...(latencyMs === undefined ? [] : [{ latencyMs }]),
    ...(mostAtOnce === undefined ? [] : [{ mostAtOnce }]),
    ...(faults?.() ?? []),
  ];
}

export function trafficOf(requests: readonly { bytes: number }[]): Traffic {
  return { requests: requests.length, bytes: requests.reduce((total, { bytes }) => total + bytes, 0) };
}
