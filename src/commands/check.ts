// `check FILE`: every problem of a configuration with its line and column, without a container runtime.
import { checkText, type Checked, type Finding } from "../config/check.ts";
import { firstOf } from "../config/issue.ts";
import { readText } from "../config/load.ts";
import type { Edge } from "../edge.ts";
import { EXIT } from "../exit.ts";

export interface CheckArguments {
  /** A path, or `-` for the standard input. */
  readonly file: string;
  readonly json: boolean;
}

/** @param readInput gives the standard input. @throws ExitError (usage) when the file cannot be read */
export async function checkCommand(
  { file, json }: CheckArguments,
  edge: Pick<Edge, "stdout" | "stderr">,
  readInput: () => Promise<string>,
): Promise<number> {
  const fromInput = file === "-";
  const name = fromInput ? "stdin" : file;
  const checked = checkText(fromInput ? await readInput() : await readText(file));
  edge.stderr.write(toLines(name, checked.warnings, "warning: "));
  edge.stdout.write(json ? toJson(name, checked) : report(name, checked));
  return checked.problems.length === 0 ? EXIT.ok : EXIT.usage;
}

const toLines = (name: string, findings: readonly Finding[], kind = ""): string =>
  firstOf(findings.map((finding) => toText(name, finding, kind)))
    .map((text) => `${text}\n`)
    .join("");

const toText = (name: string, { line, column, path, problem, excerpt }: Finding, kind: string): string =>
  `${name}:${line}:${column}: ${kind}${path}: ${problem}\n${excerpt.join("\n")}`;

const toJson = (file: string, { problems }: Checked): string =>
  `${JSON.stringify(
    problems.map((finding) => withPlace(file, finding)),
    null,
    2,
  )}\n`;

const withPlace = (file: string, { line, column, path, problem }: Finding) => ({
  file,
  line,
  column,
  path,
  problem,
});

function report(name: string, checked: Checked): string {
  const { problems } = checked;
  if (problems.length === 0) return `${name}: no problem found (${found(checked)})\n`;
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  return `${toLines(name, problems)}${name}: ${count}\n`;
}

function found({ jobs, images }: Checked): string {
  const list =
    images === undefined ? "images known only to BOSH" : images === 1 ? "1 image" : `${images} images`;
  return jobs === 1 ? list : `${list} in ${jobs} jobs import-images`;
}
