// Reports every problem of config.json, or of this job's properties in a BOSH document, with its position.
import { findProperties, isForBosh, warningsFor, type Found } from "./check-bosh.ts";
import type { Config } from "./config.ts";
import { decodeConfig } from "./decode.ts";
import { firstOf, type Issue, type PathKey } from "./issue.ts";
import { UNKNOWN_PROPERTY } from "./schema.ts";
import { isCertain, openVariables, standIn } from "./source-variables.ts";
import { offsetOf, ofWhole, parseSource, type Spot, type Written } from "./source.ts";
import { isMapping, parseJson } from "./value.ts";

/** A problem or warning with its position in the text. Contains no secret. */
export interface Finding {
  readonly line: number;
  readonly column: number;
  /** Path of the property, such as `images[3].retagAs`. */
  readonly path: string;
  readonly problem: string;
}

export interface Checked {
  readonly problems: readonly Finding[];
  readonly warnings: readonly Finding[];
  /** `jobs`: occurrences of the job. `images`: number of their images; undefined if a variable holds a list. */
  readonly jobs: number;
  readonly images: number | undefined;
  /** One for each job without a problem. */
  readonly configs: readonly Config[];
}

/** `none`: BOSH rendered the text, so it has none. `open`: `((variables))` are allowed. `filled`: each is a problem. */
type Variables = "none" | "open" | "filled";

export function checkText(text: string, variables: "open" | "filled" = "open"): Checked {
  const isJson = parseJson(text) !== undefined;
  const { documents, placeOf } = parseSource(text, isJson);
  const [document, ...later] = documents;
  const { value } = document;
  const forBosh = isForBosh(value);
  const found = value === null ? [] : findProperties(value);
  const mode = isJson && !forBosh ? "none" : variables;
  const judged = found.map((one) => judge(document, one, mode));
  const problems = [...documents.flatMap((one) => one.problems), ...judged.flatMap((one) => one.problems)];
  const whole = later.filter((one) => one.value !== null).map((one) => ofWhole(one.parsed.range[0], LATER));
  const none = problems.length + found.length > 0 ? [] : [ofWhole(0, forBosh ? NO_JOB : "is empty")];
  const odd = warningsFor(value).map((issue) => spotOf(document, issue));
  const placed = (spots: readonly Spot[]): Finding[] =>
    spots
      .toSorted((a, b) => a.offset - b.offset)
      .map(({ offset, ...finding }) => ({ ...placeOf(offset), ...finding }));
  return {
    problems: placed([...problems, ...whole, ...none]),
    warnings: placed([...odd, ...judged.flatMap((one) => one.warnings)]),
    jobs: found.length,
    images: countImages(found),
    configs: judged.flatMap(({ config }) => config ?? []),
  };
}

const NO_JOB = "has no job import-images (in addons[].jobs[] or instance_groups[].jobs[])";
const LATER = "is a further document: BOSH reads only the first one of a file";

function judge(document: Written, { value, keys }: Found, variables: Variables) {
  const stoodIn = variables === "none" ? { value, places: [] } : standIn(value);
  const decoded = decodeConfig(stoodIn.value);
  const spots = (all: readonly Issue[]): Spot[] =>
    all.filter((issue) => isCertain(issue, stoodIn)).map((issue) => spotOf(document, issue, keys));
  const open =
    variables === "filled" ? openVariables(stoodIn).map((issue) => spotOf(document, issue, keys)) : [];
  return {
    problems: [...open, ...spots(decoded.issues)],
    warnings: spots(decoded.warnings),
    config: decoded.ok ? decoded.config : undefined,
  };
}

/** @param root path from the document's root to where the issue's keys start */
const spotOf = (document: Written, { path, problem, keys }: Issue, root: readonly PathKey[] = []): Spot => ({
  offset: offsetOf(document, [...root, ...keys], problem === UNKNOWN_PROPERTY),
  path,
  problem,
});

function countImages(found: readonly Found[]): number | undefined {
  const lists = found.map(({ value }) => (isMapping(value) ? value["images"] : undefined));
  if (!lists.every((list) => Array.isArray(list))) return undefined;
  return lists.reduce((sum, list) => sum + list.length, 0);
}

/** One line per finding, in the format of compilers. @param name of the file */
export const findingLines = (name: string, findings: readonly Finding[], kind = ""): string[] =>
  firstOf(
    findings.map(
      ({ line, column, path, problem }) => `${name}:${line}:${column}: ${kind}${path}: ${problem}`,
    ),
  );
