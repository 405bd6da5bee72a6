// What a tool prints is evidence, and evidence may hold a secret: containerd repeats credentials in some errors.
import type { Credential } from "./credentials.ts";

export type Redact = (text: string) => string;

const MASK = "[redacted]";
/**
 * What follows Basic or Bearer, basic auth and every query value of a URL, tokens, and what containerd quotes of an auth
 * that it could not split: secrets that are recognised by their place, so that even those we were never told are caught.
 */
const BY_PLACE: readonly (readonly [RegExp, string])[] = [
  [/(?<scheme>\b(?:Basic|Bearer)\s+)(?!(?:auth|realm)\b)[\w+/=.~-]{4,}/giu, `$<scheme>${MASK}`],
  [/(?<scheme>\bhttps?:\/\/)[^\s/@"']+@/giu, `$<scheme>${MASK}@`],
  // The quote is escaped where crictl logs the error as `msg="…"`, and missing where the text was cut.
  [/(?<before>invalid decoded auth: )\\*"(?:[^"\\]|\\.)*"?/gu, `$<before>"${MASK}"`],
  [/(?<key>(?:[?&]|&amp;|\\{1,3}u0026)[\w.~%$[\]-]{1,64}=)[^&\s"'<>\\]+/giu, `$<key>${MASK}`],
  [/(?<key>"(?:\w{0,20}token|password|auth)\\{0,3}"\s{0,3}:\s{0,3}\\{0,3}")[^"\\]+/giu, `$<key>${MASK}`],
  [/\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*/gu, MASK],
];

/**
 * A function that masks the given credentials in every spelling that a tool or registry may print: encoded, decoded,
 * the bare password, and these escaped for JSON, Go, URLs or HTML, up to three times one in another. Time grows with
 * the text and not with the number of credentials.
 *
 * A password that is a word of such messages, or very short, is masked only beside its user or a word for "password": masked
 * wherever it stands, it would make "failed to pull" unreadable, and by that tell what it is.
 */
export function redactor(credentials: Iterable<Credential>): Redact {
  const known = [...credentials];
  const forms = formFinder(known.flatMap(secretForms));
  const words = weakWords(known.filter(({ password }) => isWeak(password)));
  return (text) => {
    const masked = known.length === 0 ? text : maskRanges(text, rangesOf(text, forms, words));
    return BY_PLACE.reduce((result, [pattern, by]) => result.replace(pattern, by), masked);
  };
}

/** A text without some of its escapes, and for each of its characters where that began in the original. */
interface Layer {
  readonly text: string;
  readonly starts: Uint32Array;
}

type Range = readonly [start: number, end: number];

const DEEPEST_ESCAPE = 3;

/** A text as it is, and with one, two and three layers of escapes removed, as far as there are any. */
function* layersOf(text: string): Generator<Layer> {
  let layer: Layer | undefined = {
    text,
    starts: Uint32Array.from({ length: text.length + 1 }, (_, at) => at),
  };
  for (let depth = 0; layer !== undefined && depth <= DEEPEST_ESCAPE; depth += 1) {
    yield layer;
    layer = unescaped(layer);
  }
}

const rangesOf = (original: string, forms: FindForms, words: WeakWords): Range[] =>
  [...layersOf(original)]
    .flatMap(({ text, starts }) =>
      [...forms(text), ...weakIn(text, words)].map(([start, end]): Range => [
        starts[start] ?? 0,
        starts[end] ?? original.length,
      ]),
    )
    .toSorted(([a], [b]) => a - b);

function maskRanges(text: string, ranges: readonly Range[]): string {
  let result = "";
  let last = 0;
  for (const [start, end] of ranges) {
    if (start >= last) result += `${text.slice(last, start)}${MASK}`;
    last = Math.max(last, end);
  }
  return result + text.slice(last);
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
  for (let at = end; at <= text.length; at += 1) origins.push(starts[at] ?? 0);
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

/**
 * Unescaped spellings. A byte of an escaped one becomes a character, so what is not ASCII has a form of bytes too; and
 * what looks like an escape in the secret itself is taken for one where it stands among others.
 */
function secretForms({ auth, password }: Credential): string[] {
  const encoded = [auth, ...(password === "" ? [] : [Buffer.from(password).toString("base64")])]
    .flatMap((form) => [form, form.replace(/=+$/u, "")])
    .flatMap((form) => [form, form.replaceAll("+", "-").replaceAll("/", "_")])
    .flatMap((form) => [form, form.toUpperCase(), form.toLowerCase()]);
  const pair = Buffer.from(auth, "base64").toString();
  const plain = (isWeak(password) ? [] : [pair, password])
    .flatMap((form) => [...layersOf(form)].map(({ text }) => text))
    .flatMap((form) => [form, form.replaceAll(" ", "+")])
    .flatMap((form) => [form, Buffer.from(form).toString("latin1")]);
  return [...encoded, ...plain];
}

/** Shorter texts stand in others by chance. */
const SHORTEST_FORM = 4;

/** Where any of the forms stands in a text, from left to right. Shorter forms than SHORTEST_FORM are left out. */
type FindForms = (text: string) => Range[];

/** Forms are found by their first characters and the lengths that occur there, so that a place costs a few look-ups. */
function formFinder(all: Iterable<string>): FindForms {
  const long = [...new Set(all)].filter(({ length }) => length >= SHORTEST_FORM);
  const index = new Map(
    [...Map.groupBy(long, (form) => form.slice(0, SHORTEST_FORM))].map(([start, forms]) => {
      // The longest first: where a shorter one is masked, the rest of a longer one would be left standing.
      const lengths = [...new Set(forms.map(({ length }) => length))].toSorted((a, b) => b - a);
      return [start, { lengths, forms: new Set(forms) }] as const;
    }),
  );
  return (text) => {
    const found: Range[] = [];
    for (let at = 0; index.size > 0 && at + SHORTEST_FORM <= text.length; at += 1) {
      const near = index.get(text.slice(at, at + SHORTEST_FORM));
      const length = near?.lengths.find((each) => near.forms.has(text.slice(at, at + each)));
      if (length === undefined) continue;
      found.push([at, at + length]);
      at += length - 1;
    }
    return found;
  };
}

/** Words that containerd, crictl, registries and we print, so that one of them as a password says nothing by itself. */
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
    /\s+/u,
  ),
);
const isWeak = (password: string): boolean =>
  password.length < SHORTEST_FORM || /^\d{1,5}$/u.test(password) || WORDS.has(password.toLowerCase());

/** Weak passwords, each with the last words of its users. */
type WeakWords = ReadonlyMap<string, ReadonlySet<string>>;

const TOKEN = /[^\s"'`,:;=()[\]{}\\/@&?]+/gu;
const PASSWORD_WORD = /^(?:password|passwd|passphrase|pwd|secret)$/iu;
/** White space, quotes and punctuation between a user and a password. */
const NEAR = 5;

function weakWords(credentials: readonly Credential[]): WeakWords {
  const words = new Map<string, Set<string>>();
  for (const { auth, password } of credentials) {
    const [user = ""] = Buffer.from(auth, "base64").toString().split(":", 1);
    words.getOrInsertComputed(password, () => new Set()).add(user.match(TOKEN)?.at(-1) ?? "");
  }
  return words;
}

function weakIn(text: string, words: WeakWords): Range[] {
  const found: Range[] = [];
  let before = { word: "", end: -NEAR };
  for (const { 0: word, index } of words.size === 0 ? [] : text.matchAll(TOKEN)) {
    const users = index - before.end <= NEAR ? words.get(word) : undefined;
    const end = index + word.length;
    if (users !== undefined && (users.has(before.word) || PASSWORD_WORD.test(before.word)))
      found.push([index, end]);
    before = { word, end };
  }
  return found;
}
