// A configuration as it was written: YAML with the place of everything in it.
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
  type YAMLMap,
} from "yaml";
import { MOST_ALIASES, syntaxProblem } from "./yaml-text.ts";
import type { PathKey } from "./issue.ts";

/** BOSH reads YAML 1.1, where `no` is false, 1.20 is 1.2 and 1:30 is 90; the agent reads 1.2, of which JSON is a part. */
export type Dialect = "1.1" | "1.2";

/** Something at an offset of the text. */
export interface Spot {
  readonly offset: number;
  readonly problem: string;
}

export interface Source {
  readonly text: string;
  readonly documents: readonly Document.Parsed[];
  readonly lines: LineCounter;
}

export function parseSource(text: string, version: Dialect): Source {
  const lines = new LineCounter();
  const options = { version, lineCounter: lines, prettyErrors: false, logLevel: "silent" } as const;
  return { text, documents: [...parseAllDocuments(text, options)], lines };
}

/**
 * What keeps a document from being read. Of broken syntax only the first place is told, as the further ones follow
 * from it; keys that are given twice are all told, and leave the rest readable.
 * @param isJson the text is known to be JSON, in which a key given twice is all that can be wrong
 */
export function syntaxSpots(document: Document.Parsed, text: string, isJson: boolean) {
  const end = text.trimEnd().length;
  const spots = (duplicate: boolean): Spot[] =>
    document.errors
      .filter(({ code }) => (code === "DUPLICATE_KEY") === duplicate)
      .map((error) => ({ offset: Math.min(error.pos[0], end), problem: syntaxProblem(error, text) }));
  return { broken: isJson ? [] : spots(false).slice(0, 1), duplicates: spots(true) };
}

/** Aliases that stand for nothing, or for something that contains them: the latter would never end. */
export function aliasSpots(document: Document.Parsed): Spot[] {
  const spots: Spot[] = [];
  const targets = targetsOf(document);
  visit(document, {
    Alias: (_key, alias, path) => {
      const target = targets.get(alias);
      const offset = alias.range?.[0] ?? 0;
      if (target === undefined) spots.push({ offset, problem: "is an alias without an anchor before it" });
      else if (path.includes(target)) spots.push({ offset, problem: "is an alias that contains itself" });
    },
  });
  return spots;
}

const known = new WeakMap<Document.Parsed, ReadonlyMap<Alias, Node>>();

/** What each alias of a document stands for, found in one walk: yaml's own `resolve` walks the document each time. */
function targetsOf(document: Document.Parsed): ReadonlyMap<Alias, Node> {
  const found = known.get(document);
  if (found !== undefined) return found;
  const anchors = new Map<string, Node>();
  const targets = new Map<Alias, Node>();
  visit(document, {
    Node: (_key, node) => {
      const target = isAlias(node) ? anchors.get(node.source) : undefined;
      if (isAlias(node)) {
        if (target !== undefined) targets.set(node, target);
      } else if (node.anchor !== undefined) anchors.set(node.anchor, node);
    },
  });
  known.set(document, targets);
  return targets;
}

/** Undefined for an alias bomb. Documents with syntax or alias spots must not come here. */
export function toValue(document: Document.Parsed): { readonly value: unknown } | undefined {
  try {
    return { value: document.toJS({ maxAliasCount: MOST_ALIASES }) };
  } catch {
    return undefined;
  }
}

/**
 * The offset of what `keys` lead to: a value, or its key where there is no value or the key is what is wrong. What
 * is not written is placed at what should contain it.
 */
export function offsetOf(document: Document.Parsed, keys: readonly PathKey[], atKey: boolean): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const [index, key] of keys.entries()) {
    const step = child(resolved(node, document), key, document);
    if (step === undefined) return offset;
    const wantsKey = atKey && index === keys.length - 1;
    offset = (wantsKey ? step.keyOffset : valueStart(step.node)) ?? step.keyOffset ?? offset;
    node = step.node;
  }
  return offset;
}

interface Step {
  readonly node: unknown;
  readonly keyOffset: number | undefined;
}

function child(node: unknown, key: PathKey, document: Document.Parsed): Step | undefined {
  if (isSeq(node)) {
    const item: unknown = typeof key === "number" ? node.items[key] : undefined;
    return item === undefined ? undefined : { node: item, keyOffset: startOf(item) };
  }
  return isMap(node) ? childOfMap(node, String(key), document) : undefined;
}

function childOfMap(map: YAMLMap, key: string, document: Document.Parsed): Step | undefined {
  // The last one counts, as in the value that the document is turned into.
  const own = map.items.findLast((pair) => keyText(pair.key) === key);
  if (own !== undefined) return { node: own.value, keyOffset: startOf(own.key) };
  return map.items
    .filter((pair) => keyText(pair.key) === MERGE)
    .flatMap((pair) => (isSeq(pair.value) ? pair.value.items : [pair.value]))
    .map((merged) => child(resolved(merged, document), key, document))
    .find((step) => step !== undefined);
}

const MERGE = "<<";

function keyText(key: unknown): string {
  const value: unknown = isScalar(key) ? key.value : key;
  return typeof value === "symbol" ? MERGE : String(value);
}

const resolved = (node: unknown, document: Document.Parsed): unknown =>
  isAlias(node) ? targetsOf(document).get(node) : node;

const startOf = (node: unknown): number | undefined => (isNode(node) ? node.range?.[0] : undefined);

/** An empty value has a range too, but at a place where nothing is to be seen. */
const valueStart = (node: unknown): number | undefined =>
  isScalar(node) && node.value === null && node.source === "" ? undefined : startOf(node);
