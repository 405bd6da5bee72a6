// Tables for people, at most 100 columns wide if the names allow it.

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  readonly align?: "right";
}

/** @returns the lines of a table, none without rows. Columns that are empty in every row are omitted. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string[] {
  const padded = columns.flatMap(({ title, cell, align }) => {
    const cells = rows.map(cell);
    if (cells.every((text) => text === "")) return [];
    const width = Math.max(...[title, ...cells].map((text) => text.length));
    return [[title, ...cells].map((text) => (align === "right" ? text.padStart(width) : text.padEnd(width)))];
  });
  const [titles = []] = padded;
  return titles.map((_, line) =>
    padded
      .map((column) => column[line])
      .join("  ")
      .trimEnd(),
  );
}

/** The first 12 digits, enough to distinguish images. */
export const shortDigest = (digest: string | undefined): string =>
  digest?.replace(/^sha\d+:/u, "").slice(0, 12) ?? "";

/** Shortens a digest in a name, so that the name fits into a table. */
export const shortName = (name: string): string =>
  name.replace(/(?<head>@sha\d+:[a-f0-9]{12})[a-f0-9]+$/u, "$<head>…");
