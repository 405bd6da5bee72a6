// `check FILE`: reports every problem of a configuration with its line and column. Needs no container runtime.
import { checkText, findingLines, type Checked } from "../config/check.ts";
import { nameOf, readText } from "../config/load.ts";
import { counted } from "../core/units.ts";
import type { Edge } from "../edge.ts";
import { EXIT } from "../exit.ts";

export interface CheckArguments {
  /** A path, or `-` for standard input. */
  readonly file: string;
  readonly json: boolean;
}

/** @returns the exit code. @throws ExitError (usage) if the file cannot be read */
export async function checkCommand(
  { file, json }: CheckArguments,
  { stdin, stdout, stderr }: Pick<Edge, "stdin" | "stdout" | "stderr">,
): Promise<number> {
  const name = nameOf(file);
  const checked = checkText(await readText(file, stdin));
  stderr.write(lines(findingLines(name, checked.warnings, "warning: ")));
  stdout.write(json ? toJson(name, checked) : report(name, checked));
  return checked.problems.length === 0 ? EXIT.ok : EXIT.usage;
}

const lines = (all: readonly string[]): string => all.map((line) => `${line}\n`).join("");

const toJson = (file: string, { problems }: Checked): string =>
  `${JSON.stringify(
    problems.map((finding) => ({ file, ...finding })),
    null,
    2,
  )}\n`;

function report(name: string, { problems, jobs, images }: Checked): string {
  if (problems.length > 0)
    return lines([...findingLines(name, problems), `${name}: ${counted(problems.length, "problem")}`]);
  const list = images === undefined ? "images known only to BOSH" : counted(images, "image");
  const where = jobs === 1 ? "" : ` in ${jobs} jobs import-images`;
  return `${name}: no problem found (${list}${where})\n`;
}
