// What a person reads at the end of a run: failures first, then what is in place, then one line that says it all.
import type { ImageState, RunState, Totals } from "../core/run-state.ts";
import { IN_PLACE, totals } from "../core/run-state.ts";
import { formatBytes, formatDuration } from "../core/units.ts";
import { table, type Column } from "./table.ts";

/** Rows of images that are in place; BOSH keeps an errand's output in memory and refuses more than 1 MiB. */
const MOST_ROWS = 100;

/** Failures that are told in full: with their reasons and next steps a thousand would fill half a megabyte. */
const MOST_FAILURES = 50;

/** The first digits, enough to tell images apart. */
export const shortDigest = (digest: string | undefined): string =>
  digest?.replace(/^sha\d+:/u, "").slice(0, 12) ?? "";

/** A name that fits a table: nobody reads 64 digits. */
export const shortName = (name: string): string =>
  name.replace(/(?<head>@sha\d+:[a-f0-9]{12})[a-f0-9]+$/u, "$<head>…");

const took = ({ startedAt, endedAt }: ImageState): string =>
  startedAt === undefined || endedAt === undefined ? "" : formatDuration(endedAt - startedAt);

const COLUMNS: readonly Column<ImageState>[] = [
  { title: "RESULT", cell: (image) => image.phase },
  { title: "DIGEST", cell: (image) => shortDigest(image.digest ?? image.id) },
  { title: "PINNED", cell: ({ pinned }) => (pinned === undefined ? "" : pinned ? "yes" : "no") },
  { title: "SIZE", cell: ({ size }) => (size === undefined ? "" : formatBytes(size)), align: "right" },
  { title: "TIME", cell: took, align: "right" },
  { title: "IMAGE", cell: ({ name }) => shortName(name) },
];

/** Several lines for stdout. */
export function summary(state: RunState): string {
  const images = [...state.images.values()];
  const failed = images.filter((image) => image.phase === "failed");
  const placed = images.filter(({ phase }) => IN_PLACE.has(phase));
  const shown = placed.toSorted((a, b) => interest(a) - interest(b)).slice(0, MOST_ROWS);
  const left = placed.length - shown.length;
  return [
    ...failed.slice(0, MOST_FAILURES).flatMap(failureLines),
    ...(failed.length <= MOST_FAILURES
      ? []
      : [`… and ${failed.length - MOST_FAILURES} more failed (import-images status --json lists all)`]),
    ...(shown.length === 0 ? [] : placedLines(shown)),
    ...(left === 0 ? [] : [`… and ${left} more in place (import-images status lists all)`]),
    resultLine(state, totals(images)),
  ].join("\n");
}

/** A row for each image, its further names below it. */
function placedLines(images: readonly ImageState[]): string[] {
  const [title = "", ...rows] = table(COLUMNS, images);
  const indent = " ".repeat(title.lastIndexOf("IMAGE"));
  const named = rows.flatMap((row, index) => [
    row,
    ...furtherNames(images[index]).map((name) => `${indent}= ${name}`),
  ]);
  return [title, ...named];
}

const furtherNames = (image: ImageState | undefined): readonly string[] =>
  image?.names.slice(1).map(shortName) ?? [];

/** What this run changed comes before what it found. */
const interest = ({ phase }: ImageState): number => (phase === "present" ? 1 : 0);

function failureLines({ name, required, attempts, failure }: ImageState): string[] {
  const tried = attempts === 1 ? "1 attempt" : `${attempts} attempts`;
  const where = failure === undefined ? "" : ` in ${failure.step}: ${failure.class}, after ${tried}`;
  return [
    `FAILED ${name}${where}${required ? "" : " (not required)"}`,
    `  why:  ${oneLine(failure?.message ?? "not finished")}`,
    `  next: ${failure?.next ?? "run again"}`,
  ];
}

function resultLine(state: RunState, count: Totals): string {
  const parts = [
    `${count.pulled} pulled`,
    ...(count.imported === 0 ? [] : [`${count.imported} imported`]),
    `${count.present} present`,
    ...(count.kept === 0 ? [] : [`${count.kept} kept`]),
    ...(count.failed === 0 ? [] : [`${count.failed} failed`]),
    ...(count.placed === 0 ? [] : [`${count.placed} not verified`]),
    ...(count.unfinished === 0 ? [] : [`${count.unfinished} not finished`]),
    ...(state.unpinned.length === 0 ? [] : [`${state.unpinned.length} unpinned`]),
  ];
  const time = formatDuration((state.endedAt ?? state.startedAt) - state.startedAt);
  return `${state.images.size} images: ${parts.join(", ")} in ${time}`;
}

/**
 * One line for the end of stderr, which in BOSH's post-start.stderr.log has to say everything: BOSH itself only tells
 * that a hook failed. Undefined when there is nothing to tell.
 */
export function reason(state: RunState): string | undefined {
  if (state.stopped !== undefined) return state.stopped;
  const failed = [...state.images.values()].filter(({ phase }) => phase === "failed");
  const [first] = failed.toSorted((a, b) => Number(b.required) - Number(a.required));
  if (first === undefined) return undefined;
  const others = failed
    .filter((image) => image !== first)
    .map(({ name, failure }) => `${name} (${failure?.class})`);
  const more = others.length === 0 ? "" : `; also failed: ${shortList(others)}`;
  return `${first.name} failed in ${first.failure?.step} (${first.failure?.class}): ${oneLine(first.failure?.message ?? "")} — next: ${first.failure?.next}${more}`;
}

const shortList = (items: readonly string[]): string =>
  items.length <= 10 ? items.join(", ") : `${items.slice(0, 10).join(", ")} and ${items.length - 10} more`;

export const oneLine = (text: string): string => text.replaceAll(/\s+/gu, " ").trim();
