import { expect, test } from "vitest";
import { namesTable, type NameRow } from "../../../src/report/names-table.ts";
import { digestOf } from "../samples.ts";

const there = (name: string): NameRow => ({ name, present: true, id: digestOf("a"), pinned: true });
const missing = (name: string): NameRow => ({ name, present: false, pinned: false });

test("what is missing comes first, and a last line counts", () => {
  const other = { name: "a.b/moved:1", present: false, id: digestOf("b"), pinned: false };
  expect(namesTable([there("a.b/ok:1"), missing("a.b/gone:1"), other])).toEqual([
    "PRESENT      PINNED  ID            NAME",
    "no           no                    a.b/gone:1",
    "other image  no      bbbbbbbbbbbb  a.b/moved:1",
    "yes          yes     aaaaaaaaaaaa  a.b/ok:1",
    "3 names: 1 present, 2 missing, 1 pinned",
  ]);
});

const named = (count: number, row: (name: string) => NameRow): NameRow[] =>
  Array.from({ length: count }, (_, n) => row(`a.b/image-${n}:1`));

test("of a thousand names only those that are missing have a row", () => {
  expect(namesTable([...named(997, there), ...named(3, missing)])).toEqual([
    "PRESENT  PINNED  NAME",
    ...named(3, missing).map(({ name }) => `no       no      ${name}`),
    "… and 997 more, all present (--json lists all)",
    "1000 names: 997 present, 3 missing, 997 pinned",
  ]);
});

test("a thousand missing names are not all told", () => {
  const lines = namesTable(named(1_000, missing));
  expect(lines).toHaveLength(103);
  expect(lines.at(-2)).toBe("… and 900 more (--json lists all)");
});

test("nothing is told of no names", () => {
  expect(namesTable([])).toEqual([]);
});
