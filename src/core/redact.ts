// What a tool prints is evidence, and evidence may hold a secret: containerd repeats credentials in some errors.
import type { Credential } from "./credentials.ts";

export type Redact = (text: string) => string;

const MASK = "[redacted]";
/**
 * Base64 after the word Basic or Bearer, basic auth in a URL, and what containerd quotes of an auth that it could not
 * split: secrets that are recognised by their place, so that even those we were never told are caught.
 */
const BY_PLACE: readonly (readonly [RegExp, string])[] = [
  [/(?<scheme>\b(?:Basic|Bearer)\s+)(?!auth\b)[\w+/=.~-]{4,}/giu, `$<scheme>${MASK}`],
  [/(?<scheme>\bhttps?:\/\/)[^\s/@"']+@/giu, `$<scheme>${MASK}@`],
  // The quote is escaped where crictl logs the error as `msg="…"`, and missing where the text was cut.
  [/(?<before>invalid decoded auth: )\\*"(?:[^"\\]|\\.)*"?/gu, `$<before>"${MASK}"`],
  [
    /(?<before>[?&](?:access_token|token|password|sig|signature|X-Amz-Signature|X-Amz-Credential)=)[^&\s"']+/giu,
    `$<before>${MASK}`,
  ],
];

/**
 * A function that masks every form of the given credentials, in one pass so that no mask is masked again. The longest
 * form comes first: masking a password first would leave the user name of `user:password` standing.
 */
export function redactor(credentials: Iterable<Credential>): Redact {
  const forms = [...new Set([...credentials].flatMap(secretForms))].toSorted((a, b) => b.length - a.length);
  const known =
    forms.length === 0 ? undefined : new RegExp(forms.map((form) => RegExp.escape(form)).join("|"), "gu");
  return (text) => {
    const masked = known === undefined ? text : text.replace(known, MASK);
    return BY_PLACE.reduce((result, [pattern, by]) => result.replace(pattern, by), masked);
  };
}

/**
 * Every spelling of a credential that a tool may print: encoded, decoded, the bare password, quoted, quoted once more
 * (an error text inside a `msg="…"`), and percent-encoded.
 */
export function secretForms(credential: Credential): string[] {
  const pair = Buffer.from(credential.auth, "base64").toString("utf8");
  const plain = [credential.auth, credential.auth.replace(/=+$/u, ""), pair, credential.password];
  const urlSafe = plain.slice(0, 2).map((form) => form.replaceAll("+", "-").replaceAll("/", "_"));
  const escaped = [pair, credential.password].flatMap((form) => [
    quoted(form),
    quoted(quoted(form)),
    encodeURIComponent(form.toWellFormed()),
  ]);
  return [...new Set([...plain, ...urlSafe, ...escaped])].filter((form) => form !== "");
}

const quoted = (text: string): string => JSON.stringify(text).slice(1, -1);
