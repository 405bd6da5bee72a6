// A configuration as it was written: YAML with the place of everything in it. The parser's messages may quote the text,
// so only words of our own go out.
import {
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseAllDocuments,
  visit,
  type Alias,
  type Document,
  type Node,
  type YAMLError,
} from "yaml";
import { EXIT, ExitError } from "../exit.ts";
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
  /** What each alias stands for, found in one walk: yaml's own `resolve` walks the document each time. */
  readonly targets: ReadonlyMap<Alias, Node>;
  /** What is wrong with it as YAML. */
  readonly problems: readonly Spot[];
  readonly isBroken: boolean;
  /** Undefined if it cannot be read, or is empty. */
  readonly value: unknown;
}

export interface Source {
  readonly text: string;
  readonly documents: readonly Written[];
  readonly lines: LineCounter;
}

/**
 * @param version BOSH reads YAML 1.1, where `no` is false, 1.20 is 1.2 and 1:30 is 90, and of several documents the first;
 * the agent reads 1.2
 * @param isJson the text is known to be JSON, in which a key given twice is all that can be wrong
 */
export function parseSource(text: string, version: "1.1" | "1.2", isJson: boolean): Source {
  const deep = text.matchAll(OPENED).find(isTooDeep)?.index;
  // With the first of them, which makes a document.
  if (deep !== undefined) return tooDeep(parseSource(text.slice(0, deep + 1), version, false), deep);
  const lines = new LineCounter();
  const options = { version, lineCounter: lines, prettyErrors: false, logLevel: "silent" } as const;
  const documents = [...parseAllDocuments(text, options)].map((parsed, index) => {
    const document = written(parsed, text, isJson);
    if (index === 0 || version === "1.1") return document;
    const second = ofWhole(parsed.range[0], "is a second document: a configuration has only one");
    return { ...document, problems: [second, ...document.problems] };
  });
  return { text, documents, lines };
}

/** Brackets, one in another. For some hundred thousand of them the parser would need more memory than there is. */
const OPENED = /(?:[[{]\s*){1,1000}/gu;
const isTooDeep = ([opened]: RegExpExecArray): boolean => opened.replaceAll(/\s/gu, "").length === 1_000;

const tooDeep = (source: Source, offset: number): Source => ({
  ...source,
  documents: source.documents.slice(0, 1).map((document) => ({
    ...document,
    problems: [ofWhole(offset, "is not valid JSON or YAML: brackets are nested too deeply")],
  })),
});

/** Line and column of an offset, both from 1. */
export function placeOf({ lines }: Source, offset: number) {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}

/** The value of a text in YAML. @throws ExitError (usage) */
export function parseYaml(path: string, text: string): unknown {
  const source = parseSource(text, "1.2", false);
  const [problem] = source.documents.flatMap(({ problems }) => problems);
  if (problem === undefined) return source.documents[0]?.value;
  const { line, column } = placeOf(source, problem.offset);
  throw new ExitError(EXIT.usage, `${path}:${line}:${column}: ${problem.problem}`);
}

export const ofWhole = (offset: number, problem: string): Spot => ({ offset, path: WHOLE, problem });

/** Beyond any real list, and far below what an alias bomb needs. */
const MOST_ALIASES = 10_000;

const isDuplicate = ({ code }: YAMLError): boolean => code === "DUPLICATE_KEY";

/**
 * Of broken syntax only the first place is told, as the further ones follow from it; keys that are given twice are all
 * told, and leave the rest readable.
 */
function written(parsed: Document.Parsed, text: string, isJson: boolean): Written {
  const duplicates = parsed.errors.filter(isDuplicate).map((error) => syntaxSpot(error, text));
  const others = isJson ? [] : parsed.errors.filter((error) => !isDuplicate(error));
  const broken = others.slice(0, 1).map((error) => syntaxSpot(error, text));
  const { targets, spots } = broken.length > 0 ? { targets: new Map(), spots: broken } : aliasesOf(parsed);
  const document = { parsed, targets, isBroken: broken.length > 0 };
  const problems = [...spots, ...duplicates];
  if (spots.length > 0) return { ...document, problems, value: undefined };
  try {
    return { ...document, problems, value: parsed.toJS({ maxAliasCount: MOST_ALIASES }) ?? undefined };
  } catch {
    return { ...document, problems: [ofWhole(0, "has an alias that is used too often")], value: undefined };
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

/** Aliases, and those that stand for nothing, or for something that contains them: the latter would never end. */
function aliasesOf(parsed: Document.Parsed) {
  const anchors = new Map<string, Node>();
  const targets = new Map<Alias, Node>();
  const spots: Spot[] = [];
  visit(parsed, {
    Node: (_key, node, path) => {
      if (!isAlias(node)) {
        if (node.anchor !== undefined) anchors.set(node.anchor, node);
        return;
      }
      const target = anchors.get(node.source);
      const offset = startOf(node) ?? 0;
      if (target === undefined) spots.push(ofWhole(offset, "is an alias without an anchor before it"));
      else if (path.includes(target)) spots.push(ofWhole(offset, "is an alias that contains itself"));
      else targets.set(node, target);
    },
  });
  return { targets, spots };
}

/**
 * The offset of what `keys` lead to: a value, or its key where there is no value or the key is what is wrong. What
 * is not written is placed at what should contain it.
 */
export function offsetOf(document: Written, keys: readonly PathKey[], atKey: boolean): number {
  let node: unknown = document.parsed.contents;
  let offset = startOf(node) ?? 0;
  for (const [index, key] of keys.entries()) {
    const step = stepTo(key, node, document.targets);
    if (step === undefined) return offset;
    const value = atKey && index === keys.length - 1 ? undefined : valueStart(step.value);
    offset = value ?? startOf(step.key) ?? offset;
    node = step.value;
  }
  return offset;
}

interface Step {
  readonly key: unknown;
  readonly value: unknown;
}

function stepTo(key: PathKey, from: unknown, targets: Written["targets"]): Step | undefined {
  const node = isAlias(from) ? targets.get(from) : from;
  if (isSeq(node)) {
    const item: unknown = node.items[Number(key)];
    return item === undefined ? undefined : { key: item, value: item };
  }
  if (!isMap(node)) return undefined;
  // The last one counts, as in the value that the document is turned into.
  const own = node.items.findLast((pair) => String(isScalar(pair.key) ? pair.key.value : pair.key) === key);
  if (own !== undefined) return own;
  return node.items
    .filter((pair) => isScalar(pair.key) && pair.key.source === "<<")
    .flatMap((pair) => (isSeq(pair.value) ? pair.value.items : [pair.value]))
    .map((merged) => stepTo(key, merged, targets))
    .find((step) => step !== undefined);
}

const startOf = (node: unknown): number | undefined => (isNode(node) ? node.range?.[0] : undefined);

/** An empty value has a range too, but at a place where nothing is to be seen. */
const valueStart = (node: unknown): number | undefined =>
  isScalar(node) && node.value === null && node.source === "" ? undefined : startOf(node);
