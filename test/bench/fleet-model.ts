// How long images take on N workers that BOSH updates `max_in_flight` at a time, after its canaries, by arithmetic.
//
// A node pulls its bytes at a rate that is shared fairly among those that pull from one source, and never above its own
// network and unpacking. Sources: the registry alone; pull-through caches, which have an image from when one of their
// nodes is done, and until then fetch it for each of them; peers, where every node that is done serves the others. BOSH
// starts the next worker when one has finished, so a roll is a window that slides. What else an update of a worker takes
// (stop, new VM, start) is a constant.
//
// Left out: caches and peers pass on nothing before it is complete, and nobody else uses the network.
import { type Spread, spread } from "./statistics.ts";

export interface Fleet {
  readonly nodes: number;
  readonly canaries: number;
  readonly maxInFlight: number;
  /** Of a node's images. */
  readonly bytes: number;
  /** Bytes per second: what the registry gives to all together, what a node takes, what a cache gives. */
  readonly registryRate: number;
  readonly nodeRate: number;
  readonly cacheRate?: number;
  readonly otherSeconds: number;
  readonly jitterSeconds: number;
  /** Pull-through caches, which the nodes ask in turn; none by default. */
  readonly caches?: number;
  readonly peers?: boolean;
}

export interface Roll {
  readonly rollSeconds: number;
  /** Of a node's pull, jitter left out. */
  readonly pullSeconds: Spread;
  readonly registryBytes: number;
}

interface Node {
  readonly cache: number | undefined;
  beginsPullAt: number;
  left: number;
  endedAt: number;
}

export function simulate(fleet: Fleet): Roll {
  const nodes = Array.from({ length: fleet.nodes }, (_, index): Node => {
    const cache = fleet.caches === undefined ? undefined : index % fleet.caches;
    return { cache, beginsPullAt: Infinity, left: fleet.bytes, endedAt: Infinity };
  });
  let now = 0;
  let registryBytes = 0;
  admit(fleet, nodes, now);
  while (nodes.some(({ endedAt }) => endedAt === Infinity)) {
    const pulling = nodes.filter((node) => node.beginsPullAt <= now && node.endedAt === Infinity);
    const { rates, fromRegistry } = ratesOf(fleet, nodes, pulling);
    const step = nextEvent(nodes, pulling, rates, now);
    for (const node of pulling) node.left -= (rates.get(node) ?? 0) * step;
    registryBytes += step * fromRegistry;
    now += step;
    for (const node of pulling.filter(({ left }) => left <= 1)) node.endedAt = now;
    admit(fleet, nodes, now);
  }
  const pullSeconds = spread(nodes.map((node) => node.endedAt - node.beginsPullAt));
  return { rollSeconds: now, pullSeconds, registryBytes };
}

/** Lets as many nodes begin as BOSH would: the canaries first, and nobody else before they are done. */
function admit(fleet: Fleet, nodes: readonly Node[], now: number): void {
  const ended = nodes.filter(({ endedAt }) => endedAt <= now).length;
  const mayHaveBegun = ended < fleet.canaries ? fleet.canaries : ended + fleet.maxInFlight;
  for (const [index, node] of nodes.slice(0, mayHaveBegun).entries()) {
    if (node.beginsPullAt === Infinity) node.beginsPullAt = now + fleet.otherSeconds + jitterOf(fleet, index);
  }
}

// The golden ratio spreads any number of nodes evenly over the span, and the same in every run.
function jitterOf({ jitterSeconds }: Fleet, index: number): number {
  return ((index * 0.618_033_988_75) % 1) * jitterSeconds;
}

interface Rates {
  readonly rates: ReadonlyMap<Node, number>;
  /** Bytes per second that the registry gives to all of them. */
  readonly fromRegistry: number;
}

function ratesOf(fleet: Fleet, nodes: readonly Node[], pulling: readonly Node[]): Rates {
  const done = nodes.filter(({ endedAt }) => endedAt !== Infinity);
  if (fleet.peers === true) return ratesWithPeers(fleet, pulling, done.length);
  const filled = new Set(done.flatMap(({ cache }) => cache ?? []));
  const direct = pulling.filter(({ cache }) => cache === undefined || !filled.has(cache));
  const share = Math.min(fleet.nodeRate, fleet.registryRate / Math.max(1, direct.length));
  const users = Map.groupBy(pulling, ({ cache }) => cache);
  const cached = ({ cache }: Node): number =>
    Math.min(fleet.nodeRate, (fleet.cacheRate ?? Infinity) / (users.get(cache)?.length ?? 1));
  const through = new Set(direct);
  return {
    rates: new Map(pulling.map((node) => [node, through.has(node) ? share : cached(node)])),
    fromRegistry: share * direct.length,
  };
}

// A peer gives what its network can, and the registry is there for what no peer has.
function ratesWithPeers({ nodeRate, registryRate }: Fleet, pulling: readonly Node[], done: number): Rates {
  const supply = registryRate + done * nodeRate;
  const rate = Math.min(nodeRate, supply / Math.max(1, pulling.length));
  return {
    rates: new Map(pulling.map((node) => [node, rate])),
    fromRegistry: Math.max(0, rate * pulling.length - done * nodeRate),
  };
}

function nextEvent(
  nodes: readonly Node[],
  pulling: readonly Node[],
  rates: ReadonlyMap<Node, number>,
  now: number,
): number {
  const ends = pulling.map((node) => node.left / (rates.get(node) ?? 1));
  const begins = nodes.map((node) => node.beginsPullAt - now).filter((wait) => wait > 0);
  return Math.min(...ends, ...begins);
}
