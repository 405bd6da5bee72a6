// Usage: npm run sizes
// How large src is: lines of each folder, without generated code, and how long its functions are.
import { glob, readFile } from "node:fs/promises";
import { parseSync, Visitor } from "oxc-parser";

interface Span {
  readonly start: number;
  readonly end: number;
}

interface Measured {
  readonly file: string;
  readonly lines: number;
  /** Lines of each function. */
  readonly functions: readonly number[];
}

async function measure(file: string): Promise<Measured> {
  const source = await readFile(file, "utf8");
  const functions: number[] = [];
  const add = ({ start, end }: Span): void => {
    functions.push(source.slice(start, end).split("\n").length);
  };
  const { program } = parseSync(file, source);
  new Visitor({ FunctionDeclaration: add, FunctionExpression: add, ArrowFunctionExpression: add }).visit(
    program,
  );
  return { file, lines: source.split("\n").length - 1, functions };
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

const files = (await Array.fromAsync(glob("src/**/*.ts"))).filter((file) => !file.includes("/generated/"));
const measured = await Promise.all(files.toSorted().map(measure));
const rowOf = (folder: string, within: readonly Measured[]) => {
  const functions = within.flatMap((each) => each.functions);
  const long = functions.filter((lines) => lines > 1);
  return {
    folder,
    files: within.length,
    lines: within.reduce((sum, { lines }) => sum + lines, 0),
    functions: functions.length,
    median: median(functions),
    "median of those with several lines": median(long),
    longest: Math.max(0, ...functions),
  };
};
const folders = Map.groupBy(measured, ({ file }) => file.split("/").slice(0, -1).join("/"));
console.table([...[...folders].map(([folder, within]) => rowOf(folder, within)), rowOf("all", measured)]);
