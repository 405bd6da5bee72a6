// Which columns fit on a terminal, and the lines that they make.

/** In the order in which they stand, with the characters that each takes. */
const WIDTHS = { bar: 12, percent: 4, bytes: 13, layers: 12, rate: 8, left: 11, attempt: 10 };
type Column = keyof typeof WIDTHS;
/** What is given up last stands first. */
const BY_WORTH: readonly Column[] = ["percent", "bar", "left", "bytes", "rate", "layers", "attempt"];
const GAP = 1;
const WIDEST_BAR = 32;

/** What a line shows beside its name. */
export interface Cells extends Partial<Record<Exclude<Column, "bar" | "percent">, string>> {
  /** From 0 to 1; shown as a bar and in percent. */
  readonly share?: number;
}

/** @param names the first that fits is shown. @param cells or words in their place */
export type Line = (names: readonly string[], cells?: Cells | string) => string;

/**
 * @param width of every line
 * @param longest length of the longest name
 */
export function columnsFor(width: number, longest: number): Line {
  const leastName = Math.min(Math.max(Math.floor(width * 0.3), 8), width);
  let left = width - leastName;
  const chosen = new Set<string>();
  for (const column of BY_WORTH) {
    if (WIDTHS[column] + GAP > left) continue;
    chosen.add(column);
    left -= WIDTHS[column] + GAP;
  }
  const nameWidth = Math.min(leastName + left, Math.max(longest, leastName));
  const barWidth = Math.min(WIDTHS.bar + leastName + left - nameWidth, WIDEST_BAR);
  const columns = Object.entries({ ...WIDTHS, bar: barWidth }).filter(([column]) => chosen.has(column));
  const row = ({ share, ...cells }: Cells): string => {
    const done =
      share === undefined ? {} : { bar: bar(share, barWidth), percent: `${Math.floor(share * 100)}%` };
    const texts: Partial<Record<string, string>> = { ...cells, ...done };
    return columns.map(([column, room]) => shorten(texts[column] ?? "", room).padStart(room)).join(" ");
  };
  return (names, cells) => {
    const room = cells === undefined ? width : nameWidth;
    const name = names.find((text) => text.length <= room) ?? keepEnd(names.at(-1) ?? "", room);
    const beside = typeof cells === "object" ? row(cells) : (cells ?? "");
    return shorten(`${name.padEnd(nameWidth)} ${beside}`.trimEnd(), width);
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
