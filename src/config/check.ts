// Every problem of a configuration where it stands: config.json, or this job's properties in what is given to BOSH.
import { findProperties, isForBosh, isMapping, type Found } from "./check-jobs.ts";
import { warningsFor } from "./check-warnings.ts";
import { decodeConfig } from "./decode.ts";
import { formatPath, type Issue } from "./issue.ts";
import { UNKNOWN_PROPERTY } from "./schema.ts";
import { excerpts } from "./source-excerpt.ts";
import { isCertain, isVariable, standIn } from "./source-variables.ts";
import { aliasSpots, offsetOf, parseSource, syntaxSpots, toValue, type Source, type Spot } from "./source.ts";

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

interface PathSpot extends Spot {
  readonly path: string;
}

type Document = Source["documents"][number];

/** What one document shows. */
interface Examined {
  readonly problems: readonly PathSpot[];
  readonly warnings: readonly PathSpot[];
  readonly found: readonly Found[];
  readonly forBosh: boolean;
  readonly broken: boolean;
}

const WHOLE = formatPath([]);
const whole = (spot: Spot): PathSpot => ({ ...spot, path: WHOLE });

export function checkText(text: string): Checked {
  const isJson = parsesAsJson(text);
  let source = parseSource(text, isJson ? "1.2" : "1.1");
  let examined = source.documents.map((document) => examine(document, text, isJson));
  if (!isJson && !examined.some(({ forBosh }) => forBosh)) {
    source = parseSource(text, "1.2");
    examined = source.documents.map((document) => examine(document, text, isJson));
  }
  const place = placer(source, !examined.some(({ broken }) => broken));
  const sorted = (spots: readonly PathSpot[]): Finding[] =>
    spots.toSorted((a, b) => a.offset - b.offset).map(place);
  const found = examined.flatMap((document) => document.found);
  return {
    problems: sorted([...examined.flatMap(({ problems }) => problems), ...overall(source, examined)]),
    warnings: sorted([...examined.flatMap(({ warnings }) => warnings), ...laterDocuments(source, examined)]),
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

function examine(document: Document, text: string, isJson: boolean): Examined {
  const { broken, duplicates } = syntaxSpots(document, text, isJson);
  const aliases = broken.length === 0 ? aliasSpots(document) : [];
  const unreadable = [...broken, ...aliases];
  const nothing = { warnings: [], found: [], forBosh: false, broken: broken.length > 0 };
  if (unreadable.length > 0) return { ...nothing, problems: [...unreadable, ...duplicates].map(whole) };
  const converted = toValue(document);
  if (converted === undefined)
    return { ...nothing, problems: [whole({ offset: 0, problem: "has an alias that is used too often" })] };
  const { value } = converted;
  // Emptiness is told of the whole text, if at all: a file may begin with `---` and comments.
  if (value === null || value === undefined) return { ...nothing, problems: [] };
  const found = findProperties(value);
  const judged = found.map((properties) => judge(document, properties));
  const warnings = warningsFor(value).map(({ keys, problem }) => ({
    offset: offsetOf(document, keys, false),
    path: formatPath(keys),
    problem,
  }));
  return {
    ...nothing,
    problems: [...duplicates.map(whole), ...judged.flatMap(({ problems }) => problems)],
    warnings: [...warnings, ...judged.flatMap((properties) => properties.warnings)],
    found,
    forBosh: isForBosh(value),
  };
}

function judge(document: Document, { value, keys, part }: Found): Pick<Examined, "problems" | "warnings"> {
  if (typeof value === "string" && isVariable(value)) return { problems: [], warnings: [] };
  const stoodIn = standIn(value);
  const decoded = decodeConfig(stoodIn.value);
  const spots = (issues: readonly Issue[]): PathSpot[] =>
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

/** What is wrong with the text as a whole. */
function overall({ documents }: Source, examined: readonly Examined[]): PathSpot[] {
  if (examined.some(({ problems, broken }) => broken || problems.length > 0)) return [];
  if (examined.every(({ found, forBosh }) => found.length === 0 && !forBosh))
    return [whole({ offset: 0, problem: "is empty" })];
  if (examined.some(({ forBosh }) => forBosh)) {
    const problem =
      "has no job import-images with properties (in addons[].jobs[] or instance_groups[].jobs[])";
    return examined.some(({ found }) => found.length > 0) ? [] : [whole({ offset: 0, problem })];
  }
  const second = documents[1]?.range[0];
  const problem = "is a second document: a configuration has only one";
  return second === undefined ? [] : [whole({ offset: second, problem })];
}

/** BOSH takes the first document of a file and says nothing about the others. */
function laterDocuments({ documents }: Source, examined: readonly Examined[]): PathSpot[] {
  if (!examined.some(({ forBosh }) => forBosh)) return [];
  return documents
    .slice(1)
    .filter((_, index) => examined[index + 1]?.found.length !== 0)
    .map((document) =>
      whole({
        offset: document.range[0],
        problem: "is a further document: BOSH reads only the first one of a file",
      }),
    );
}

function countImages(found: readonly Found[]): number | undefined {
  const lists = found.map(({ value }) => (isMapping(value) ? value["images"] : undefined));
  if (!lists.every((list) => Array.isArray(list))) return undefined;
  return lists.reduce((sum, list) => sum + list.length, 0);
}

function placer(source: Source, trusted: boolean): (spot: PathSpot) => Finding {
  const excerpt = excerpts(source, trusted);
  return ({ offset, path, problem }) => {
    const { line, col } = source.lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1), path, problem, excerpt: excerpt(offset) };
  };
}
