import { expect, test } from "vitest";
import { table, type Column } from "../../../src/report/table.ts";

interface Row {
  readonly name: string;
  readonly size: string;
  readonly note?: string;
}
const COLUMNS: readonly Column<Row>[] = [
  { title: "NOTE", cell: (row) => row.note ?? "" },
  { title: "SIZE", cell: (row) => row.size, align: "right" },
  { title: "NAME", cell: (row) => row.name },
];

test("columns are as wide as their longest cell, and end without blanks", () => {
  const rows = [
    { name: "a", size: "1.00kB", note: "x" },
    { name: "longer", size: "5B" },
  ];
  expect(table(COLUMNS, rows)).toEqual(["NOTE    SIZE  NAME", "x     1.00kB  a", "          5B  longer"]);
});

test("a column that is empty in every row is left out", () => {
  expect(table(COLUMNS, [{ name: "a", size: "5B" }])).toEqual(["SIZE  NAME", "  5B  a"]);
});

test("no rows have no titles", () => {
  expect(table(COLUMNS, [])).toEqual([]);
});
