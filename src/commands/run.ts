// `run`: takes the lock, wires the run to log, state file and lines, and turns its end into an exit code.
import { getPriority, setPriority } from "node:os";
import type { RunArguments } from "../cli.ts";
import type { Config } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import { messageOf, printable } from "../core/plain-text.ts";
import { namesOf } from "../core/plan.ts";
import { startState } from "../core/run-state.ts";
import type { Edge } from "../edge.ts";
import { watchSink } from "../report/live.ts";
import { openRunLog } from "../report/logger.ts";
import { writeMetrics } from "../report/metrics.ts";
import { runLog, stamp, type RunLog } from "../report/run-log.ts";
import { reason, summary } from "../report/summary.ts";
import { realContainerd } from "../containerd/containerd.ts";
import { realClock } from "../run/context.ts";
import { requireTools } from "../run/ready.ts";
import { run as importImages } from "../run/run.ts";
import { stopper, type Stopper } from "../run/stopper.ts";
import { readArchiveRecord, writeArchiveRecord } from "../state/archive-record.ts";
import { takeLock } from "../state/lock.ts";
import { holderIn, readStatus, sizesIn, statusFile, statusText, type Status } from "../state/status.ts";
import { build } from "../version.ts";
import { endingBy, endingOf, type Ending } from "./ending.ts";
import { narrowed } from "./narrowed.ts";

/** What the parts of one run share. */
interface Run {
  readonly config: Config;
  readonly only: ReadonlySet<string>;
  readonly edge: Edge;
  readonly stop: Stopper;
  readonly log: RunLog;
}

/** @returns the exit code. @throws ExitError, or a bug */
export async function runCommand(args: RunArguments, edge: Edge): Promise<number> {
  const config = await loadConfig(args.config ?? edge.paths.config);
  const only = narrowed(config, args.only);
  lowerPriority();
  const runId = identify(edge.pid);
  using file = openRunLog(edge, config.logLevel, runId);
  using watching = args.json ? undefined : await watchSink(edge.stdout);
  using stop = stopper(edge.signal, config.deadline);
  const log = runLog(startState(runId, build.version, edge.pid, stamp()), (sink, error) =>
    warn(edge)(`the run continues without ${sink}: ${messageOf(error)}`),
  );
  log.watch("its log", file.sink);
  if (watching !== undefined) log.watch("its lines", watching.sink);
  const run = { config, only, edge, stop, log };
  const ending = await underLock(run).catch((error: unknown) => interrupted(run, error));
  if (log.state().phase !== "ended") log.emit({ type: "run-ended", ...ending });
  conclude(args, edge, log);
  return ending.exitCode;
}

/** One on a node and for good; loading node:crypto for a random one takes a tenth of the start. */
const identify = (pid: number): string => `${stamp().toString(36)}-${pid.toString(36)}`;

/** BOSH starts hooks above everything else on the node; nobody here is in such a hurry. */
function lowerPriority(): void {
  const polite = 5;
  if (getPriority() < polite) setPriority(polite);
}

/** status.json belongs to the run that holds the lock, from its first event to its last. */
async function underLock(run: Run): Promise<Ending> {
  const { edge, log, only } = run;
  using _lock = await lock(run);
  const earlier = readStatus(edge.paths.state, warn(edge));
  const known = earlier === undefined || only.size === 0 ? new Map<string, number>() : sizesIn(earlier);
  using status = statusFile(edge.paths.state, known, warn(edge));
  log.watch("status.json", (_event, state) => status.update(state));
  const ending = await perform(run, earlier).catch((error: unknown) => interrupted(run, error));
  log.emit({ type: "run-ended", ...ending });
  writeRunMetrics(run);
  return ending;
}

const warn =
  (edge: Edge) =>
  (why: string): void =>
    edge.stderr.write(`warning: ${printable(why)}\n`);

/** Only by the run that held the lock: another one is still writing its own. */
function writeRunMetrics({ config, only, edge, log }: Run): void {
  if (config.metricsFile === undefined) return;
  const problem = writeMetrics(config.metricsFile, log.state(), only.size > 0);
  if (problem !== undefined) warn(edge)(problem);
}

const interrupted = ({ config, edge, log }: Run, error: unknown): Ending =>
  endingBy(error, { config, signal: edge.stoppedBy(), emit: log.emit });

function lock({ config, edge, stop, log }: Run): Promise<Disposable> {
  return takeLock({
    directory: edge.paths.state,
    patience: config.containerd.readyTimeout,
    signal: stop.signal,
    holder: () => holderIn(readStatus(edge.paths.state, () => {})),
    onWait: (by) =>
      log.emit({ type: "waiting", phase: "waiting-for-lock", why: `another run holds the lock (${by})` }),
  });
}

async function perform(run: Run, earlier: Status | undefined): Promise<Ending> {
  const { config, only, edge, stop, log } = run;
  log.emit({ type: "run-started", images: listed(run) });
  requireTools(config.containerd);
  using containerd = realContainerd(config, stop.ended);
  const { platform, cpus, busy } = edge;
  await importImages(
    { config, containerd, machine: { platform, cpus, busy }, clock: realClock, emit: log.emit, stop },
    {
      runId: log.state().run,
      only,
      earlier: {
        sizes: earlier === undefined ? new Map() : sizesIn(earlier),
        archives: readArchiveRecord(edge.paths.state, warn(edge)),
      },
      recordArchives: (archives) => writeArchiveRecord(edge.paths.state, archives, warn(edge)),
    },
  );
  return endingOf(log.state(), config);
}

/** What the run is about: archives by their paths, until they are open. */
function listed({ config, only }: Run) {
  const chosen = config.images.filter((image) => only.size === 0 || only.has(image.source.name));
  const images = chosen.map((image) => ({
    name: image.source.name,
    names: namesOf(image),
    required: image.required,
  }));
  const archives = only.size > 0 ? [] : config.archives;
  return [
    ...archives.map(({ path, required }) => ({
      name: path,
      isArchive: true,
      names: [path],
      required,
    })),
    ...images,
  ];
}

function conclude(args: RunArguments, edge: Edge, log: RunLog): void {
  const state = log.state();
  edge.stdout.write(args.json ? statusText(state) : `${summary(state)}\n`);
  const why = reason(state);
  if (why !== undefined) edge.stderr.write(`import-images: ${why}\n`);
}
