// Every problem of a configuration where it stands: config.json, or this job's properties in what is given to BOSH.
import { findProperties, isForBosh, warningsFor, type Found } from "./check-bosh.ts";
import { decodeConfig } from "./decode.ts";
import { isMapping, type Issue } from "./issue.ts";
import { UNKNOWN_PROPERTY } from "./schema.ts";
import { excerpts } from "./source-excerpt.ts";
import { isCertain, isVariable, standIn } from "./source-variables.ts";
import {
  offsetOf,
  ofWhole,
  parseSource,
  placeOf,
  SECOND_DOCUMENT,
  type Source,
  type Spot,
  type Written,
} from "./source.ts";

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

/** What one document shows. */
interface Examined {
  readonly problems: readonly Spot[];
  readonly warnings: readonly Spot[];
  readonly found: readonly Found[];
}

export function checkText(text: string): Checked {
  const isJson = parsesAsJson(text);
  const read = parseSource(text, isJson ? "1.2" : "1.1", isJson);
  const forBosh = read.documents.some(({ value }) => isForBosh(value));
  const source = isJson || forBosh ? read : parseSource(text, "1.2", false);
  const examined = source.documents.map(examine);
  const found = examined.flatMap((document) => document.found);
  const problems = examined.flatMap((document) => document.problems);
  const warnings = examined.flatMap((document) => document.warnings);
  const excerpt = excerpts(source);
  const placed = (spots: readonly Spot[]): Finding[] =>
    spots
      .toSorted((a, b) => a.offset - b.offset)
      .map(({ offset, path, problem }) => ({
        ...placeOf(source, offset),
        path,
        problem,
        excerpt: excerpt(offset),
      }));
  return {
    problems: placed(problems.length > 0 ? problems : ofText(source, found, forBosh)),
    warnings: placed([...warnings, ...(forBosh ? laterDocuments(source, examined) : [])]),
    jobs: found.length,
    images: countImages(found),
  };
}

function parsesAsJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function examine(document: Written): Examined {
  const { problems, value } = document;
  // Emptiness is told of the whole text, if at all: a file may begin with `---` and comments.
  if (value === undefined) return { problems, warnings: [], found: [] };
  const found = findProperties(value);
  const judged = found.map((properties) => judge(document, properties));
  const ofBosh = warningsFor(value).map(({ keys, path, problem }): Spot => ({
    offset: offsetOf(document, keys, false),
    path,
    problem,
  }));
  return {
    problems: [...problems, ...judged.flatMap((properties) => properties.problems)],
    warnings: [...ofBosh, ...judged.flatMap(({ warnings }) => warnings)],
    found,
  };
}

function judge(document: Written, { value, keys, part }: Found): Omit<Examined, "found"> {
  if (typeof value === "string" && isVariable(value)) return { problems: [], warnings: [] };
  const stoodIn = standIn(value);
  const decoded = decodeConfig(stoodIn.value);
  const spots = (issues: readonly Issue[]): Spot[] =>
    issues
      .filter((issue) => isCertain(issue, stoodIn) && part.every((key, index) => issue.keys[index] === key))
      .map(({ keys: below, path, problem }) => {
        const at = [...keys, ...below.slice(part.length)];
        return { offset: offsetOf(document, at, problem.startsWith(UNKNOWN_PROPERTY)), path, problem };
      });
  return decoded.ok
    ? { problems: [], warnings: spots(decoded.warnings) }
    : { problems: spots(decoded.issues), warnings: [] };
}

/** What is wrong with a text whose documents are right by themselves. */
function ofText({ documents }: Source, found: readonly Found[], forBosh: boolean): Spot[] {
  if (found.length === 0)
    return [
      forBosh
        ? ofWhole(
            0,
            "has no job import-images with properties (in addons[].jobs[] or instance_groups[].jobs[])",
          )
        : ofWhole(0, "is empty"),
    ];
  const second = forBosh ? undefined : documents[1];
  return second === undefined ? [] : [ofWhole(second.parsed.range[0], SECOND_DOCUMENT)];
}

/** BOSH takes the first document of a file and says nothing about the others. */
const laterDocuments = ({ documents }: Source, examined: readonly Examined[]): Spot[] =>
  documents
    .slice(1)
    .filter((_, index) => examined[index + 1]?.found.length !== 0)
    .map(({ parsed }) =>
      ofWhole(parsed.range[0], "is a further document: BOSH reads only the first one of a file"),
    );

function countImages(found: readonly Found[]): number | undefined {
  const lists = found.map(({ value }) => (isMapping(value) ? value["images"] : undefined));
  if (!lists.every((list) => Array.isArray(list))) return undefined;
  return lists.reduce((sum, list) => sum + list.length, 0);
}
