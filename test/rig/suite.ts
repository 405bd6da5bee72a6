import process from "node:process";
import { describe, test } from "vitest";
import {
  type ContainerdLine,
  containerdLines,
  type CrictlVersion,
  missingTools,
  type Tool,
  usualLines,
} from "./tools.ts";

/** The lines to test: all of them, or those in IMPORT_IMAGES_LINES (comma separated). */
const lines: readonly ContainerdLine[] = selectedLines(process.env["IMPORT_IMAGES_LINES"]);

export interface EachLineOptions {
  tools?: readonly Tool[];
  /** Fewer lines, for what does not depend on the line: the oldest and the newest ways of a thing are enough. */
  among?: readonly ContainerdLine[];
  crictl?: CrictlVersion;
}

/** One `describe` for each usual containerd line; a line that cannot run here is skipped with its reasons on stderr. */
export function describeEachLine(
  name: string,
  body: (line: ContainerdLine) => void,
  { tools, crictl, among = usualLines }: EachLineOptions = {},
): void {
  for (const line of lines.filter((known) => among.includes(known)))
    describeReal(`${name} (containerd ${line})`, line, () => body(line), tools, crictl);
}

/** The same on all lines: for suites of what differs between 2.3 and 2. */
export const describeEveryLine = (name: string, body: (line: ContainerdLine) => void): void =>
  describeEachLine(name, body, { among: containerdLines });

/** A `describe` on one containerd line. On CI the real parts have to be there: what is missing fails the run. */
export function describeReal(
  name: string,
  line: ContainerdLine,
  body: () => void,
  tools?: readonly Tool[],
  crictl?: CrictlVersion,
): void {
  const reasons = missingTools(line, tools, crictl);
  if (reasons.length === 0) return void describe(name, body);
  const explanation = `${name}: ${reasons.join("; ")}`;
  if (process.env["CI"] === "true") {
    test(name, () => {
      throw new Error(`cannot run on CI: ${explanation}`);
    });
    return;
  }
  process.stderr.write(`SKIPPED ${explanation}\n`);
  describe.skip(name, body);
}

function selectedLines(selection: string | undefined): readonly ContainerdLine[] {
  if (selection === undefined || selection === "") return containerdLines;
  return selection.split(",").map((wanted) => {
    const line = containerdLines.find((known) => known === wanted.trim());
    if (line === undefined) {
      throw new Error(`IMPORT_IMAGES_LINES: no containerd line "${wanted}" (${containerdLines.join(", ")})`);
    }
    return line;
  });
}
