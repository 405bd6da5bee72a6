// npm run bench:fleet -- [--images-gb 5] [--registry-gbit 1] [--node-gbit 10] [--unpack-mbs 150] [--other-s 240]
// Arithmetic, not measurement: how long images take on N workers that BOSH updates `max_in_flight` at a time.
//
// A node pulls its bytes at a rate that is shared fairly among those that pull from one source, and never above its own
// network and unpacking. Sources: the registry alone; pull-through caches that each fetch the bytes once from it; peers,
// where every node that has finished serves the others. BOSH starts the next worker when one has finished, so a roll is
// a window that slides. What else an update of a worker takes (stop, new VM, start) is a constant.
//
// Left out: a cache is as fast as a node and filled already, peers share finished images only (so a first wave comes
// wholly from the registry), and nobody else uses the network.
import process from "node:process";
import { parseArgs } from "node:util";
import { markdownRow } from "./table.ts";

interface Fleet {
  nodes: number;
  maxInFlight: number;
  /** Bytes of a node, and bytes per second. */
  bytes: number;
  registryRate: number;
  nodeRate: number;
  otherSeconds: number;
  jitterSeconds: number;
  mirrors?: number;
  mirrorRate?: number;
  peers?: boolean;
}

interface Roll {
  hours: number;
  /** Of a node's pull, jitter left out. */
  medianPullSeconds: number;
  longestPullSeconds: number;
  registryBytes: number;
}

interface Node {
  beginsPullAt: number;
  left: number;
  source: number;
  endedAt: number;
}

function simulate(fleet: Fleet): Roll {
  const nodes = Array.from({ length: fleet.nodes }, (_, index): Node => {
    return {
      beginsPullAt: Infinity,
      left: fleet.bytes,
      source: index % (fleet.mirrors ?? 1),
      endedAt: Infinity,
    };
  });
  const waiting = [...nodes];
  let now = 0;
  let registryBytes = 0;
  const admit = (): void => {
    const next = waiting.shift();
    if (next !== undefined) next.beginsPullAt = now + fleet.otherSeconds + jitterOf(fleet, waiting.length);
  };
  for (let slot = 0; slot < fleet.maxInFlight; slot++) admit();
  for (let finished = 0; finished < fleet.nodes;) {
    const pulling = nodes.filter((node) => node.beginsPullAt <= now && node.endedAt === Infinity);
    const rates = ratesOf(fleet, pulling, finished);
    const step = nextEvent(nodes, pulling, rates, now);
    for (const [index, node] of pulling.entries()) node.left -= (rates[index] ?? 0) * step;
    registryBytes += step * registryShare(fleet, pulling, rates, finished);
    now += step;
    for (const node of pulling.filter(({ left }) => left <= 1)) {
      node.endedAt = now;
      finished++;
      admit();
    }
  }
  const pulls = nodes.map((node) => node.endedAt - node.beginsPullAt).toSorted((a, b) => a - b);
  return {
    hours: now / 3600,
    medianPullSeconds: pulls[pulls.length >> 1] ?? 0,
    longestPullSeconds: pulls.at(-1) ?? 0,
    registryBytes: fleet.mirrors === undefined ? registryBytes : fleet.mirrors * fleet.bytes,
  };
}

// The golden ratio spreads any number of nodes evenly over the span, and the same in every run.
function jitterOf({ jitterSeconds }: Fleet, index: number): number {
  return ((index * 0.618_033_988_75) % 1) * jitterSeconds;
}

function ratesOf(fleet: Fleet, pulling: readonly Node[], finished: number): number[] {
  const { nodeRate, registryRate, mirrorRate = registryRate } = fleet;
  if (fleet.peers === true) {
    // A peer gives what its network can, and the registry is there for what no peer has.
    const supply = registryRate + finished * nodeRate;
    return pulling.map(() => Math.min(nodeRate, supply / pulling.length));
  }
  const sourceRate = fleet.mirrors === undefined ? registryRate : mirrorRate;
  const users = Map.groupBy(pulling, (node) => node.source);
  return pulling.map((node) => Math.min(nodeRate, sourceRate / (users.get(node.source)?.length ?? 1)));
}

function registryShare(
  fleet: Fleet,
  pulling: readonly Node[],
  rates: readonly number[],
  finished: number,
): number {
  const total = rates.reduce((sum, rate) => sum + rate, 0);
  if (fleet.peers !== true) return total;
  return pulling.length === 0 ? 0 : Math.max(0, total - finished * fleet.nodeRate);
}

function nextEvent(
  nodes: readonly Node[],
  pulling: readonly Node[],
  rates: readonly number[],
  now: number,
): number {
  const ends = pulling.map((node, index) => node.left / (rates[index] ?? 1));
  const begins = nodes.map((node) => node.beginsPullAt - now).filter((wait) => wait > 0);
  return Math.min(...ends, ...begins);
}

function report(base: Omit<Fleet, "nodes" | "maxInFlight">): string {
  const ways: [string, Partial<Fleet>][] = [
    ["the registry", {}],
    ["the registry, start_jitter 5m", { jitterSeconds: 300 }],
    ["2 pull-through caches", { mirrors: 2, mirrorRate: base.nodeRate }],
    ["peers", { peers: true }],
  ];
  const sizes = [
    { nodes: 20, maxInFlight: 1 },
    { nodes: 20, maxInFlight: 5 },
    { nodes: 200, maxInFlight: 10 },
    { nodes: 200, maxInFlight: 50 },
  ];
  const rows = sizes.flatMap((size) =>
    ways.map(([name, way]) => [
      String(size.nodes),
      String(size.maxInFlight),
      name,
      ...columnsOf(simulate({ ...base, ...size, ...way })),
    ]),
  );
  const header = [
    "workers",
    "max_in_flight",
    "from",
    "pull, median",
    "pull, longest",
    "whole roll",
    "registry serves",
  ];
  return [header, header.map((_, index) => (index === 2 ? "---" : "---:")), ...rows]
    .map(markdownRow)
    .join("\n");
}

function columnsOf(roll: Roll): string[] {
  return [
    `${roll.medianPullSeconds.toFixed(0)} s`,
    `${roll.longestPullSeconds.toFixed(0)} s`,
    `${roll.hours.toFixed(1)} h`,
    `${(roll.registryBytes / 1e9).toFixed(0)} GB`,
  ];
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      "images-gb": { type: "string", default: "5" },
      "registry-gbit": { type: "string", default: "1" },
      "node-gbit": { type: "string", default: "10" },
      "unpack-mbs": { type: "string", default: "150" },
      "other-s": { type: "string", default: "240" },
    },
  });
  const gigabit = 1e9 / 8;
  const base = {
    bytes: Number(values["images-gb"]) * 1e9,
    registryRate: Number(values["registry-gbit"]) * gigabit,
    nodeRate: Math.min(Number(values["node-gbit"]) * gigabit, Number(values["unpack-mbs"]) * 1e6),
    otherSeconds: Number(values["other-s"]),
    jitterSeconds: 0,
  };
  process.stdout.write(`${report(base)}\n`);
}
