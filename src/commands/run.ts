// `run`: takes the lock, connects the run to the log, status.json and the screen, and converts its end to an exit code.
import { getPriority, setPriority } from "node:os";
import type { RunArguments } from "../cli.ts";
import type { Config } from "../config/config.ts";
import { realContainerd } from "../containerd/containerd.ts";
import { messageOf } from "../core/plain-text.ts";
import { namesOf } from "../core/plan.ts";
import { startState, type EndedRun, type Ending } from "../core/run-state.ts";
import { warnOn, type Edge } from "../edge.ts";
import { watchSink } from "../report/live.ts";
import { openRunLog } from "../report/logger.ts";
import { writeMetrics } from "../report/metrics.ts";
import { runLog, stamp, type RunLog } from "../report/run-log.ts";
import { reason } from "../report/failures.ts";
import { summary } from "../report/summary.ts";
import { findArchives } from "../run/archives.ts";
import { realClock } from "../run/clock.ts";
import { diskUsage } from "../run/disk.ts";
import { requireTools } from "../run/ready.ts";
import { run as importImages, type Earlier } from "../run/run.ts";
import { stopper, type Stopper } from "../run/stopper.ts";
import { takeLock } from "../state/lock.ts";
import { readArchiveRecord, readDiskRecord, writeArchiveRecord, writeDiskRecord } from "../state/records.ts";
import { holderIn, readStatus, sizesIn, statusFile, statusText } from "../state/status.ts";
import { build } from "../version.ts";
import { chosen } from "./chosen.ts";
import { endingBy, endingOf } from "./ending.ts";

interface Run {
  readonly config: Config;
  readonly only: ReadonlySet<string>;
  readonly edge: Edge;
  readonly stop: Stopper;
  readonly log: RunLog;
  readonly warn: (why: string) => void;
}

/** @returns the exit code. @throws ExitError, or a bug */
export async function runCommand(args: RunArguments, edge: Edge): Promise<number> {
  const { config, only } = await chosen(args, edge);
  lowerPriority();
  const runId = identify(edge.pid);
  const warn = warnOn(edge);
  using file = openRunLog(edge, config.log_level, runId);
  using watching = args.json ? undefined : watchSink(edge.stdout);
  using stop = stopper(edge.signal, config.deadline, realClock);
  const log = runLog(startState(runId, build.version, edge.pid, stamp()), (sink, error) =>
    warn(`the run continues without ${sink}: ${messageOf(error)}`),
  );
  log.watch("its log", file.sink);
  if (watching !== undefined) log.watch("its lines", watching.sink);
  const run = { config, only, edge, stop, log, warn };
  const state = await underLock(run).catch((error: unknown) => log.end(endingBy(error, run)));
  if (args.json) edge.stdout.write(statusText(state));
  else if (state.images.length > 0 || state.stopped === undefined) edge.stdout.write(`${summary(state)}\n`);
  const why = reason(state);
  if (why !== undefined) edge.stderr.write(`import-images: ${why}\n`);
  return state.exitCode;
}

/** Unique on a node, for good. A random ID would need node:crypto, and loading that takes a tenth of the start. */
const identify = (pid: number): string => `${stamp().toString(36)}-${pid.toString(36)}`;

/** BOSH starts hooks with a higher priority than everything else on the node. This work is less urgent than that. */
function lowerPriority(): void {
  const polite = 5;
  if (getPriority() < polite) setPriority(polite);
}

/** Only the run that holds the lock writes status.json and the metrics, from its first event to its last. */
async function underLock(run: Run): Promise<EndedRun> {
  const { config, only, edge, log, warn } = run;
  using _lock = await lock(run);
  const earlier = readStatus(edge.paths.state, warn);
  const sizes: Earlier["sizes"] = earlier === undefined ? new Map() : sizesIn(earlier);
  // A run with --only says nothing about the whole list: the record of the last whole run stays.
  const isWhole = only.size === 0;
  using status = isWhole ? statusFile(edge.paths.state, warn) : undefined;
  if (status !== undefined) log.watch("status.json", (_event, state) => status.update(state));
  const ended = log.end(await perform(run, sizes).catch((error: unknown) => endingBy(error, run)));
  if (isWhole && config.metrics_file !== undefined) writeMetrics(config.metrics_file, ended, warn);
  return ended;
}

const lock = ({ config, edge, stop, log }: Run): Promise<Disposable> =>
  takeLock({
    clock: realClock,
    directory: edge.paths.state,
    patience: config.containerd.ready_timeout,
    signal: stop.signal,
    holder: () => holderIn(readStatus(edge.paths.state, () => {})),
    onWait: (by) =>
      log.emit({ type: "waiting", phase: "waiting-for-lock", why: `another run holds the lock (${by})` }),
  });

async function perform(run: Run, sizes: Earlier["sizes"]): Promise<Ending> {
  const { only, edge, stop, log, warn } = run;
  const config = { ...run.config, archives: await findArchives(run.config.archives) };
  log.emit({ type: "run-started", images: listed(config, only) });
  requireTools(config.containerd);
  using containerd = realContainerd(config, stop.ended);
  await importImages(
    {
      config,
      containerd,
      machine: { platform: edge.platform, usage: diskUsage },
      clock: realClock,
      emit: log.emit,
      stop,
    },
    {
      runId: log.state().run,
      only,
      earlier: {
        sizes,
        archives: readArchiveRecord(edge.paths.state, warn),
        disk: readDiskRecord(edge.paths.state, warn),
      },
      recordDisk: (disk) => writeDiskRecord(edge.paths.state, disk, warn),
      recordArchives: (archives) => writeArchiveRecord(edge.paths.state, archives, warn),
    },
  );
  return endingOf(log.state(), config);
}

/** The images of the run. An archive stands for its images, under its path, until it is read. */
export function listed(config: Pick<Config, "archives" | "images">, only: Run["only"]) {
  const archives = only.size > 0 ? [] : config.archives;
  const images = config.images.filter(({ source }) => only.size === 0 || only.has(source.name));
  return [
    ...archives.map(({ path, required }) => ({ name: path, isArchive: true, names: [path], required })),
    ...images.map((image) => ({
      name: image.source.name,
      names: namesOf(image),
      required: image.required,
    })),
  ];
}
