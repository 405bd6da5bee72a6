import { loadavg } from "node:os";
import path from "node:path";
import { mkdir } from "node:fs/promises";
import process from "node:process";
import { type Containerd, startContainerd } from "../rig/containerd.ts";
import type { Registry } from "../rig/registry.ts";
import type { ContainerdLine } from "../rig/tools.ts";
import { type Bound, boundOf } from "./bound.ts";
import type { BenchCase } from "./cases.ts";
import type { Contender, Runtime } from "./contenders.ts";
import { measure, type Measured } from "./measure.ts";
import { countingRuntime } from "./spawns.ts";
import { setStage, type Stage, type Traffic } from "./stage.ts";
import { rotated } from "./statistics.ts";

export interface Sample extends Measured, Traffic {
  /** Names that can be pulled and are there in the end, of how many. */
  present: number;
  wanted: number;
  /** Of the machine, just before. */
  load: number;
}

export interface Entry {
  contender: string;
  samples: Sample[];
  /** crictl and ctr started, counted in a run of its own. */
  starts: number;
}

export interface Contest {
  case: string;
  shows: string;
  line: ContainerdLine;
  containerd: string;
  images: number;
  bound: Bound;
  entries: Entry[];
}

export interface ContestOptions {
  runs: number;
  contenders: readonly Contender[];
}

export async function contest(
  registry: Registry,
  bench: BenchCase,
  line: ContainerdLine,
  { runs, contenders }: ContestOptions,
): Promise<Contest> {
  await using stage = await setStage(registry, bench);
  const bound = await boundOf(line, bench, stage, registry);
  const entries = contenders.map((contender) => ({
    contender: contender.name,
    samples: [] as Sample[],
    starts: 0,
  }));
  const entryOf = new Map(contenders.map((contender, index) => [contender, entries[index]]));
  let containerd = "";
  const tick = (text: string): boolean => process.stderr.write(`${bench.name} ${line}: ${text}\n`);
  // The first round counts, and warms the page cache; it is not timed.
  for (let run = 0; run <= runs; run++) {
    for (const contender of rotated(contenders, run)) {
      const { sample, starts, version } = await once(stage, bench, line, contender, run === 0);
      tick(`${run === 0 ? "count" : `run ${run}`} ${contender.name} ${sample.seconds.toFixed(2)} s`);
      containerd = version;
      const entry = entryOf.get(contender);
      if (run === 0 && entry) entry.starts = starts;
      else entry?.samples.push(sample);
    }
  }
  return {
    case: bench.name,
    shows: bench.shows,
    line,
    containerd,
    images: stage.images.length,
    bound,
    entries,
  };
}

/** One run from an empty image store, which a containerd of its own is sure to have. */
async function once(
  stage: Stage,
  bench: BenchCase,
  line: ContainerdLine,
  contender: Contender,
  counting: boolean,
): Promise<{ sample: Sample; starts: number; version: string }> {
  await using containerd = await startContainerd(line);
  const folder = path.join(containerd.folder, "bench");
  await mkdir(folder);
  const plain = runtimeOf(containerd);
  if (bench.rerun === true) {
    await stage.reset();
    await measure(await contender.command(plain, stage.images, folder), folder);
  }
  const counter = await countingRuntime(plain, folder);
  const command = await contender.command(counting ? counter.runtime : plain, stage.images, folder);
  await stage.reset();
  const load = loadavg()[0] ?? 0;
  const measured = await measure(command, folder);
  const sample = { ...measured, ...(await presence(containerd, stage)), ...(await stage.traffic()), load };
  return { sample, starts: await counter.starts(), version: containerd.version };
}

function runtimeOf({ crictlPath, ctrPath, socket, folder }: Containerd): Runtime {
  return { crictl: crictlPath, ctr: ctrPath, socket, crictlConfig: path.join(folder, "crictl.yaml") };
}

async function presence(containerd: Containerd, stage: Stage): Promise<Pick<Sample, "present" | "wanted">> {
  const names = new Set((await containerd.images()).flatMap((image) => image.repoTags));
  const wanted = stage.images
    .filter((image) => !image.lost)
    .flatMap(({ reference, retagAs }) => [reference, ...(retagAs === undefined ? [] : [retagAs])]);
  return { present: wanted.filter((name) => names.has(name)).length, wanted: wanted.length };
}
