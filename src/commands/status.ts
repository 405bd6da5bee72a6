// `status`: the last run or the run in progress, and the current state of the node.
import type { RunArguments } from "../cli.ts";
import { realContainerd } from "../containerd/containerd.ts";
import type { PlannedArchive } from "../core/archives.ts";
import { judge } from "../core/judge.ts";
import type { Node } from "../core/node.ts";
import { printableLine } from "../core/plain-text.ts";
import { namesOf, problemOf, type PlannedImage } from "../core/plan.ts";
import { totals } from "../core/run-state.ts";
import { counted } from "../core/units.ts";
import { warnOn, type Edge } from "../edge.ts";
import { EXIT, ExitError } from "../exit.ts";
import { barLines } from "../report/bars.ts";
import { namesTable, type NameRow } from "../report/names-table.ts";
import { failureLines, lacking } from "../report/failures.ts";
import { kubeletWarnings } from "../run/kubelet-records.ts";
import { lockIsHeld } from "../state/lock.ts";
import { isAlive, readStatus, type Status } from "../state/status.ts";
import { chosen } from "./chosen.ts";
import { answeringSoon, look, type Connect } from "./look.ts";

interface Row extends NameRow {
  readonly source: string;
  readonly required: boolean;
}

export async function statusCommand(
  args: RunArguments,
  edge: Edge,
  connect: Connect = realContainerd,
): Promise<number> {
  const { config } = await chosen(args, edge);
  const now = await look(answeringSoon(config), edge, connect, {
    only: new Set(),
    readArchives: false,
    deep: args.deep,
  }).catch((error: unknown) => {
    if (error instanceof ExitError) return error;
    throw error;
  });
  const rows =
    now instanceof ExitError
      ? []
      : [...now.archives.flatMap(rowOf), ...now.plan.images.flatMap((planned) => rowsOf(planned, now.node))];
  // After the look, which takes a while: a run may end meanwhile.
  const seen = observe(edge);
  const lines = [...runLines(seen, edge.stdout.columns), ...namesTable(rows)].map(printableLine);
  edge.stdout.write(
    args.json
      ? `${JSON.stringify({ run: seen.run?.json ?? null, now: rows }, null, 2)}\n`
      : `${lines.join("\n")}\n`,
  );
  if (now instanceof ExitError) throw now;
  const wanted = now.plan.images.map(({ image }) => image);
  const { root_dir: root } = config.kubelet;
  for (const warning of await kubeletWarnings(root, wanted, now.node, new Date())) warnOn(edge)(warning);
  return rows.every((row) => row.present || !row.required) ? EXIT.ok : EXIT.imageFailed;
}

/** A row for an archive that a run would import or fail to import. The images of other archives have their own rows. */
const rowOf = ({ archive: { path, required }, action, why }: PlannedArchive): Row[] =>
  action === "keep" || action === "none"
    ? []
    : [{ name: path, source: path, required, present: false, pinned: false, problem: why }];

/**
 * A name is present if it refers to the source's image and that is usable. Another image does not count. Digest forms
 * are omitted, except those that a run would create.
 */
const rowsOf = ({ image, judgement, names }: PlannedImage, node: Node): Row[] => {
  const toMake = names.filter(({ action }) => action !== "keep").map(({ name }) => name);
  return [...new Set([...namesOf(image), ...toMake])].map((name) => {
    const found = judge(node, name);
    const elsewhere = names.some((other) => other.name === name && other.action !== "keep");
    return {
      name,
      source: image.source.name,
      required: image.required,
      present: judgement.is === "usable" && found.is === "usable" && !elsewhere,
      pinned: node.cri.get(name)?.some(({ pinned }) => pinned) ?? false,
      ...(found.is === "usable" ? { id: found.id } : {}),
      ...(found.is === "usable" || found.is === "absent" ? {} : { problem: problemOf(found) }),
    };
  });
};

/** As wide as `table`, if there is no terminal. */
const WIDTH = 100;
/** Maximum number of bars. Images that wait for a registry have one too, and that may be all of them. */
const MOST_BARS = 50;

const iso = (ms: number): string => new Date(ms).toISOString();

interface Observed {
  readonly run: Status | undefined;
  /** Whether a run is in progress, not necessarily the recorded one. */
  readonly locked: boolean;
  /** Whether the recorded run is in progress. */
  readonly isRecorded: boolean;
}

/** Reads the record and the lock as of one moment: starts over if a run began or ended in between. */
function observe(edge: Edge): Observed {
  const directory = edge.paths.state;
  const before = lockIsHeld(directory);
  const run = readStatus(directory, warnOn(edge));
  const isRecorded = before && run !== undefined && isAlive(run);
  return lockIsHeld(directory) === before ? { run, locked: before, isRecorded } : observe(edge);
}

/** Shows a run in progress as on its own terminal, and an ended run with its failures, as it reported them. */
function runLines({ run, locked, isRecorded }: Observed, columns = WIDTH): string[] {
  if (run !== undefined && isRecorded) return progressLines(run, columns);
  const other = locked
    ? ["a run is in progress, but has not recorded anything: it has just started, or has --only"]
    : [];
  if (run === undefined) return [...other, "no run has been recorded here yet", ""];
  const { images, phase, startedAt } = run;
  if (run.phase === "ended") {
    const failed = lacking(images);
    const how =
      run.exitCode === 0 && failed.length === 0 ? "succeeded" : `ended with exit code ${run.exitCode}`;
    const why = run.stopped === undefined ? "" : ` (${run.stopped})`;
    return [...other, `last run: ${how} at ${iso(run.endedAt)}${why}`, "", ...failureLines(failed)];
  }
  const killed = `last run: started at ${iso(startedAt)} and was killed in "${phase}"; run again to finish it`;
  // The line above covers the unfinished images, so only failed ones follow.
  return [...other, killed, "", ...failureLines(images.filter((image) => image.phase === "failed"))];
}

function progressLines(run: Status, columns: number): string[] {
  const { images, phase, pid, startedAt } = run;
  const where = "why" in run ? `${phase}: ${run.why}` : phase;
  const done = `${images.length - totals(images).unfinished} of ${counted(images.length, "image")} done`;
  const bars = barLines({ view: run, at: Date.now() }, { columns, rows: MOST_BARS });
  return [`run in progress since ${iso(startedAt)} (pid ${pid}, ${where}): ${done}`, ...bars, ""];
}
