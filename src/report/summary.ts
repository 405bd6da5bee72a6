// What a person reads at the end of a run: failures first, then what is in place, then one line that says it all.
import { printable } from "../core/plain-text.ts";
import type { ImageState, Phase, RunState, Totals } from "../core/run-state.ts";
import { IN_PLACE, totals } from "../core/run-state.ts";
import { counted, formatBytes, formatDuration } from "../core/units.ts";
import { table, type Column } from "./table.ts";

/**
 * Lines for images in place, and failures that are told with their reasons. BOSH keeps an errand's output in memory and
 * refuses more than 1 MiB; and nobody finds three failures among a thousand rows.
 */
const MOST_LINES = 100;
const MOST_FAILURES = 30;
/** Names of one kind of failure in the line that says it all. */
const MOST_NAMES = 5;

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
  const { images } = state;
  return [
    ...failureLines(lacking(images)),
    ...placedLines(images.filter(({ phase }) => IN_PLACE.has(phase))),
    resultLine(state, totals(images)),
  ]
    .map(printableLine)
    .join("\n");
}

export type FailedImage = Pick<ImageState, "name" | "required" | "phase" | "attempts" | "failure">;

/** The images of a run that is over that failed, or were left before they were done. */
export const lacking = <Image extends FailedImage>(images: readonly Image[]): Image[] =>
  images.filter(({ phase }) => !IN_PLACE.has(phase));

/** Required images first, and together what has the same next step, so that it is said once. */
const byNextStep = (
  failed: readonly FailedImage[],
): readonly (readonly [string, readonly FailedImage[]])[] => [
  ...Map.groupBy(
    failed.toSorted((a, b) => Number(b.required) - Number(a.required)),
    ({ failure }) => failure?.next ?? "run again",
  ),
];

/** A blank line after each group. When not all can be told, each kind of failure gets its share: the rare one may be the one that matters. */
export function failureLines(failed: readonly FailedImage[]): string[] {
  const groups = byNextStep(failed);
  const most = failed.length <= MOST_FAILURES ? MOST_FAILURES : Math.ceil(MOST_FAILURES / groups.length);
  return groups.flatMap(([next, images]) => [
    ...images.slice(0, most).flatMap(failureOf),
    ...moreFailed(images.slice(most)),
    `  next${images.length === 1 ? "" : `, for these ${images.length}`}: ${next}`,
    "",
  ]);
}

function failureOf(image: FailedImage): string[] {
  const { name, required, attempts, failure, phase } = image;
  const optional = required ? "" : " (not required)";
  return [
    phase === "failed" && failure !== undefined
      ? `FAILED ${name} in ${failure.step}: ${failure.class}, after ${counted(attempts, "attempt")}${optional}`
      : `NOT FINISHED ${name}${optional}`,
    `  why:  ${whyOf(image)}`,
  ];
}

/** What an image lacks that was left in this phase. */
const LEFT: Partial<Record<Phase, string>> = {
  waiting: "not started",
  pulling: "the pull did not finish",
  retrying: "waiting for its next attempt",
  finishing: "pulled, but not named and pinned",
  placed: "named and pinned, but not verified",
};

/** Without what the name before it has told. */
function whyOf({ name, phase, failure }: FailedImage): string {
  const said = failure === undefined ? "" : oneLine(failure.message);
  const why = said.replace(`failed to resolve reference "${name}": `, "");
  if (phase === "failed" && failure !== undefined) return why;
  const left = LEFT[phase] ?? "not finished";
  return failure === undefined ? left : `${left}; last failure: ${failure.class}: ${why}`;
}

/** What they have in common is their kind and next step, not their reason. */
const moreFailed = (images: readonly FailedImage[]): string[] => {
  const byKind = Map.groupBy(images, ({ phase, failure }) =>
    phase === "failed" && failure !== undefined ? `failed: ${failure.class}` : "not finished",
  );
  return [...byKind].flatMap(([kind, alike]) => moreLine(alike.length, kind));
};

const moreLine = (count: number, what: string): string[] =>
  count <= 0 ? [] : [`… and ${count} more ${what} (import-images status --json lists all)`];

/** Each image in its row; of a list too long to be read through only what this run changed. */
function placedLines(placed: readonly ImageState[]): string[] {
  const changed = placed.filter(({ phase }) => phase !== "present");
  const unchanged = placed.filter(({ phase }) => phase === "present");
  const all = [...changed, ...unchanged];
  const shown = lineCount(all) <= MOST_LINES ? all : withinLines(changed);
  return [...(shown.length === 0 ? [] : rows(shown)), ...moreLine(all.length - shown.length, "in place")];
}

const lineCount = (images: readonly ImageState[]): number =>
  images.reduce((sum, { names }) => sum + names.length, 0);

function withinLines(images: readonly ImageState[]): ImageState[] {
  let lines = 0;
  return images.filter(({ names }) => (lines += names.length) <= MOST_LINES);
}

/** A row for each image, its further names below it. */
function rows(images: readonly ImageState[]): string[] {
  const [title = "", ...cells] = table(COLUMNS, images);
  const indent = " ".repeat(title.lastIndexOf("IMAGE"));
  const named = cells.flatMap((row, index) => [
    row,
    ...furtherNames(images[index]).map((name) => `${indent}= ${name}`),
  ]);
  return [title, ...named];
}

const furtherNames = (image: ImageState | undefined): readonly string[] =>
  image?.names.slice(1).map(shortName) ?? [];

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
  const pulls = count.pulled > 1 ? `, ${state.concurrency} at once` : "";
  return `${counted(state.images.length, "image")}: ${parts.join(", ")} in ${time}${pulls}`;
}

/**
 * One line for the end of stderr, which in BOSH's post-start.stderr.log has to say everything: BOSH itself only tells
 * that a hook failed. Undefined when there is nothing to tell, which is never so for an exit code other than 0.
 */
export function reason(state: RunState): string | undefined {
  const said = state.stopped ?? failuresInOneLine(state) ?? unexplained(state);
  return said === undefined ? undefined : printable(oneLine(said));
}

const unexplained = ({ exitCode = 0 }: RunState): string | undefined =>
  exitCode === 0
    ? undefined
    : `ended with exit code ${exitCode}; read import-images.log to see what happened`;

function failuresInOneLine({ images }: RunState): string | undefined {
  const failed = lacking(images);
  const groups = byNextStep(failed);
  const first = groups[0]?.[1][0];
  if (first === undefined) return undefined;
  const kinds = groups.map(([next, alike]) => `${kindsOf(alike, first)} — next: ${next}`);
  const count = failed.length === 1 ? "" : `${failed.length} of ${counted(images.length, "image")} failed: `;
  return `${count}${kinds.join("; ")}`;
}

/** Only the first failure of all has its reason here, with all that failed for it; the others have theirs in the summary. */
function kindsOf(images: readonly FailedImage[], first: FailedImage): string {
  const inFull = (image: FailedImage): string => `${kindOf(image)}: ${whyOf(image)}`;
  const told = inFull(first);
  const byKind = Map.groupBy(images, (image) => (inFull(image) === told ? told : kindOf(image)));
  return [...byKind].map(([kind, alike]) => `${namesIn(alike)} ${kind}`).join(", and ");
}

const kindOf = ({ phase, failure }: FailedImage): string =>
  phase === "failed" && failure !== undefined
    ? `failed in ${failure.step} (${failure.class})`
    : "was not finished";

const namesIn = (images: readonly FailedImage[]): string => shortList(images.map(({ name }) => name));

/** The first of them, and how many more there are. */
export const shortList = (names: readonly string[]): string =>
  names.length <= MOST_NAMES
    ? names.join(", ")
    : `${names.slice(0, MOST_NAMES).join(", ")} and ${names.length - MOST_NAMES} more`;

export const oneLine = (text: string): string => text.replaceAll(/\s+/gu, " ").trim();

/** With the blanks at its beginning. */
export const printableLine = (line: string): string => line.replace(/[^ ][^]*/u, printable);
