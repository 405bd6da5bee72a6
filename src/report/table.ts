// Tables for people, at most 100 columns wide where the names allow it.

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  readonly align?: "right";
}

/** Lines of a table; columns that are empty in every row are left out. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string[] {
  const used = columns
    .map((column) => ({ ...column, cells: rows.map(column.cell) }))
    .filter(({ cells }) => cells.some((cell) => cell !== ""));
  const widths = used.map(({ title, cells }) => Math.max(title.length, ...cells.map((cell) => cell.length)));
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, index) => {
        const width = widths[index] ?? 0;
        return used[index]?.align === "right" ? text.padStart(width) : text.padEnd(width);
      })
      .join("  ")
      .trimEnd();
  return [
    line(used.map(({ title }) => title)),
    ...rows.map((_, row) => line(used.map(({ cells }) => cells[row] ?? ""))),
  ];
}
