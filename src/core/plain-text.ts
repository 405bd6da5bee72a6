// Text that others wrote, made safe to print: a registry, an archive or a tool may put anything into a name or message.

/** Controls, C1 among them, what is invisible or turns the direction of text, and separators of lines. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
const BREAK = /[\r\n\u0085\u2028\u2029]+/u;

/**
 * One line in which nothing moves the cursor, rings, colours or hides: breaks become a space, other controls the escape
 * that names them (`\x1b`), so that they stay evidence. To be used after redaction, which knows secrets as they are.
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

/** The same, with the blanks at its beginning. */
export const printableLine = (line: string): string => line.replace(/[^ ][^]*/u, printable);

function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  if (code <= 0xff) return `\\x${hex.padStart(2, "0")}`;
  return code <= 0xffff ? `\\u${hex.padStart(4, "0")}` : `\\u{${hex}}`;
}

/** What an error says, or whatever else was thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** `ENOENT` and the like, of an error of the system. */
export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
