// npm run bench:fleet -- [--images-gb 5] [--registry-gbit 1] [--node-gbit 10] [--unpack-mbs 150] [--other-s 240]
// npm run bench:fleet -- --measure [--runs 3]
// The first is arithmetic: what a roll of a fleet takes. The second rolls a few real containerds beside it, through a real
// registry and a real pull-through cache, to hold the arithmetic against something.
import path from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { measureRoll, startOrigin, type Way } from "./fleet-measured.ts";
import { type Fleet, type Roll, simulate } from "./fleet-model.ts";
import { spread } from "./statistics.ts";
import { markdownRow } from "./table.ts";

const { values } = parseArgs({
  options: {
    "images-gb": { type: "string", default: "5" },
    "registry-gbit": { type: "string", default: "1" },
    "node-gbit": { type: "string", default: "10" },
    "unpack-mbs": { type: "string", default: "150" },
    "other-s": { type: "string", default: "240" },
    measure: { type: "boolean", default: false },
    runs: { type: "string", default: "3" },
    executable: {
      type: "string",
      default: path.join(import.meta.dirname, "..", "..", "dist", "import-images"),
    },
  },
});

if (values.measure) await measured();
else calculated();

function calculated(): void {
  const gigabit = 1e9 / 8;
  const network = Number(values["node-gbit"]) * gigabit;
  const base = {
    canaries: 1,
    bytes: Number(values["images-gb"]) * 1e9,
    registryRate: Number(values["registry-gbit"]) * gigabit,
    nodeRate: Math.min(network, Number(values["unpack-mbs"]) * 1e6),
    cacheRate: network,
    otherSeconds: Number(values["other-s"]),
    jitterSeconds: 0,
  };
  const ways: [string, Partial<Fleet>][] = [
    ["the registry", {}],
    ["the registry, start_jitter 5m", { jitterSeconds: 300 }],
    ["a pull-through cache", { caches: 1 }],
    ["peers", { peers: true }],
  ];
  const sizes = [
    { nodes: 20, maxInFlight: 1 },
    { nodes: 20, maxInFlight: 5 },
    { nodes: 200, maxInFlight: 10 },
    { nodes: 200, maxInFlight: 50 },
  ];
  process.stdout.write(
    "By arithmetic, not measured (--measure rolls real nodes beside it; peers never were):\n\n",
  );
  heading([
    "workers",
    "max_in_flight",
    "from",
    "pull, median",
    "pull, longest",
    "whole roll",
    "registry serves",
  ]);
  for (const size of sizes) {
    for (const [from, way] of ways) {
      const roll = simulate({ ...base, ...size, ...way });
      print([
        String(size.nodes),
        String(size.maxInFlight),
        from,
        `${roll.pullSeconds.median.toFixed(0)} s`,
        `${roll.pullSeconds.max.toFixed(0)} s`,
        `${(roll.rollSeconds / 3600).toFixed(1)} h`,
        `${(roll.registryBytes / 1e9).toFixed(0)} GB`,
      ]);
    }
  }
}

/** Slow enough that neither this machine's cores nor its disk are what the workers share. */
async function measured(): Promise<void> {
  const registryRate = 4e6;
  await using origin = await startOrigin(registryRate);
  const base = { nodes: 7, canaries: 1, maxInFlight: 3, jitterSeconds: 0 };
  const cache = { caches: 1, cacheRate: 12e6 };
  const ways: [string, Way][] = [
    ["the registry, one at a time", { ...base, maxInFlight: 1 }],
    ["the registry", base],
    ["the registry, start_jitter 10s", { ...base, jitterSeconds: 10 }],
    ["a pull-through cache, no canary", { ...base, ...cache, canaries: 0 }],
    ["a pull-through cache", { ...base, ...cache }],
  ];
  const alone = await measureRoll(values.executable, origin, { ...base, nodes: 1, canaries: 0 });
  const model = {
    bytes: origin.bytes,
    registryRate,
    nodeRate: Infinity,
    otherSeconds: alone.rollSeconds - origin.bytes / registryRate,
  };
  heading([
    "from",
    "pull, median",
    "pull, longest",
    "whole roll",
    "by arithmetic",
    "registry serves",
    "by arithmetic",
  ]);
  for (const [from, way] of ways) {
    const rolls: Roll[] = [];
    for (let run = 0; run < Number(values.runs); run++) {
      rolls.push(await measureRoll(values.executable, origin, way));
    }
    const of = (value: (roll: Roll) => number): number => spread(rolls.map(value)).median;
    const expected = simulate({ ...model, ...way });
    print([
      from,
      `${of((roll) => roll.pullSeconds.median).toFixed(1)} s`,
      `${of((roll) => roll.pullSeconds.max).toFixed(1)} s`,
      `${of((roll) => roll.rollSeconds).toFixed(1)} s`,
      `${expected.rollSeconds.toFixed(1)} s`,
      `${(of((roll) => roll.registryBytes) / 1e6).toFixed(0)} MB`,
      `${(expected.registryBytes / 1e6).toFixed(0)} MB`,
    ]);
  }
}

function heading(cells: readonly string[]): void {
  print(cells);
  print(cells.map((cell) => (cell === "from" ? "---" : "---:")));
}

function print(cells: readonly string[]): void {
  process.stdout.write(`${markdownRow(cells)}\n`);
}
