// The forms in which a registry, a tool or a library of theirs may write a secret.

export const base64 = (text: string): string => Buffer.from(text).toString("base64");
const quoted = (text: string): string => JSON.stringify(text).slice(1, -1);
const asciiJson = (text: string): string =>
  quoted(text).replaceAll(/[^ -~]/gu, (character) =>
    Array.from({ length: character.length }, (_, unit) => character.charCodeAt(unit))
      .map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`)
      .join(""),
  );
/** As Go's encoding/json has it. */
const goJson = (text: string): string =>
  quoted(text).replaceAll(/[&<>]/gu, (character) => `\\u00${character.charCodeAt(0).toString(16)}`);
/** Percent-encoding that leaves these characters as they are. */
const percent = (kept: RegExp) => (text: string) =>
  Array.from(text)
    .map((character) =>
      kept.test(character)
        ? character
        : [...Buffer.from(character)]
            .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`)
            .join(""),
    )
    .join("");
const pathEscape = percent(/[\w.~$&+=:@-]/u);
const queryEscape = (text: string): string => percent(/[\w.~-]/u)(text).replaceAll("%20", "+");
const lowerHex = (text: string): string =>
  text.replaceAll(/%[0-9A-F]{2}/gu, (escape) => escape.toLowerCase());
const html = (quote: string) => (text: string) =>
  text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', quote)
    .replaceAll("'", "&#39;");
const htmlNumbers = (text: string): string =>
  Array.from(text, (character) => `&#x${character.codePointAt(0)?.toString(16)};`).join("");

const hexBytes = (text: string): string =>
  [...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");

/** What they are, and how they are made. */
export const ENCODINGS: readonly (readonly [string, (text: string) => string])[] = [
  ["as it is", (text) => text],
  ["quoted", quoted],
  ["quoted twice", (text) => quoted(quoted(text))],
  ["in Go's JSON", goJson],
  ["in Go's JSON, quoted once more", (text) => quoted(goJson(text))],
  ["in JSON of ASCII", asciiJson],
  [
    "in JSON of ASCII, upper-case hex",
    (text) => asciiJson(text).replaceAll(/(?<=\\u)\w{4}/gu, (hex) => hex.toUpperCase()),
  ],
  ["for a URL", encodeURIComponent],
  ["for a URL, lower-case hex", (text) => lowerHex(encodeURIComponent(text))],
  ["by Go's QueryEscape", queryEscape],
  ["by Go's QueryEscape, lower-case hex", (text) => lowerHex(queryEscape(text))],
  ["by Go's PathEscape", pathEscape],
  ["by Go's PathEscape, quoted", (text) => quoted(pathEscape(text))],
  ["for HTML, as Go does", html("&#34;")],
  ["for HTML, as others do", html("&quot;")],
  ["for HTML, all as numbers", htmlNumbers],
  ["in hex, byte by byte", hexBytes],
  ["in hex, byte by byte, quoted", (text) => quoted(hexBytes(text))],
  ["for HTML within JSON", (text) => goJson(html("&#34;")(text))],
];

/** The forms of base64 that do not depend on who writes them. */
export const base64Forms = (text: string): string[] =>
  [base64(text), base64(text).replace(/=+$/u, "")]
    .flatMap((form) => [form, form.replaceAll("+", "-").replaceAll("/", "_")])
    .flatMap((form) => [form, form.toUpperCase(), form.toLowerCase()]);
