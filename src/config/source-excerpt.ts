// A line of a configuration with a mark below it. Everything is masked but what is known to be harmless: a line of a
// broken or misspelt file can hold a secret at any place, in comments too.
import { CST, isMap, isScalar, isSeq, Lexer, visit, type Pair } from "yaml";
import { parseAuth } from "../core/credentials.ts";
import { formFinder, SHORTEST_FORM } from "../core/redact.ts";
import { formatPath } from "./issue.ts";
import { hasVariable, isVariable, plainText } from "./source-variables.ts";
import type { Source } from "./source.ts";

const MASK = "***";
/** Columns of text around the mark; config.json may be a single line of many kilobytes. */
const WIDTH = 100;

interface Piece {
  readonly start: number;
  readonly end: number;
  readonly visible: boolean;
}

/**
 * @param trusted false when the syntax is broken: then a value may look like a key's, so nothing but punctuation and
 * the names of properties is shown
 * @returns a function from an offset to the two lines
 */
export function excerpts(source: Source, trusted: boolean): (offset: number) => readonly string[] {
  const all = pieces(source.text, harmless(source, trusted));
  return (offset) => {
    const { line } = source.lines.linePos(offset);
    const start = source.lines.lineStarts[line - 1] ?? 0;
    const next = source.lines.lineStarts[line] ?? source.text.length + 1;
    const { text, mark } = around(source.text, all, { start, end: next - 1, offset });
    const gutter = String(line).padStart(5);
    return [`${gutter} | ${text}`, `${" ".repeat(gutter.length)} | ${" ".repeat(mark)}^`];
  };
}

/** Marks without a length of their own in the text. */
const EMPTY_LEXEMES = new Set<string | null>(["doc-mode", "flow-error-end", "scalar"]);
const PUNCTUATION = new Set<string | null>([
  "byte-order-mark",
  "comma",
  "doc-end",
  "doc-start",
  "explicit-key-ind",
  "flow-map-end",
  "flow-map-start",
  "flow-seq-end",
  "flow-seq-start",
  "map-value-ind",
  "newline",
  "seq-item-ind",
]);

/** The whole text in pieces as the lexer cuts it, whatever the parser makes of them. */
function pieces(text: string, shown: ReadonlySet<string>): Piece[] {
  let start = 0;
  let isContent = false;
  const found: Piece[] = [];
  for (const lexeme of new Lexer().lex(text)) {
    const type = CST.tokenType(lexeme);
    if (EMPTY_LEXEMES.has(type)) {
      isContent = type === "scalar";
      continue;
    }
    const end = start + lexeme.length;
    const isBlank = lexeme.trim() === "";
    const isPunctuation = !isContent && PUNCTUATION.has(type);
    found.push({ start, end, visible: isBlank || isPunctuation || shown.has(rangeKey(start, end)) });
    start = end;
    isContent = false;
  }
  return found;
}

const rangeKey = (start: number, end: number): string => `${start}-${end}`;

interface Window {
  readonly start: number;
  readonly end: number;
  readonly offset: number;
}

/** As much of a line on both sides of the offset as can be shown: the line may be the whole file. */
function around(source: string, all: readonly Piece[], { start, end, offset }: Window) {
  const shown = ({ visible, ...piece }: Piece): string => {
    const text = source.slice(Math.max(piece.start, start), Math.min(piece.end, end));
    return visible ? text.replaceAll(/\s/gu, " ").replaceAll("\uFEFF", "") : MASK;
  };
  const side = (from: number, step: 1 | -1): string => {
    let text = "";
    for (let index = from; text.length < 2 * WIDTH; index += step) {
      const piece = all[index];
      if (piece === undefined || piece.end <= start || piece.start >= end) break;
      text = step === 1 ? text + shown(piece) : shown(piece) + text;
    }
    return text;
  };
  const at = lastBefore(all, Math.min(offset, end - 1));
  const marked = all[at];
  if (marked === undefined || offset >= Math.min(marked.end, end)) {
    const text = side(at, -1).trimEnd();
    return clipped(text, text.length);
  }
  const before = side(at - 1, -1);
  const inside = marked.visible ? offset - Math.max(marked.start, start) : 0;
  return clipped((before + side(at, 1)).trimEnd(), before.length + inside);
}

/** Index of the last piece that begins at the offset or before it. */
function lastBefore(all: readonly Piece[], offset: number): number {
  let [low, high] = [0, all.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((all[middle]?.start ?? 0) <= offset) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function clipped(text: string, mark: number) {
  if (text.length <= WIDTH) return { text, mark };
  const from = Math.max(0, Math.min(mark - WIDTH / 2, text.length - WIDTH));
  const middle = text.slice(from, from + WIDTH);
  const [before, after] = [from > 0 ? "…" : "", from + WIDTH < text.length ? "…" : ""];
  return { text: `${before}${middle}${after}`, mark: mark - from + before.length };
}

const REFERENCE = /^[\w.-]+(?::\d+)?(?:\/[\w.-]+)*(?::[\w.-]+)?(?:@sha\d+:[a-f0-9]+)?$/u;
const WORD = /^[A-Za-z]{1,14}$/u;
const AMOUNT = /^(?:[\d.]{1,6}(?:ms|[smhd])?){1,4}$/u;
const PATH = /^\/[\w./-]+$/u;

/** The properties whose values may be shown, by what they have to look like for it. */
const SHOWN: readonly (readonly [RegExp, string])[] = [
  [REFERENCE, "name retagAs host"],
  [WORD, "pullPolicy required pin on_failure log_level allow_credentials_in_argv"],
  [AMOUNT, "timeout min_delay max_delay attempts stall_timeout image_timeout deadline start_jitter"],
  [AMOUNT, "min_free_percent ready_timeout"],
  [PATH, "crictl ctr socket path metrics_file root_dir"],
  [/^(?:auto|\d{1,4})$/u, "concurrency"],
  [/^[\w-]+$/u, "instance_groups release"],
  [/^(?:latest|[\d.]+)$/u, "version"],
];
const HARMLESS = new Map(SHOWN.flatMap(([pattern, keys]) => keys.split(" ").map((key) => [key, pattern])));
const SECRET = new Set(["auth", "username", "password", "docker_config"]);
/** Names that are shown in a broken file too. */
const KEYS = new Set([
  ...HARMLESS.keys(),
  ...SECRET,
  ..."images registries archives retry disk containerd kubelet namespace auths".split(" "),
  ..."addons jobs properties releases include exclude".split(" "),
]);

/** Ranges of scalars that may be shown. */
function harmless({ documents, text }: Source, trusted: boolean): ReadonlySet<string> {
  const isSecret = secretTest(documents.flatMap((document) => secretsIn(document)));
  const shown = new Set<string>();
  const show = (node: unknown, test: (written: string) => boolean): void => {
    if (!isScalar(node) || !node.range) return;
    const [start, end] = node.range;
    const written = node.source ?? "";
    if (/[\r\n]/u.test(text.slice(start, end)) || !test(written)) return;
    if (!KEYS.has(written) && isSecret(written)) return;
    shown.add(rangeKey(start, end));
  };
  const showPair = (pair: Pair): void => {
    const key = keyOf(pair);
    show(pair.key, (written) => KEYS.has(written) || (trusted && formatPath([written]) === written));
    if (!trusted) return;
    const pattern = HARMLESS.get(key);
    const test = (written: string): boolean =>
      isVariable(written) || pattern?.test(plainText(written)) === true;
    const values: readonly unknown[] = isSeq(pair.value) ? pair.value.items : [pair.value];
    for (const value of values) show(value, test);
  };
  for (const document of documents) visit(document, { Pair: (_key, pair) => showPair(pair) });
  return shown;
}

const keyOf = ({ key }: Pair): string => (isScalar(key) ? (key.source ?? "") : "");

/** For a text that is, or holds, what stands at a secret's place elsewhere; or that would be accepted as credentials. */
function secretTest(secrets: readonly string[]): (written: string) => boolean {
  const find = formFinder(secrets);
  const short = [...new Set(secrets)].filter(({ length }) => length < SHORTEST_FORM);
  return (written) =>
    find(written).length > 0 || short.some((secret) => written.includes(secret)) || parseAuth(written).ok;
}

/** Every text at or below a secret's place. */
function secretsIn(document: Source["documents"][number]): string[] {
  const found: string[] = [];
  const collect = (node: unknown): void => {
    if (isScalar(node) && node.source) found.push(node.source);
    else if (isMap(node) || isSeq(node))
      visit(node, { Scalar: (at, scalar) => (at === "key" ? undefined : collect(scalar)) });
  };
  visit(document, { Pair: (_key, pair) => (SECRET.has(keyOf(pair)) ? collect(pair.value) : undefined) });
  return found.filter((text) => !hasVariable(text));
}
