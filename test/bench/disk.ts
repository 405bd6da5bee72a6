// What it costs that present means whole on the disk: `node test/bench/disk.ts [LINE] [IMAGES] [MEGABYTES OF EACH]`.
import { rmSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { startContainerd } from "../rig/containerd.ts";
import { pushImage } from "../rig/push.ts";
import { startRegistry } from "../rig/registry.ts";
import { containerdLines } from "../rig/tools.ts";
import { agentFor, type Ended } from "../real/support/agent.ts";
import { runInBoot } from "../real/support/boot.ts";

const [given, count = "100", megabytes = "50"] = process.argv.slice(2);
const line = containerdLines.find((known) => known === given) ?? "1.7";
const ROUNDS = 5;

await using registry = await startRegistry();
await using containerd = await startContainerd(line);
const agent = agentFor(containerd);
const images: { readonly name: string }[] = [];
for (let nth = 0; nth < Number(count); nth += 1) {
  const fileBytes = (Number(megabytes) * 1_000_000) / 500;
  const layers = [{ files: 500, fileBytes, seed: `disk-${nth}` }];
  images.push({ name: (await pushImage(registry, `disk/image-${nth}:1`, { layers })).reference });
}

const told = (event: string): number =>
  Number(agent.log().findLast((one) => one.event === event)?.["ms"] ?? 0);
const row = (what: string, seconds: number, note = ""): void =>
  console.log(`| ${what} | ${seconds.toFixed(2)} s | ${note} |`);
const wentWell = ({ exitCode, stderr, seconds }: Ended): number => {
  if (exitCode !== 0) throw new Error(stderr);
  return seconds;
};
/** The median of several. */
async function measured(run: (round: number) => Promise<Ended>): Promise<number> {
  const seconds: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) seconds.push(wentWell(await run(round)));
  return seconds.toSorted((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? 0;
}

console.log(
  `${count} images of ${megabytes} MB, containerd ${containerd.version}\n\n| run | takes | |\n|---|---|---|`,
);
row(
  "the first: everything is pulled",
  wentWell(await agent.run({ images })),
  `written in ${told("synced")} ms`,
);
row("a rerun in the same boot", await measured(() => agent.run({ images })));
row(
  "the first of a boot, all is written",
  await measured((round) => runInBoot(agent, `all-${round}`, { images })),
  `looked in ${told("examined")} ms`,
);
rmSync(path.join(agent.stateDirectory, "disk.json"));
row(
  "the first of a boot, nothing is known",
  wentWell(await runInBoot(agent, "nothing", { images })),
  `looked in ${told("examined")} ms`,
);
