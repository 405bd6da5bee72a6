// Reads what crictl and ctr printed: the statement that tells why, what a registry answered, and the class of both.
// The texts come from real containerd 1.6, 1.7 and 2.x and several crictls (test/fixtures/errors; scripts/record-errors).
import type { FailureClass } from "./failure.ts";

/** What a text shows. */
export interface Diagnosis {
  readonly class: FailureClass;
  /** What to do next, where it is not what the class says; a sentence without a full stop. */
  readonly next?: string;
}

// Where the statement stands. A registry cannot forge these lines: its words are escaped there, or indented.
const QUOTED = String.raw`"(?<said>[^"\\]*(?:\\.[^"\\]*)*)`;
/** The last log line of crictl; without its closing quote where the text was cut. */
const LOGGED = new RegExp(String.raw`^time="[^"]*" level=(?:fatal|error) msg=${QUOTED}`, "gmu");
/** The same error as crictl's library logs it before, for when the last line was cut off. */
const LOGGED_BEFORE = new RegExp(String.raw`^E\d{4} [^\n]*? err=${QUOTED}`, "mu");
const LOGGED_BLOCK = /^E\d{4} [^\n]*? err=<\n(?<said>(?:\t[^\n]*\n?)*)/mu;
/** ctr says it plainly, below warnings that it logs. */
const PLAIN = /^ctr: [^]*/mu;

/** What the tool says is wrong, without its frame; all of a text that has no such frame. */
function statement(raw: string): string {
  const [plain] = PLAIN.exec(raw) ?? [];
  if (plain !== undefined) return plain.trim();
  const logged = [...raw.matchAll(LOGGED)].at(-1) ?? LOGGED_BEFORE.exec(raw);
  const said = logged?.groups?.["said"]?.replaceAll(/\\(?<escaped>["\\nt])/gu, unescape);
  return (said ?? LOGGED_BLOCK.exec(raw)?.groups?.["said"] ?? raw).trim();
}

/** Within Go's quotes. */
const unescape = (_match: string, escaped: string): string => ({ n: "\n", t: "\t" })[escaped] ?? escaped;

/** What every pull's error begins with, and every reader knows. */
const PREAMBLE =
  /^(?:ctr: |pulling image: )?(?:rpc error: code = \w+ desc = )?(?:failed to pull and unpack image "[^"]*": )?/u;
/** A token's scope repeats the image's name, and would push what was answered out of sight. */
const LONG_QUERY = /(?<address>https?:\/\/[^\s?"]+\?)[^\s"]{40,}[^\s":]/gu;
const LONGEST = 600;

/** A tool's message as a person wants to read it, in one line; classify the whole text, not this. */
export function essence(text: string): string {
  const said = statement(text).replace(PREAMBLE, "").replaceAll(LONG_QUERY, "$<address>…");
  const short = said.replaceAll(/[\s\p{Cc}]+/gu, " ").trim();
  return short.length > LONGEST ? `${short.slice(0, LONGEST)}…` : short;
}

/** What a registry, a token service or a proxy answered to a request of containerd. */
interface Answer {
  /** Undefined where only its words are told: it denies the access that was asked for. */
  readonly status: number | undefined;
  /** Empty where containerd does not tell it. */
  readonly url: string;
  /** Asked for a token, not for a part of an image. */
  readonly forToken: boolean;
  /** For a layer or config, and so after the manifest was served. */
  readonly forBlob: boolean;
}

/** containerd's ways to introduce what it was answered. Behind it anything may stand. */
const ANSWER =
  /(?:unexpected (?:HEAD )?status(?: code| from [A-Z]+ request to)?(?: (?<url>\S+))?|failed with status code \[[^\]]*\]): (?<status>\d{3})(?!\d)|server message: /u;

function answerIn(said: string): Answer | undefined {
  const match = ANSWER.exec(said);
  if (match === null) return undefined;
  const { url = "", status } = match.groups ?? {};
  const before = said.slice(0, match.index);
  const copying = /failed to copy: |failed open: /u.test(before);
  return {
    status: status === undefined ? undefined : Number(status),
    url,
    forToken: /failed to (?:authorize|fetch \w+ token): /u.test(before),
    forBlob: copying && !url.includes("/manifests/"),
  };
}

const BLOB_REFUSED =
  "the registry served the manifest and then refused a layer: look at the store behind it (signed addresses, expired tokens) and at this node's clock";
const NO_TOKEN =
  "the registry's token service refuses the request: check the user and password, and the realm that the registry names in its answer";
const PLAIN_TO_TLS =
  "plain http reached a server that may want https: give it the right scheme, and its CA, in certs.d/<host>/hosts.toml";
const PROXY_LOGIN =
  "the proxy refuses: give containerd the proxy's login in its HTTPS_PROXY, or except the registry in its NO_PROXY";
const IN_BETWEEN =
  "something in between answers HTML instead of the registry (a captive portal, a login page, a proxy), or the address is not a registry's: open it with curl from this node";

/** Answers that mean the same wherever they come from; the rest of 4xx is as permanent, of 5xx as passing. */
const BY_STATUS: ReadonlyMap<number, Diagnosis> = new Map<number, Diagnosis>([
  [
    400,
    {
      class: "reference",
      next: "the registry, or a proxy before it, finds the request malformed: check the image's name and the registry's own log",
    },
  ],
  [401, { class: "auth" }],
  [
    402,
    {
      class: "auth",
      next: "the registry wants to be paid: its plan or quota is used up; renew it, or pull from another registry",
    },
  ],
  [403, { class: "auth" }],
  [
    405,
    {
      class: "not-found",
      next: "what answers does not serve images: check host and port of the name, and certs.d/<host>/hosts.toml",
    },
  ],
  [407, { class: "auth", next: PROXY_LOGIN }],
  [408, { class: "server" }],
  [
    409,
    {
      class: "not-found",
      next: "the registry has the image in a state in which it gives it to nobody (being deleted, copied or scanned): look at it there",
    },
  ],
  [
    410,
    {
      class: "not-found",
      next: "the registry deleted this image for good: push it again, or correct its name",
    },
  ],
  [
    412,
    {
      class: "auth",
      next: "the registry's policy forbids this image (a scan or a signature is missing or failed): look at the image in the registry",
    },
  ],
  [425, { class: "server" }],
  [429, { class: "rate-limit" }],
  [
    451,
    {
      class: "auth",
      next: "the registry may not give out this image for legal reasons: take it from elsewhere",
    },
  ],
]);

function ofAnswer({ status, url, forToken, forBlob }: Answer): Diagnosis {
  const denied = status === undefined || status === 401 || status === 403;
  if (forBlob && denied) return { class: "server", next: BLOB_REFUSED };
  if (denied) return { class: "auth" };
  const known = BY_STATUS.get(status);
  if (forToken && status < 500 && status !== 407 && (known?.class ?? "auth") !== "server" && status !== 429)
    return { class: "auth", next: NO_TOKEN };
  // 1.6.20 does not tell the address.
  if (status === 400 && !url.startsWith("https:")) return { class: "tls", next: PLAIN_TO_TLS };
  if (known !== undefined) return known;
  const rejected = status >= 400 && status < 500;
  return rejected
    ? { class: "not-found", next: "the registry rejects the request for good: its own log says why" }
    : { class: "server" };
}

const BROKEN_IMAGE =
  "the image is broken: its layers are not those that its config names; build it and push it again";
const OLD_SCHEMA =
  "the image has a manifest of Docker's schema 1, which containerd cannot use: push it again with a tool of today";
const HOSTS_FILE = "correct certs.d/<host>/hosts.toml of this registry, and the files that it names";
const OWN_STORE =
  "containerd's own store lost a part of the image or its name (its garbage collection, or somebody's deletion); run again";

interface Rule {
  readonly pattern: RegExp;
  readonly diagnosis: Diagnosis;
}
const rule = (failureClass: FailureClass, pattern: RegExp, next?: string): Rule => ({
  pattern,
  diagnosis: { class: failureClass, ...(next !== undefined && { next }) },
});

/**
 * For statements without an answer; the first match wins. First what only one side can say, then what several say, and
 * what is a consequence of the rest.
 */
export const RULES: readonly Rule[] = [
  rule("runtime", /validate service connection: |getting the runtime version: /u),
  rule(
    "runtime",
    /code = Unavailable desc = (?:connection error|error reading from server|transport is closing|the connection is draining)/u,
  ),
  // ctr, which talks to containerd alone.
  rule("runtime", /failed to dial "|connection error: desc = |^ctr: [^\n]*context deadline exceeded/u),
  rule("auth", /pull access denied|authorization failed|illegal base64 data|invalid decoded auth/u),
  rule(
    "auth",
    /image verifier \S+ blocked pull/u,
    "this node's own image verifier forbids the image; see its policy",
  ),
  rule(
    "auth",
    /failed to do request: \w+ "[^"]*": (?:Proxy Authentication Required|Forbidden)$/u,
    PROXY_LOGIN,
  ),
  rule(
    "server",
    /(?<![^\s"])text\/html\b|unable to decode token response|not include a token in the response/u,
    IN_BETWEEN,
  ),
  rule("disk", /no space left on device|disk quota exceeded/u),
  rule("reference", /failed to parse image reference|invalid reference format|error parsing reference/u),
  rule("platform", /no match for platform|does not support platform/u),
  rule(
    "not-an-image",
    /schema 1 (?:image )?(?:manifest|conversion)|manifest\.v1\+(?:pretty)?jws/u,
    OLD_SCHEMA,
  ),
  rule("not-an-image", /layers and diffIDs don't match: \d+ != 0$/u),
  rule("not-an-image", /wrong diff id|layers and diffIDs don't match|mismatched image rootfs/u, BROKEN_IMAGE),
  rule(
    "not-an-image",
    /unexpected media type|unrecognised mediatype|media-?type\S* .*not supported|rejecting \d+ byte manifest/u,
  ),
  rule(
    "tls",
    /unable to (?:read|load) (?:CA cert|CERT file)|failed to load (?:X509 key pair|CA file|cert file)/u,
    HOSTS_FILE,
  ),
  // Newer crictls say so when they are stopped. What containerd cancels by itself is a pull without progress.
  rule("cancelled", /interrupted: context canceled/u),
  rule("stall", /code = Canceled|context canceled/u),
  // After a blank, because a tag may end in the same letters: `team/app:tls: not found`.
  rule("tls", /(?<![^\s"])(?:x509|tls): |server gave HTTP response to HTTPS client/u),
  // No answer at all. TLS handshake timeout has no colon after `tls`, and so passes the rule above.
  rule("network", /failed to do request: /u),
  rule(
    "network",
    /connection refused|no such host|server misbehaving|network is unreachable|no route to host|i\/o timeout|context deadline exceeded/u,
  ),
  // A blob that the manifest promises; also `code = NotFound`, but the image is there.
  rule("server", /could not fetch content descriptor [^]*not found/u),
  rule("transfer", /unexpected EOF|connection reset by peer|broken pipe|(?<![^\s"])http2: |stream error/u),
  rule("transfer", /unexpected commit digest|failed size validation/u),
  rule("not-found", /failed to resolve (?:reference "[^"]*"|image): \S+: not found$/u),
  rule("not-found", /no (?:resolve|pull) hosts: not found$/u, HOSTS_FILE),
  rule("runtime", /: not found$/u, OWN_STORE),
];

/** @param raw all that the tool printed, before anything was cut or masked: a password may be a word of a rule */
export function diagnose(raw: string): Diagnosis {
  const answer = answerIn(statement(raw));
  return answer === undefined ? (ruleOf(raw)?.diagnosis ?? { class: "unknown" }) : ofAnswer(answer);
}

/** The rule that decides; undefined where an answer does, or nothing. */
export function ruleOf(raw: string): Rule | undefined {
  const said = statement(raw);
  return answerIn(said) === undefined ? RULES.find(({ pattern }) => pattern.test(said)) : undefined;
}

/** The class alone; `unknown` is retried and says so. @param raw as for diagnose */
export const classify = (raw: string): FailureClass => diagnose(raw).class;

/**
 * Refused as such, not for lack of rights to one repository: each further try brings the account nearer to a lock-out.
 * @param raw as for diagnose
 */
export function isWrongPassword(raw: string): boolean {
  const answer = answerIn(statement(raw));
  return answer?.status === 401 && !answer.forBlob;
}
