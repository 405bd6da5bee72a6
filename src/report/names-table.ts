// The names on the node now: a table, and one line that counts them.
import { counted } from "../core/units.ts";
import { shortDigest, shortName, table, type Column } from "./table.ts";

export interface NameRow {
  readonly name: string;
  /** Whether it refers to the right image. */
  readonly present: boolean;
  /** The ID of the image that it refers to. */
  readonly id?: string;
  readonly pinned: boolean;
  /** What is wrong with the image that it refers to. */
  readonly problem?: string;
}

/** Maximum number of rows. A longer list shows only the names that are not as they should be. */
const MOST_ROWS = 100;

const COLUMNS: readonly Column<NameRow>[] = [
  {
    title: "PRESENT",
    cell: ({ present, id, problem }) =>
      present ? "yes" : problem !== undefined ? "unusable" : id === undefined ? "no" : "other image",
  },
  { title: "PINNED", cell: ({ pinned }) => (pinned ? "yes" : "no") },
  { title: "ID", cell: ({ id }) => shortDigest(id) },
  { title: "PROBLEM", cell: ({ problem = "" }) => problem },
  { title: "NAME", cell: ({ name }) => shortName(name) },
];

/** @returns nothing without rows: containerd could not be asked, and a count of 0 would look like its answer */
export function namesTable(rows: readonly NameRow[]): string[] {
  if (rows.length === 0) return [];
  const missing = rows.filter(({ present }) => !present);
  const others = rows.length > MOST_ROWS ? [] : rows.filter(({ present }) => present);
  const shown = [...missing.slice(0, MOST_ROWS), ...others];
  const left = rows.length - shown.length;
  const what = shown.length < missing.length ? "" : ", all present";
  const pinned = rows.filter((row) => row.pinned).length;
  return [
    ...table(COLUMNS, shown),
    ...(left === 0 ? [] : [`… and ${left} more${what} (--json lists all)`]),
    `${counted(rows.length, "name")}: ${rows.length - missing.length} present, ${missing.length} missing, ${pinned} pinned`,
  ];
}
