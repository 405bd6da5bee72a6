import { loadavg } from "node:os";
import path from "node:path";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import { type Containerd, type ContainerdOptions, startContainerd } from "../rig/containerd.ts";
import type { Registry } from "../rig/registry.ts";
import type { ContainerdLine } from "../rig/tools.ts";
import { type Bound, boundOf } from "./bound.ts";
import type { BenchCase } from "./case.ts";
import { type Contender, runtimeOf } from "./contenders.ts";
import { cpuSecondsOf, measure, type Measured } from "./measure.ts";
import { countingRuntime } from "./spawns.ts";
import { failureOf } from "./failure.ts";
import { setStage, type Stage, type Traffic } from "./stage.ts";
import { rotated } from "./statistics.ts";

export interface Sample extends Measured, Traffic {
  /** Images that are there in the end under all their names, of how many that can be pulled. */
  present: number;
  wanted: number;
  /** User and system time of containerd meanwhile. */
  containerdCpuSeconds: number;
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
  const field = contenders.filter(({ remembers }) => remembers !== true || bench.sizesKnown === true);
  const entrants = field.map((contender) => entrant(stage, bench, line, contender));
  await using _nodes = disposal(entrants);
  let containerd = "";
  // The first round counts, and warms the page cache; it is not timed.
  for (let run = 0; run <= runs; run++) {
    for (const { entry, once } of rotated(entrants, run)) {
      const { sample, starts, version } = await once(run === 0);
      const round = run === 0 ? "count" : `run ${run}`;
      const failed = failureOf([sample], stage.images.length);
      process.stderr.write(
        `${bench.name} ${line}: ${round} ${entry.contender} ${sample.seconds.toFixed(2)} s${failed && `, ${failed}`}\n`,
      );
      containerd = version;
      if (run === 0) entry.starts = starts;
      else entry.samples.push(sample);
    }
  }
  return {
    case: bench.name,
    shows: bench.shows,
    line,
    containerd,
    images: stage.images.length,
    bound,
    entries: entrants.map(({ entry }) => entry),
  };
}

interface Once {
  sample: Sample;
  starts: number;
  version: string;
}

interface Entrant extends AsyncDisposable {
  entry: Entry;
  once(counting: boolean): Promise<Once>;
}

/** Every run is on a containerd of its own, with an empty image store; reruns are on one that the first run has filled. */
function entrant(stage: Stage, bench: BenchCase, line: ContainerdLine, contender: Contender): Entrant {
  const entry: Entry = { contender: contender.name, samples: [], starts: 0 };
  let filled: Containerd | undefined;
  let remembered: string | undefined;
  const fill = async (): Promise<Containerd> => {
    filled = await startContainerd(line, optionsOf(bench));
    await stage.reset();
    const folder = await folderOf(filled);
    await measure(await contender.command(runtimeOf(filled), stage.images, folder), folder);
    return filled;
  };
  const cold = async (counting: boolean): Promise<Once> => {
    await using containerd = await startContainerd(line, optionsOf(bench));
    const status = path.join(await folderOf(containerd), "status.json");
    if (remembered !== undefined) await writeFile(status, remembered);
    const result = await timed(containerd, stage, contender, counting);
    if (contender.remembers === true) remembered ??= await readFile(status, "utf8");
    return result;
  };
  return {
    entry,
    once: async (counting) =>
      bench.rerun === true ? timed(filled ?? (await fill()), stage, contender, counting) : cold(counting),
    [Symbol.asyncDispose]: async () => filled?.stop(),
  };
}

const optionsOf = ({ nodeDownloads }: BenchCase): ContainerdOptions =>
  nodeDownloads === undefined ? {} : { maxConcurrentDownloads: nodeDownloads };

function disposal(entrants: readonly Entrant[]): AsyncDisposableStack {
  const stack = new AsyncDisposableStack();
  for (const each of entrants) stack.use(each);
  return stack;
}

async function folderOf({ folder }: Containerd): Promise<string> {
  const bench = path.join(folder, "bench");
  await mkdir(bench, { recursive: true });
  return bench;
}

async function timed(
  containerd: Containerd,
  stage: Stage,
  contender: Contender,
  counting: boolean,
): Promise<Once> {
  const folder = await folderOf(containerd);
  const plain = runtimeOf(containerd);
  const counter = await countingRuntime(plain, folder);
  const command = await contender.command(counting ? counter.runtime : plain, stage.images, folder);
  await stage.reset();
  const load = loadavg()[0] ?? 0;
  const before = cpuSecondsOf(containerd.pid());
  const measured = await measure(command, folder);
  const containerdCpuSeconds = cpuSecondsOf(containerd.pid()) - before;
  const seen = { ...(await presence(containerd, stage)), ...(await stage.traffic()) };
  const sample = { ...measured, ...seen, containerdCpuSeconds, load };
  return { sample, starts: await counter.starts(), version: containerd.version };
}

async function presence(containerd: Containerd, stage: Stage): Promise<Pick<Sample, "present" | "wanted">> {
  const names = new Set((await containerd.images()).flatMap((image) => image.repoTags));
  const wanted = stage.images.filter((image) => !image.lost);
  const present = wanted.filter(
    ({ reference, retagAs = reference }) => names.has(reference) && names.has(retagAs),
  );
  return { present: present.length, wanted: wanted.length };
}
