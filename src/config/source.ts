// Parses YAML or JSON with the position of everything. Reports problems in our words: the parser's may quote the text.
import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseAllDocuments, parseDocument } from "yaml";
import type { Document, YAMLError } from "yaml";
import { WHOLE, type PathKey } from "./issue.ts";

/** A problem at an offset of the text. */
export interface Spot {
  readonly offset: number;
  readonly path: string;
  readonly problem: string;
}

export interface Written {
  readonly parsed: Document.Parsed;
  /** YAML syntax problems. */
  readonly problems: readonly Spot[];
  /** The value as JSON would hold it; null if the document is empty or cannot be read. */
  readonly value: unknown;
}

export interface Source {
  readonly documents: readonly [Written, ...Written[]];
  /** Line and column of an offset, both from 1. */
  readonly placeOf: (offset: number) => { readonly line: number; readonly column: number };
}

/**
 * Reads YAML as version 1.1, as BOSH does: `no` is false, and 1.20 is the number 1.2.
 * @param isJson the text is known to be JSON, so that its only possible problem is a duplicate key
 */
export function parseSource(text: string, isJson: boolean): Source {
  const lines = new LineCounter();
  const version = isJson ? "1.2" : "1.1";
  const options = { version, lineCounter: lines, prettyErrors: false, logLevel: "silent" } as const;
  // Text that is empty, or only a comment, has no document.
  const [first = parseDocument(""), ...later] = parseAllDocuments(text, options);
  return {
    documents: [written(first, text, isJson), ...later.map((parsed) => written(parsed, text, isJson))],
    placeOf: (offset) => {
      const { line, col } = lines.linePos(offset);
      return { line: Math.max(line, 1), column: Math.max(col, 1) };
    },
  };
}

export const ofWhole = (offset: number, problem: string): Spot => ({ offset, path: WHOLE, problem });

/** Allows each of many images a login by alias. Only more than that is treated as an attack. */
const MOST_ALIASES = 10_000;
const ALIAS = "has an alias without an anchor before it, one that contains itself, or too many of them";

const isDuplicate = ({ code }: YAMLError): boolean => code === "DUPLICATE_KEY";

/** Reports the first syntax error only, as others follow from it, but all duplicate keys: the rest remains readable. */
function written(parsed: Document.Parsed, text: string, isJson: boolean): Written {
  const duplicates = parsed.errors.filter(isDuplicate).map((error) => syntaxSpot(error, text));
  const broken = isJson ? undefined : parsed.errors.find((error) => !isDuplicate(error));
  if (broken !== undefined)
    return { parsed, problems: [syntaxSpot(broken, text), ...duplicates], value: null };
  try {
    const value: unknown = JSON.parse(JSON.stringify(parsed.toJS({ maxAliasCount: MOST_ALIASES }) ?? null));
    return { parsed, problems: duplicates, value };
  } catch {
    return { parsed, problems: [ofWhole(parsed.range[0], ALIAS), ...duplicates], value: null };
  }
}

const SYNTAX: Readonly<Record<string, string>> = {
  BAD_INDENT: "the indentation is wrong",
  BAD_SCALAR_START: "a value that begins with @ or ` must be quoted",
  BLOCK_AS_IMPLICIT_KEY: "a nested block stands where a simple value should (check the indentation above)",
  DUPLICATE_KEY: "a property is given twice",
  MISSING_CHAR: "a closing bracket, quote or comma is missing",
  RESOURCE_EXHAUSTION: "it is nested too deeply",
  TAB_AS_INDENT: "tabs cannot be used for indentation",
  UNEXPECTED_TOKEN: "there is something that does not belong here",
};

function syntaxSpot({ code, pos }: YAMLError, text: string): Spot {
  const end = text.trimEnd().length;
  const what = pos[0] >= end ? "the text ends too early" : (SYNTAX[code] ?? `the syntax is wrong (${code})`);
  return ofWhole(Math.min(pos[0], end), `is not valid JSON or YAML: ${what}`);
}

/**
 * The offset of the value at `keys`, or of its key if the value is empty or the key is the problem. Without either, the
 * offset of what should contain it.
 */
export function offsetOf({ parsed }: Written, keys: readonly PathKey[], atKey: boolean): number {
  let node: unknown = parsed.contents;
  let offset = startOf(node) ?? 0;
  for (const key of keys) {
    const step = stepTo(key, node, parsed);
    if (step === undefined) return offset;
    const value = atKey ? undefined : valueStart(step.value);
    offset = value ?? startOf(step.key) ?? offset;
    node = step.value;
  }
  return offset;
}

interface Step {
  readonly key: unknown;
  readonly value: unknown;
}

function stepTo(key: PathKey, from: unknown, parsed: Document.Parsed): Step | undefined {
  const node = isAlias(from) ? from.resolve(parsed) : from;
  if (isSeq(node)) {
    const item: unknown = node.items[Number(key)];
    return { key: item, value: item };
  }
  if (!isMap(node)) return undefined;
  // The last duplicate counts, as in the converted value.
  const own = node.items.findLast((pair) => String(isScalar(pair.key) ? pair.key.value : pair.key) === key);
  if (own !== undefined) return own;
  return node.items
    .filter((pair) => isScalar(pair.key) && pair.key.source === "<<")
    .flatMap((pair) => (isSeq(pair.value) ? pair.value.items : [pair.value]))
    .map((merged) => stepTo(key, merged, parsed))
    .find((step) => step !== undefined);
}

const startOf = (node: unknown): number | undefined => (isNode(node) ? node.range?.[0] : undefined);

/** Undefined for an empty value: it has a range, but nothing is visible there. */
const valueStart = (node: unknown): number | undefined =>
  isScalar(node) && node.value === null && node.source === "" ? undefined : startOf(node);
