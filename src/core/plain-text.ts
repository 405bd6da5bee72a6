// Foreign text made harmless: what a registry, an archive or a tool says must not steer a terminal or a log.

/** C0 and C1 controls, DEL, the separators of lines and paragraphs, and what turns the direction of text. */
const CONTROLS = /[\p{Cc}\p{Zl}\p{Zp}\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/gu;

/** One line in which each control character is seen as `\u{1b}`. */
export const printable = (text: string): string =>
  text.replaceAll(CONTROLS, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
