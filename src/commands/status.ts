// `status`: the last run or the one in progress, and what is on the node now.
import type { RunArguments } from "../cli.ts";
import { loadConfig } from "../config/load.ts";
import type { PlannedArchive } from "../core/archives.ts";
import { judge } from "../core/judge.ts";
import { type Node } from "../core/node.ts";
import { printable } from "../core/plain-text.ts";
import { namesOf, type PlannedImage } from "../core/plan.ts";
import { totals } from "../core/run-state.ts";
import { counted } from "../core/units.ts";
import { problemOf } from "../core/verdict.ts";
import type { Edge } from "../edge.ts";
import { EXIT, ExitError } from "../exit.ts";
import { barLines } from "../report/bars.ts";
import { namesTable, type NameRow } from "../report/names-table.ts";
import { failureLines, lacking, printableLine } from "../report/summary.ts";
import { noRates } from "../report/transfer-rate.ts";
import { kubeletWarning } from "../run/kubelet-records.ts";
import { lockIsHeld } from "../state/lock.ts";
import { readStatus, type Status } from "../state/status.ts";
import { look } from "./look.ts";

interface Row extends NameRow {
  readonly source: string;
  readonly required: boolean;
}

export async function statusCommand(args: RunArguments, edge: Edge): Promise<number> {
  const config = await loadConfig(args.config ?? edge.paths.config);
  const earlier = lastRun(edge);
  // Whoever asks for the status wants an answer now, not after the runtime's patience.
  const impatient = { ...config, containerd: { ...config.containerd, readyTimeout: 5_000 } };
  const now = await look(impatient, edge).catch((error: unknown) => {
    if (error instanceof ExitError) return error;
    throw error;
  });
  const rows =
    now instanceof ExitError
      ? []
      : [...now.archives.flatMap(rowOf), ...now.plan.images.flatMap((planned) => rowsOf(planned, now.node))];
  edge.stdout.write(args.json ? json(earlier, rows) : `${text(earlier, rows, edge.stdout.columns)}\n`);
  if (now instanceof ExitError) throw now;
  const warning = await kubeletWarning(
    config.kubeletRoot,
    now.plan.images.map(({ image }) => image),
    now.node,
  );
  if (warning !== undefined) edge.stderr.write(`warning: ${warning}\n`);
  return rows.every((row) => row.present || !row.required) ? EXIT.ok : EXIT.imageFailed;
}

/** An archive that a run would import, or fail to; of one that is in place its images tell. */
const rowOf = ({ archive: { path, required }, action, why }: PlannedArchive): Row[] =>
  action === "keep"
    ? []
    : [{ name: path, source: path, required, present: false, pinned: false, problem: why }];

/** A name counts as present when it is the source's image and usable, not merely some image. */
function rowsOf({ image, judgement, names }: PlannedImage, node: Node): Row[] {
  const source = image.source.name;
  return namesOf(image).map((name) => {
    const found = judge(node, name);
    const elsewhere = names.some((other) => other.name === name && other.action !== "keep");
    return {
      name,
      source,
      required: image.required,
      present: judgement.is === "usable" && found.is === "usable" && !elsewhere,
      pinned: node.cri.get(name)?.some(({ pinned }) => pinned) ?? false,
      ...(found.is === "usable" ? { id: found.id } : {}),
      ...(found.is === "usable" || found.is === "absent" ? {} : { problem: problemOf(found) }),
    };
  });
}

const json = (earlier: LastRun | undefined, now: readonly Row[]): string =>
  `${JSON.stringify({ run: earlier?.status.json ?? null, now }, null, 2)}\n`;

const text = (earlier: LastRun | undefined, rows: readonly Row[], columns: number | undefined): string =>
  [headline(earlier), ...detailsOf(earlier, columns), ...namesTable(rows)].map(printableLine).join("\n");

interface LastRun {
  readonly status: Status;
  readonly inProgress: boolean;
}

function lastRun({ paths, stderr }: Edge): LastRun | undefined {
  const status = readStatus(paths.state, (why) => stderr.write(`warning: ${printable(why)}\n`));
  if (status === undefined) return undefined;
  return { status, inProgress: status.phase !== "ended" && lockIsHeld(paths.state) === true };
}

/** Ends with a blank line. What failed is told as the run itself told it: whoever comes later has only this. */
function detailsOf(earlier: LastRun | undefined, columns: number | undefined): string[] {
  if (earlier === undefined) return [""];
  if (earlier.inProgress) return [...bars(earlier.status, columns), ""];
  const { phase, images } = earlier.status;
  // Of a run that was killed the headline says enough of what it did not come to.
  const failed = phase === "ended" ? lacking(images) : images.filter((image) => image.phase === "failed");
  return ["", ...failureLines(failed)];
}

/** As wide as `table` is where there is no terminal. */
const WIDTH = 100;
/** Images in work, with those that wait for a registry to come back: that may be all of them. */
const MOST_BARS = 50;

/** What the run's own terminal would show. */
const bars = (status: Status, columns = WIDTH): string[] =>
  barLines(status, { columns, rows: MOST_BARS, now: Date.now(), rates: noRates });

const iso = (ms: number): string => new Date(ms).toISOString();

function headline(earlier: LastRun | undefined): string {
  if (earlier === undefined) return "no run has been recorded here yet";
  const { images, phase, pid, startedAt, endedAt = startedAt, exitCode, stopped } = earlier.status;
  if (phase === "ended") {
    const how = exitCode === 0 ? "succeeded" : `ended with exit code ${exitCode}`;
    return `last run: ${how} at ${iso(endedAt)}${stopped === undefined ? "" : ` (${stopped})`}`;
  }
  const done = images.length - totals(images).unfinished;
  return earlier.inProgress
    ? `run in progress since ${iso(startedAt)} (pid ${pid}, ${phase}): ${done} of ${counted(images.length, "image")} done`
    : `last run: started at ${iso(startedAt)} and was killed in "${phase}"; run again to finish it`;
}
