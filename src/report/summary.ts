// What a person reads at the end of a run: failures first, then what is in place, then one line with the totals.
import { printableLine } from "../core/plain-text.ts";
import { isInPlace, lasted, totals, type ImageInPlace, type EndedRun } from "../core/run-state.ts";
import { counted, formatBytes, formatDuration } from "../core/units.ts";
import { failureLines, lacking, moreLine } from "./failures.ts";
import { shortDigest, shortName, table, type Column } from "./table.ts";

/** Images in place that are listed. */
const MOST_IMAGES = 100;

/** An image, or a further name of the image in the row above. */
type Row = Partial<ImageInPlace>;

const COLUMNS: readonly Column<Row>[] = [
  { title: "RESULT", cell: ({ phase = "" }) => phase },
  { title: "DIGEST", cell: ({ id, digest = id }) => shortDigest(digest) },
  { title: "PINNED", cell: ({ pinned }) => (pinned === undefined ? "" : pinned ? "yes" : "no") },
  { title: "SIZE", cell: ({ size }) => (size === undefined ? "" : formatBytes(size)), align: "right" },
  { title: "TIME", cell: took, align: "right" },
  { title: "IMAGE", cell: ({ name = "" }) => shortName(name) },
];

function took(image: Row): string {
  const ms = lasted(image);
  return ms === undefined ? "" : formatDuration(ms);
}

/** Several lines for stdout. */
export const summary = (state: EndedRun): string =>
  [...failureLines(lacking(state.images)), ...inPlaceLines(state), resultLine(state)]
    .map(printableLine)
    .join("\n");

/** Each image with its names. If there are too many to read, only those that this run changed. */
function inPlaceLines({ images }: EndedRun): string[] {
  const inPlace = images.filter(isInPlace);
  const unchanged = inPlace.filter(({ phase }) => phase === "present");
  const changed = inPlace.filter(({ phase }) => phase !== "present");
  const shown = inPlace.length <= MOST_IMAGES ? [...changed, ...unchanged] : changed.slice(0, MOST_IMAGES);
  return [...table(COLUMNS, shown.flatMap(rowsOf)), ...moreLine(inPlace.length - shown.length, "in place")];
}

const rowsOf = (image: ImageInPlace): Row[] => [
  image,
  ...image.names.slice(1).map((name) => ({ name: `= ${name}` })),
];

function resultLine({ images, unpinned, startedAt, endedAt }: EndedRun): string {
  const { pulled, imported, present, kept, failed, unverified, unfinished } = totals(images);
  const always = { pulled, present };
  const counts = {
    pulled,
    imported,
    present,
    kept,
    failed,
    "not verified": unverified,
    "not finished": unfinished,
    unpinned: unpinned.length,
  };
  const parts = Object.entries(counts)
    .filter(([word, number]) => number > 0 || word in always)
    .map(([word, number]) => `${number} ${word}`);
  return `${counted(images.length, "image")}: ${parts.join(", ")} in ${formatDuration(endedAt - startedAt)}`;
}
