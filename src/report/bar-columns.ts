// Which columns fit on a terminal, and the lines that they make.

/** What a line may show beside its name. */
export interface Cells {
  /** From 0 to 1; shown as a bar and in percent. */
  readonly share?: number;
  readonly bytes?: string;
  readonly layers?: string;
  readonly rate?: string;
  readonly left?: string;
  readonly attempt?: string;
}

type ColumnName = "bar" | "percent" | "bytes" | "layers" | "rate" | "left" | "attempt";

interface Column {
  readonly name: ColumnName;
  readonly width: number;
  readonly cell: (cells: Cells, width: number) => string;
}

/** In the order in which they stand. */
const COLUMNS: readonly Column[] = [
  { name: "bar", width: 12, cell: ({ share }, width) => (share === undefined ? "" : bar(share, width)) },
  {
    name: "percent",
    width: 4,
    cell: ({ share }) => (share === undefined ? "" : `${Math.floor(share * 100)}%`),
  },
  { name: "bytes", width: 13, cell: ({ bytes = "" }) => bytes },
  { name: "layers", width: 12, cell: ({ layers = "" }) => layers },
  { name: "rate", width: 8, cell: ({ rate = "" }) => rate },
  { name: "left", width: 11, cell: ({ left = "" }) => left },
  { name: "attempt", width: 10, cell: ({ attempt = "" }) => attempt },
];

/** What is given up last stands first. */
const WORTH: readonly ColumnName[] = ["percent", "bar", "left", "bytes", "rate", "layers", "attempt"];
const BY_WORTH = COLUMNS.toSorted((a, b) => WORTH.indexOf(a.name) - WORTH.indexOf(b.name));
const GAP = 1;
const WIDEST_BAR = 32;

export interface Layout {
  readonly line: (name: string, cells: Cells | string) => string;
  /** The fullest of the texts that fits, in place of the name. */
  readonly totalLine: (texts: readonly string[], cells: Cells | string) => string;
  readonly text: (text: string) => string;
}

/**
 * @param width of every line
 * @param longest length of the longest name
 */
export function columnsFor(width: number, longest: number): Layout {
  const leastName = Math.min(Math.max(Math.floor(width * 0.3), 8), width);
  const chosen = new Map<ColumnName, number>();
  let left = width - leastName;
  for (const column of BY_WORTH) {
    if (column.width + GAP > left) continue;
    chosen.set(column.name, column.width);
    left -= column.width + GAP;
  }
  const nameWidth = Math.min(leastName + left, Math.max(longest, leastName));
  const barWidth = chosen.get("bar");
  if (barWidth !== undefined)
    chosen.set("bar", Math.min(barWidth + leastName + left - nameWidth, WIDEST_BAR));
  return layout(width, nameWidth, chosen);
}

function layout(width: number, nameWidth: number, chosen: ReadonlyMap<ColumnName, number>): Layout {
  const row = (cells: Cells): string =>
    COLUMNS.flatMap(({ name, cell }) => {
      const room = chosen.get(name);
      return room === undefined ? [] : [shorten(cell(cells, room), room).padStart(room)];
    }).join(" ");
  const line = (name: string, cells: Cells | string): string => {
    const beside = typeof cells === "string" ? cells : row(cells);
    return shorten(`${keepEnd(name, nameWidth).padEnd(nameWidth)} ${beside}`, width).trimEnd();
  };
  return {
    line,
    text: (text) => shorten(text, width),
    totalLine: (texts, cells) => {
      const room = cells === "" ? width : nameWidth;
      const fitting = texts.find((text) => text.length <= room) ?? texts.at(-1) ?? "";
      return cells === "" ? shorten(fitting, width) : line(fitting, cells);
    },
  };
}

function bar(share: number, width: number): string {
  const inside = width - 2;
  const done = Math.floor(share * inside);
  return `[${"=".repeat(done)}${done < inside ? ">" : ""}`.padEnd(width - 1) + "]";
}

const shorten = (text: string, width: number): string =>
  text.length <= width ? text : `${text.slice(0, Math.max(width - 1, 0))}…`;

/** Names of images differ at their end. */
const keepEnd = (text: string, width: number): string =>
  text.length <= width ? text : `…${text.slice(text.length - Math.max(width - 1, 0))}`;
