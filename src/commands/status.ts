// `status`: the run that goes on or went before, and what is true on the node now.
import { existsSync } from "node:fs";
import { loadConfig } from "../config/load.ts";
import { namesOf, type NodeState, type WantedImage } from "../core/plan.ts";
import type { Edge } from "../edge.ts";
import { EXIT, ExitError } from "../exit.ts";
import { barLines } from "../report/bars.ts";
import { namesTable, type NameRow } from "../report/names-table.ts";
import { readStatus, type EarlierStatus } from "../report/status-file.ts";
import { failedFromJson, viewFromJson } from "../report/status-view.ts";
import { failureLines } from "../report/summary.ts";
import { noRates } from "../report/transfer-rate.ts";
import { look } from "./look.ts";
import type { RunArguments } from "./run.ts";

interface Row extends NameRow {
  readonly source: string;
  readonly required: boolean;
}

export async function statusCommand(args: RunArguments, edge: Edge): Promise<number> {
  const config = await loadConfig(args.config ?? edge.paths.config);
  const earlier = await readStatus(edge.paths.state);
  // Whoever asks for the status wants an answer now, not after the runtime's patience.
  const impatient = { ...config, containerd: { ...config.containerd, readyTimeout: 5_000 } };
  const now = await look(impatient, edge.signal).catch((error: unknown) => {
    if (error instanceof ExitError) return error;
    throw error;
  });
  const rows = now instanceof ExitError ? [] : config.images.flatMap((image) => rowsOf(image, now.node));
  edge.stdout.write(args.json ? json(earlier, rows) : `${text(earlier, rows, edge.stdout.columns)}\n`);
  if (now instanceof ExitError) throw now;
  return rows.every((row) => row.present || !row.required) ? EXIT.ok : EXIT.imageFailed;
}

/** A name counts as present when it is the source's image, not merely some image. */
function rowsOf(image: WantedImage, node: NodeState): Row[] {
  const source = node.byName.get(image.source.name);
  return namesOf(image).map((name) => {
    const found = node.byName.get(name);
    return {
      name,
      source: image.source.name,
      required: image.required,
      present: found !== undefined && found.id === source?.id,
      pinned: found?.pinned ?? false,
      ...(found === undefined ? {} : { id: found.id }),
    };
  });
}

const json = (earlier: EarlierStatus | undefined, now: readonly Row[]): string =>
  `${JSON.stringify({ run: earlier?.status ?? null, now }, null, 2)}\n`;

const text = (
  earlier: EarlierStatus | undefined,
  rows: readonly Row[],
  columns: number | undefined,
): string => [lastRun(earlier), ...detailsOf(earlier, columns), ...namesTable(rows)].join("\n");

/** Ends with a blank line. What failed is told as the run itself told it: whoever comes later has only this. */
function detailsOf(earlier: EarlierStatus | undefined, columns: number | undefined): string[] {
  if (earlier === undefined) return [""];
  if (isGoingOn(earlier)) return [...bars(earlier.status, columns), ""];
  return ["", ...failureLines(failedFromJson(earlier.status))];
}

/** As wide as `table` is where there is no terminal. */
const WIDTH = 100;
/** Images in work, with those that wait for a registry to come back: that may be all of them. */
const MOST_BARS = 50;

/** What the run's own terminal would show. */
function bars(status: unknown, columns = WIDTH): string[] {
  const view = viewFromJson(status);
  if (view === undefined) return [];
  return barLines(view, { columns, rows: MOST_BARS, now: Date.now(), rates: noRates });
}

const isGoingOn = ({ status }: EarlierStatus): boolean =>
  status.phase !== "ended" && existsSync(`/proc/${status.pid}`);

function lastRun(earlier: EarlierStatus | undefined): string {
  if (earlier === undefined) return "no run has left its state here yet";
  const { status } = earlier;
  const done = status.images.length - status.totals.unfinished;
  if (status.phase === "ended") {
    const how = status.exitCode === 0 ? "well" : `with exit code ${status.exitCode}`;
    return `last run: ended ${how} at ${status.endedAt}${status.stopped === undefined ? "" : ` (${status.stopped})`}`;
  }
  return isGoingOn(earlier)
    ? `a run goes on since ${status.startedAt} (pid ${status.pid}, ${status.phase}): ${done} of ${status.images.length} images done`
    : `last run: began at ${status.startedAt} and was killed in "${status.phase}"; run again to finish it`;
}
