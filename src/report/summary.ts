// What a person reads at the end of a run: failures first, then what is in place, then one line that says it all.
import { printableLine } from "../core/plain-text.ts";
import { isInPlace, lasted, totals, type ImageInPlace, type EndedRun } from "../core/run-state.ts";
import { counted, formatBytes, formatDuration } from "../core/units.ts";
import { failureLines, lacking, moreLine } from "./failures.ts";
import { shortDigest, shortName, table, type Column } from "./table.ts";

/** Of images in place: nobody reads a thousand. */
const MOST_LINES = 100;

/** An image, or a further name of the one above it. */
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
  [...failureLines(lacking(state.images)), ...placedLines(state), resultLine(state)]
    .map(printableLine)
    .join("\n");

/** Each image in its row; of a list too long to be read through only what this run changed. */
function placedLines({ images }: EndedRun): string[] {
  const placed = images.filter(isInPlace);
  const unchanged = placed.filter(({ phase }) => phase === "present");
  const changed = placed.filter(({ phase }) => phase !== "present");
  const all = [...changed, ...unchanged].map(rowsOf);
  let room = MOST_LINES;
  const shown =
    all.flat().length <= room ? all : changed.map(rowsOf).filter((rows) => (room -= rows.length) >= 0);
  return [...table(COLUMNS, shown.flat()), ...moreLine(all.length - shown.length, "in place")];
}

const rowsOf = (image: ImageInPlace): Row[] => [
  image,
  ...image.names.slice(1).map((name) => ({ name: `= ${name}` })),
];

function resultLine({ images, unpinned, startedAt, endedAt, concurrency }: EndedRun): string {
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
  const pulls = pulled > 1 ? `, ${concurrency} at once` : "";
  return `${counted(images.length, "image")}: ${parts.join(", ")} in ${formatDuration(endedAt - startedAt)}${pulls}`;
}
