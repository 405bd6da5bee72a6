// YAML into a value. Parser messages may quote the text, so only our own words and the place go out.
import { LineCounter, parseDocument, type YAMLError } from "yaml";
import { EXIT, ExitError } from "../exit.ts";

/** @throws ExitError (usage) */
export function parseYaml(path: string, text: string): unknown {
  const lines = new LineCounter();
  // "silent" would also be silent about a second document, and ignore it.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: "error" });
  const [error] = document.errors;
  if (error === undefined) return toValue(path, () => document.toJS({ maxAliasCount: MOST_ALIASES }));
  const { line, col } = lines.linePos(error.pos[0]);
  throw new ExitError(EXIT.usage, `${path}:${line}:${col}: ${syntaxProblem(error, text)}`);
}

/** Beyond any real list, and far below what an alias bomb needs. */
export const MOST_ALIASES = 10_000;

/** An alias bomb or an alias without its anchor comes out only here. */
function toValue(path: string, convert: () => unknown): unknown {
  try {
    const value = convert();
    // An alias that contains itself makes a value without an end, which nothing here could walk.
    JSON.stringify(value);
    return value;
  } catch {
    throw new ExitError(EXIT.usage, `${path}: is not usable YAML (an alias is unknown or used too often)`);
  }
}

const SYNTAX: Readonly<Record<string, string>> = {
  BAD_INDENT: "the indentation is wrong",
  BAD_SCALAR_START: "a value that begins with @ or ` must be quoted",
  BLOCK_AS_IMPLICIT_KEY: "a nested block stands where a simple value should (check the indentation above)",
  DUPLICATE_KEY: "a property is given twice",
  MULTIPLE_DOCS: "a second document begins here, and a configuration has only one",
  MISSING_CHAR: "a closing bracket, quote or comma is missing",
  TAB_AS_INDENT: "tabs cannot be used for indentation",
  UNEXPECTED_TOKEN: "there is something that does not belong here",
};

/** What is wrong, without the parser's excerpt. */
export function syntaxProblem(error: YAMLError, text: string): string {
  const atEnd = error.pos[0] >= text.trimEnd().length;
  const what = SYNTAX[error.code] ?? `the syntax is wrong (${error.code})`;
  return `is not valid JSON or YAML: ${atEnd ? "the text ends too early" : what}`;
}
