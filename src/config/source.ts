// A configuration as it was written: YAML or JSON with the place of everything in it. The parser's messages may quote the
// text, so only words of our own go out.
import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseAllDocuments, parseDocument } from "yaml";
import type { Document, YAMLError } from "yaml";
import { WHOLE, type PathKey } from "./issue.ts";

/** Something at an offset of the text. */
export interface Spot {
  readonly offset: number;
  readonly path: string;
  readonly problem: string;
}

/** One document of a text. */
export interface Written {
  readonly parsed: Document.Parsed;
  /** What is wrong with it as YAML. */
  readonly problems: readonly Spot[];
  /** As JSON would hold it; null if it is empty or cannot be read. */
  readonly value: unknown;
}

export interface Source {
  readonly documents: readonly [Written, ...Written[]];
  /** Line and column of an offset, both from 1. */
  readonly placeOf: (offset: number) => { readonly line: number; readonly column: number };
}

/**
 * YAML is read as version 1.1, as BOSH does: `no` is false, and 1.20 is the number 1.2.
 * @param isJson the text is known to be JSON, in which a key given twice is all that can be wrong
 */
export function parseSource(text: string, isJson: boolean): Source {
  const lines = new LineCounter();
  const version = isJson ? "1.2" : "1.1";
  const options = { version, lineCounter: lines, prettyErrors: false, logLevel: "silent" } as const;
  // There is none in a text that is empty, or only a comment.
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

/** A login by alias for each of many images is no attack. */
const MOST_ALIASES = 10_000;
const ALIAS = "has an alias without an anchor before it, one that contains itself, or too many of them";

const isDuplicate = ({ code }: YAMLError): boolean => code === "DUPLICATE_KEY";

/**
 * Of broken syntax only the first place is told, as the further ones follow from it; keys that are given twice are all
 * told, and leave the rest readable.
 */
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
 * The offset of what `keys` lead to: a value, or its key where there is no value or the key is what is wrong. What
 * is not written is placed at what should contain it.
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
  // The last one counts, as in the value that the document is turned into.
  const own = node.items.findLast((pair) => String(isScalar(pair.key) ? pair.key.value : pair.key) === key);
  if (own !== undefined) return own;
  return node.items
    .filter((pair) => isScalar(pair.key) && pair.key.source === "<<")
    .flatMap((pair) => (isSeq(pair.value) ? pair.value.items : [pair.value]))
    .map((merged) => stepTo(key, merged, parsed))
    .find((step) => step !== undefined);
}

const startOf = (node: unknown): number | undefined => (isNode(node) ? node.range?.[0] : undefined);

/** An empty value has a range too, but at a place where nothing is to be seen. */
const valueStart = (node: unknown): number | undefined =>
  isScalar(node) && node.value === null && node.source === "" ? undefined : startOf(node);
