// Makes others' text safe to print: a registry, an archive or a tool may put anything into a name or message.

/** Control characters including C1, characters that are invisible or change text direction, and line separators. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
const BREAK = /[\r\n\u0085\u2028\u2029]/u;

/**
 * One line that cannot move the cursor, ring, color or hide text. Line breaks become spaces; other controls remain as
 * evidence, as a visible escape (`\x1b`). Apply it after redaction, which needs secrets in their original form.
 */
export const printable = (text: string): string =>
  text
    .toWellFormed()
    .split(BREAK)
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .join(" ")
    .replaceAll("\t", " ")
    .replaceAll(UNPRINTABLE, escaped);

/** Like `printable`, but keeps leading blanks. */
export const printableLine = (line: string): string => line.replace(/[^ ][^]*/u, printable);

function escaped(character: string): string {
  const hex = (character.codePointAt(0) ?? 0).toString(16);
  if (hex.length <= 2) return `\\x${hex.padStart(2, "0")}`;
  return hex.length <= 4 ? `\\u${hex.padStart(4, "0")}` : `\\u{${hex}}`;
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Code of a system error, such as `ENOENT`. */
export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
