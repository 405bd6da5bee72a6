// Masks secrets in the output of tools, which is kept as evidence: containerd repeats credentials in some errors.
import type { Credential } from "./credentials.ts";

export type Redact = (text: string) => string;

const MASK = "[redacted]";
/**
 * Secrets that are recognized by their context, even if we do not know them: after Basic or Bearer, basic auth and
 * query values of a URL, tokens, and an auth that containerd could not split and quotes.
 */
const BY_PLACE: readonly (readonly [RegExp, string])[] = [
  [/(?<scheme>\b(?:Basic|Bearer)\s+)(?!(?:auth|realm)\b)[\w+/=.~-]{4,}/giu, `$<scheme>${MASK}`],
  [/(?<scheme>\bhttps?:\/\/)[^\s/@"']+@/giu, `$<scheme>${MASK}@`],
  // crictl escapes the quote when it logs the error as `msg="…"`. The closing quote is missing in shortened text.
  [/(?<before>invalid decoded auth: )\\*"(?:[^"\\]|\\.)*"?/gu, `$<before>"${MASK}"`],
  [/(?<key>(?:[?&]|&amp;|\\u0026)[\w.~%$[\]-]{1,64}=)[^&\s"'<>\\]+/giu, `$<key>${MASK}`],
  [/(?<key>"(?:\w{0,20}token|password|auth)\\{0,3}"\s{0,3}:\s{0,3}\\{0,3}")[^"\\]+/giu, `$<key>${MASK}`],
  [/\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*/gu, MASK],
];

/**
 * Returns a function that masks the credentials in every spelling that a tool or registry may print: encoded, decoded,
 * the bare password, and each of these escaped for JSON, Go, URLs or HTML, up to five levels deep. Its time grows
 * with the text, not with the number of credentials.
 *
 * A password that is very short or a common word is masked only next to its user or a word for "password": masked
 * everywhere, it would make "failed to pull" unreadable, and thereby reveal itself.
 */
export function redactor(credentials: Iterable<Credential>): Redact {
  const known = [...credentials];
  const forms = new Set(known.flatMap(formsOf).filter(({ length }) => length >= SHORTEST));
  // Longest first: masking a shorter form would leave the rest of a longer one.
  const longestFirst = [...forms].toSorted((a, b) => b.length - a.length);
  // One expression of literals, because the engine compiles those into a tree.
  const patterns = [
    ...longestFirst.map((form) => RegExp.escape(form)),
    ...known.filter(hasWeak).map(weakPattern),
  ];
  const secrets = new RegExp(patterns.join("|"), "gu");
  return (text) => {
    const masked = patterns.length === 0 ? text : maskSecrets(text, secrets);
    return BY_PLACE.reduce((result, [pattern, by]) => result.replace(pattern, by), masked);
  };
}

/** A text with some escapes removed, and for each character its offset in the original. */
interface Layer {
  readonly text: string;
  readonly starts: Uint32Array;
}

/** A registry's own, such as HTML in JSON, the quotes of containerd's error and of crictl's log, and one to spare. */
const DEEPEST_ESCAPE = 5;

/** Yields the text as it is, then with one more level of escapes removed each time. */
function* layersOf(text: string): Generator<Layer> {
  let layer: Layer | undefined = {
    text,
    starts: Uint32Array.from({ length: text.length }, (_, at) => at),
  };
  for (let depth = 0; layer !== undefined && depth <= DEEPEST_ESCAPE; depth += 1) {
    yield layer;
    layer = unescaped(layer);
  }
}

function maskSecrets(original: string, secrets: RegExp): string {
  const ranges = layersOf(original).flatMap(({ text, starts }) =>
    text.matchAll(secrets).map(({ 0: secret, index }) => ({
      start: starts[index] ?? 0,
      end: starts[index + secret.length] ?? original.length,
    })),
  );
  let result = "";
  let last = 0;
  for (const { start, end } of [...ranges].toSorted((a, b) => a.start - b.start)) {
    if (start >= last) result += `${original.slice(last, start)}${MASK}`;
    last = Math.max(last, end);
  }
  return result + original.slice(last);
}

const ESCAPE =
  /\\(?:u(?<unit>[0-9a-f]{4})|x(?<byte>[0-9a-f]{2})|(?<char>[^]))|%(?<percent>[0-9a-f]{2})|&(?:#(?<decimal>\d{1,7})|#x(?<hex>[0-9a-f]{1,6})|(?<name>amp|lt|gt|quot|apos));/giu;
const CONTROL: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", b: "\b", f: "\f", a: "\x07" };
const LAST_CODE_POINT = 0x10_ff_ff;
const ENTITY: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function unescaped({ text, starts }: Layer): Layer | undefined {
  const origins: number[] = [];
  let plain = "";
  let end = 0;
  for (const { 0: escape, index, groups = {} } of text.matchAll(ESCAPE)) {
    const character = meaning(groups);
    plain += text.slice(end, index) + character;
    for (; end < index; end += 1) origins.push(starts[end] ?? 0);
    for (let unit = 0; unit < character.length; unit += 1) origins.push(starts[index] ?? 0);
    end = index + escape.length;
  }
  if (end === 0) return undefined;
  for (let at = end; at < text.length; at += 1) origins.push(starts[at] ?? 0);
  return { text: plain + text.slice(end), starts: Uint32Array.from(origins) };
}

function meaning(groups: Readonly<Record<string, string | undefined>>): string {
  const { char, name, decimal } = groups;
  if (char !== undefined) return CONTROL[char] ?? char;
  if (name !== undefined) return ENTITY[name.toLowerCase()] ?? "";
  const hex = groups["unit"] ?? groups["byte"] ?? groups["percent"] ?? groups["hex"] ?? "";
  const code = decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal);
  return String.fromCodePoint(Math.min(code, LAST_CODE_POINT));
}

/** Shorter texts occur in others by chance. */
const SHORTEST = 4;

/**
 * Unescaped spellings. Unescaping turns each byte into a character, so non-ASCII text also needs its byte form. It also
 * decodes what only looks like an escape in the secret itself, so those spellings are included too.
 */
function formsOf({ auth, password }: Credential): string[] {
  const encoded = [auth, Buffer.from(password).toString("base64")]
    .flatMap((form) => [form, form.replaceAll("=", "")])
    .flatMap((form) => [form, form.replaceAll("+", "-").replaceAll("/", "_")])
    .flatMap((form) => [form, form.toUpperCase(), form.toLowerCase()]);
  if (isWeak(password)) return encoded;
  const plain = [pairOf(auth), password, ...beginnings(password)]
    .flatMap((form) => [...layersOf(form)].map(({ text }) => text))
    .flatMap((form) => [form, form.replaceAll(" ", "+")])
    .flatMap((form) => [form, Buffer.from(form).toString("latin1")]);
  return [...encoded, ...plain];
}

/** Characters. Shorter prefixes occur in other words. */
const SHORTEST_BEGINNING = 8;

/** Prefixes that remain when HTTP, HTML or a URL ends at a character of the password. */
const beginnings = (password: string): string[] =>
  Array.from(password.matchAll(/[\s"#&',;<>?]/gu), ({ index }) => password.slice(0, index)).filter(
    (text) => text.length >= SHORTEST_BEGINNING && !isWeak(text),
  );

const pairOf = (auth: string): string => Buffer.from(auth, "base64").toString();

/** Words that containerd, crictl, registries and we print, so that one of them alone reveals no password. */
const WORDS = new Set(
  `access account accept admin alert also anonymous archive attempt auth authority authorization authorize back bad basic
  bearer blob blobs body bytes cancelled certificate changed check client close closed code commit config connect connection
  containerd content context copy corrupted could create credentials crictl damaged data deadline default denied descriptor
  dial digest directory disk docker does download endpoint error exceeded exist exists expected expired export failed failure
  fatal fetch file files forbidden format found free from gateway get handshake has have head host http https image images
  import index insufficient internal invalid kubelet kubernetes label latest layer layers length level library limit line
  linux list local lock lookup main manifest manifests match message missing must name namespace network nginx node not null
  oauth open oci output pass password path peer permission pin pinned platform policy post present progress project proxy
  public pull pulled pulling push rate read reading ready reason redacted reference refused registry remote repository
  request requests require required reset resolve resource response retry root run runtime said scope secret sending server
  service setting size snapshot socket space stalled start started state status stopped store system tag target test tests
  text this time timeout tls token too transfer transport true type unauthorized unavailable unexpected unix unknown unpack
  untrusted update user username valid validate value verify version wait warning was while with write wrong yes`.split(
    /\s/u,
  ),
);
const isWeak = (password: string): boolean =>
  password.length < SHORTEST || /^\d{1,5}$/u.test(password) || WORDS.has(password.toLowerCase());

/** An empty one stands next to everything. */
const hasWeak = ({ password }: Credential): boolean => password !== "" && isWeak(password);

const BETWEEN = "\\s\"'`,:;=()[\\]{}\\\\/@&?";
const PASSWORD_WORDS = "(?i:password|passwd|passphrase|pwd|secret)";

/** A weak password after the last word of its user, or a word for "password", and up to five separators. */
function weakPattern({ auth, password }: Credential): string {
  const [user = ""] = pairOf(auth).split(":", 1);
  const words = user.split(new RegExp(`[${BETWEEN}]`, "u")).filter((word) => word !== "");
  const before = [PASSWORD_WORDS, ...words.slice(-1).map((word) => RegExp.escape(word))].join("|");
  const word = RegExp.escape(password);
  return `${word}(?<=(?<![^${BETWEEN}])(?:${before})[${BETWEEN}]{1,5}${word})(?![^${BETWEEN}])`;
}
