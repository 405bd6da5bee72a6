// A line of a configuration with a mark below it. Everything is masked but what is known to be harmless: a line of a
// broken or misspelt file can hold a secret at any place, in comments too.
import { CST, isPair, isScalar, isSeq, Lexer, visit, type Pair } from "yaml";
import { parseAuth } from "../core/credentials.ts";
import { formatPath } from "./issue.ts";
import { hasVariable, isVariable, plainText } from "./source-variables.ts";
import { placeOf, type Source } from "./source.ts";

/** Columns of text around the mark; config.json may be a single line of many kilobytes. */
const WIDTH = 100;

/** @returns a function from an offset to the two lines */
export function excerpts(source: Source): (offset: number) => readonly string[] {
  let text: string | undefined;
  return (offset) => {
    text ??= masked(source);
    const { line } = placeOf(source, offset);
    const { lineStarts } = source.lines;
    const start = Math.max(lineStarts[line - 1] ?? 0, offset - 2 * WIDTH);
    const end = Math.min((lineStarts[line] ?? text.length + 1) - 1, offset + 2 * WIDTH);
    const after = text.slice(offset, end);
    const before = text.slice(start, offset);
    // A mark within what is masked goes to its beginning.
    const left = shown(after.startsWith(HIDDEN) ? before.replace(/\0+$/u, "") : before);
    const { part, mark } = clipped(`${left}${shown(after)}`.trimEnd(), left.length);
    const gutter = String(line).padStart(5);
    return [`${gutter} | ${part}`, `${" ".repeat(gutter.length)} | ${" ".repeat(mark)}^`];
  };
}

/** Stands for a masked character. */
const HIDDEN = "\0";

const shown = (text: string): string =>
  text.replaceAll("\uFEFF", "").replaceAll(/\0+/gu, "***").replaceAll(/\s/gu, " ");

function clipped(text: string, mark: number) {
  if (text.length <= WIDTH) return { part: text, mark };
  const from = Math.max(0, Math.min(mark - WIDTH / 2, text.length - WIDTH));
  const middle = text.slice(from, from + WIDTH);
  const [before, after] = [from > 0 ? "…" : "", from + WIDTH < text.length ? "…" : ""];
  return { part: `${before}${middle}${after}`, mark: mark - from + before.length };
}

/** What the lexer puts between the parts of a text. */
const SIGNS: readonly string[] = [CST.DOCUMENT, CST.FLOW_END, CST.SCALAR];
const PUNCTUATION = /^[\s\uFEFF,?:[\]{}.-]*$/u;

/** The text, of the same length, in the parts that the lexer cuts it into, whatever the parser makes of them. */
function masked(source: Source): string {
  const harmless = harmlessIn(source);
  let text = "";
  let isContent = false;
  for (const lexeme of new Lexer().lex(source.text)) {
    const isSign: boolean = !isContent && SIGNS.includes(lexeme);
    if (!isSign) {
      const isVisible =
        lexeme.trim() === "" ||
        (!isContent && PUNCTUATION.test(lexeme)) ||
        harmless.get(text.length) === lexeme.length;
      text += isVisible ? lexeme : HIDDEN.repeat(lexeme.length);
    }
    isContent = isSign && lexeme === CST.SCALAR;
  }
  return text;
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
  ..."images registries archives retry disk containerd kubelet auths".split(" "),
  ..."addons jobs properties releases include exclude".split(" "),
]);

/**
 * The lengths of what may be shown, by its offset. Where the syntax is broken a value may look like a key's, so nothing
 * but the names of properties is shown.
 */
function harmlessIn(source: Source): ReadonlyMap<number, number> {
  const isTrusted = !source.documents.some(({ isBroken }) => isBroken);
  const secrets = secretsIn(source);
  /** What is, or holds, what stands at a secret's place elsewhere; or what would be accepted as credentials. */
  const isSecret = (text: string): boolean =>
    secrets.values().some((secret) => text.includes(secret)) || typeof parseAuth(text) === "object";
  const found = new Map<number, number>();
  const show = (node: unknown, test: (text: string) => boolean): void => {
    if (!isScalar(node) || !node.range) return;
    const [start, end] = node.range;
    const text = node.source ?? "";
    if (/[\r\n]/u.test(source.text.slice(start, end)) || !test(text)) return;
    if (KEYS.has(text) || !isSecret(text)) found.set(start, end - start);
  };
  const showPair = (pair: Pair): void => {
    show(pair.key, (text) => KEYS.has(text) || (isTrusted && formatPath([text]) === text));
    const form = isTrusted ? HARMLESS.get(keyOf(pair)) : undefined;
    const values: readonly unknown[] = isSeq(pair.value) ? pair.value.items : [pair.value];
    for (const value of values)
      show(value, (text) => isTrusted && (isVariable(text) || form?.test(plainText(text)) === true));
  };
  for (const { parsed } of source.documents) visit(parsed, { Pair: (_key, pair) => showPair(pair) });
  return found;
}

const keyOf = ({ key }: Pair): string => (isScalar(key) ? (key.source ?? "") : "");

/** Every text at or below a secret's place. */
function secretsIn({ documents }: Source): ReadonlySet<string> {
  const found = new Set<string>();
  for (const { parsed } of documents)
    visit(parsed, {
      Scalar: (at, { source = "" }, path) => {
        const isIn = at !== "key" && path.some((node) => isPair(node) && SECRET.has(keyOf(node)));
        if (isIn && source !== "" && !hasVariable(source)) found.add(source);
      },
    });
  return found;
}
