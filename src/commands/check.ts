// `check FILE`: every problem of a configuration with its line and column, without a container runtime.
import { checkText, type Checked, type Finding } from "../config/check.ts";
import { firstOf } from "../config/issue.ts";
import { readText, textOf } from "../config/load.ts";
import { counted } from "../core/units.ts";
import type { Edge } from "../edge.ts";
import { EXIT } from "../exit.ts";

export interface CheckArguments {
  /** A path, or `-` for the standard input. */
  readonly file: string;
  readonly json: boolean;
}

/** @param input the standard input. @throws ExitError (usage) when the file cannot be read */
export async function checkCommand(
  { file, json }: CheckArguments,
  edge: Pick<Edge, "stdout" | "stderr">,
  input: () => AsyncIterable<Uint8Array>,
): Promise<number> {
  const fromInput = file === "-";
  const name = fromInput ? "stdin" : file;
  const checked = checkText(fromInput ? await textOf(name, input()) : await readText(file));
  edge.stderr.write(toLines(name, checked.warnings, "warning: "));
  edge.stdout.write(json ? toJson(name, checked.problems) : report(name, checked));
  return checked.problems.length === 0 ? EXIT.ok : EXIT.usage;
}

const toLines = (name: string, findings: readonly Finding[], kind = ""): string =>
  firstOf(
    findings.map(
      ({ line, column, path, problem, excerpt }) =>
        `${name}:${line}:${column}: ${kind}${path}: ${problem}\n${excerpt.join("\n")}`,
    ),
  )
    .map((text) => `${text}\n`)
    .join("");

const toJson = (file: string, problems: readonly Finding[]): string =>
  `${JSON.stringify(
    problems.map((finding) => ({ file, ...finding, excerpt: undefined })),
    null,
    2,
  )}\n`;

function report(name: string, { problems, jobs, images }: Checked): string {
  if (problems.length > 0)
    return `${toLines(name, problems)}${name}: ${counted(problems.length, "problem")}\n`;
  const list = images === undefined ? "images known only to BOSH" : counted(images, "image");
  const where = jobs === 1 ? "" : ` in ${jobs} jobs import-images`;
  return `${name}: no problem found (${list}${where})\n`;
}
