// Every problem of a configuration where it stands: config.json, or this job's properties in what is given to BOSH.
import { findProperties, isForBosh, warningsFor, type Found } from "./check-bosh.ts";
import { decodeConfig } from "./decode.ts";
import type { Issue, PathKey } from "./issue.ts";
import { UNKNOWN_PROPERTY } from "./schema.ts";
import { excerpts } from "./source-excerpt.ts";
import { isCertain, standIn } from "./source-variables.ts";
import { offsetOf, ofWhole, parseSource, placeOf, type Spot, type Written } from "./source.ts";
import { isMapping, parseJson } from "./value.ts";

/** Something to tell, with its place in the text. Holds no secret. */
export interface Finding {
  readonly line: number;
  readonly column: number;
  /** Of the property, as elsewhere: `images[3].retagAs`. */
  readonly path: string;
  readonly problem: string;
  /** The line and a mark below it. */
  readonly excerpt: readonly string[];
}

export interface Checked {
  readonly problems: readonly Finding[];
  readonly warnings: readonly Finding[];
  /** How often the job was found, and how many images it has together; undefined where a variable has them. */
  readonly jobs: number;
  readonly images: number | undefined;
}

export function checkText(text: string): Checked {
  const isJson = parseJson(text) !== undefined;
  const read = parseSource(text, isJson ? "1.2" : "1.1", isJson);
  const forBosh = read.documents.some(({ value }) => isForBosh(value));
  const source = isJson || forBosh ? read : parseSource(text, "1.2", false);
  const examined = source.documents.map((document, index) => examine(document, forBosh && index > 0));
  const found = examined.flatMap((document) => document.found);
  const problems = examined.flatMap((document) => document.problems);
  const none = problems.length + found.length > 0 ? [] : [ofWhole(0, forBosh ? NO_JOB : "is empty")];
  const excerpt = excerpts(source);
  const placed = (spots: readonly Spot[]): Finding[] =>
    spots
      .toSorted((a, b) => a.offset - b.offset)
      .map(({ offset, ...told }) => ({ ...placeOf(source, offset), ...told, excerpt: excerpt(offset) }));
  return {
    problems: placed([...problems, ...none]),
    warnings: placed(examined.flatMap(({ warnings }) => warnings)),
    jobs: found.length,
    images: countImages(found),
  };
}

const NO_JOB = "has no job import-images with properties (in addons[].jobs[] or instance_groups[].jobs[])";

const LATER = "is a further document: BOSH reads only the first one of a file";

/** @param isLater BOSH, which the file is for, does not read this document */
function examine(document: Written, isLater: boolean) {
  const { parsed, value } = document;
  // Emptiness is told of the whole text, if at all: a file may begin with `---` and comments.
  const found = value === undefined ? [] : findProperties(value);
  const judged = found.map((properties) => judge(document, properties));
  return {
    found,
    problems: [...document.problems, ...judged.flatMap(({ problems }) => problems)],
    warnings: [
      ...(isLater && found.length > 0 ? [ofWhole(parsed.range[0], LATER)] : []),
      ...warningsFor(value).map((issue) => spotOf(document, issue, issue.keys)),
      ...judged.flatMap(({ warnings }) => warnings),
    ],
  };
}

function judge(document: Written, { value, keys, part }: Found) {
  const stoodIn = standIn(value);
  const { issues, warnings } = decodeConfig(stoodIn.value);
  const spots = (all: readonly Issue[]): Spot[] =>
    all
      .filter((issue) => isCertain(issue, stoodIn) && part.every((key, index) => issue.keys[index] === key))
      .map((issue) => spotOf(document, issue, [...keys, ...issue.keys.slice(part.length)]));
  return { problems: spots(issues), warnings: spots(warnings) };
}

/** @param keys from the document's root */
const spotOf = (document: Written, { path, problem }: Issue, keys: readonly PathKey[]): Spot => ({
  offset: offsetOf(document, keys, problem.startsWith(UNKNOWN_PROPERTY)),
  path,
  problem,
});

function countImages(found: readonly Found[]): number | undefined {
  const lists = found.map(({ value }) => (isMapping(value) ? value["images"] : undefined));
  if (!lists.every((list) => Array.isArray(list))) return undefined;
  return lists.reduce((sum, list) => sum + list.length, 0);
}
