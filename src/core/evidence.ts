// Reads what crictl and ctr printed: the statement that tells why, what a registry answered, and the class of both.
// The texts come from real containerd 1.6, 1.7 and 2.x and several crictls (test/fixtures/errors; scripts/record-errors).
import type { Failure, FailureClass } from "./failure.ts";

/** What a text shows. */
export type Diagnosis = Omit<Failure, "message" | "evidence">;

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
/** Characters: of a message, and of what one is made of. */
const [LONGEST, READ] = [600, 6_000];

/** A tool's message as a person wants to read it, in one line; classify the whole text, not this. */
export function essence(text: string): string {
  const said = statement(text).slice(0, READ).replace(PREAMBLE, "").replaceAll(LONG_QUERY, "$<address>…");
  const short = said.replaceAll(/[\s\p{Cc}]+/gu, " ").trim();
  return short.length > LONGEST ? `${short.slice(0, LONGEST)}…` : short;
}

/** containerd's ways to introduce what a registry, a token service or a proxy answered. Behind it anything may stand. */
const ANSWER =
  /(?:unexpected (?:HEAD )?status(?: code| from [A-Z]+ request to)?(?: \S+)?|failed with status code \[[^\]]*\]): \d{3}(?!\d)|pull access denied|server message: |authorization failed/u;

/** A statement up to what was answered, which is a status or words that deny access; undefined where nothing was. */
function answerIn(said: string): string | undefined {
  const match = ANSWER.exec(said);
  return match === null ? undefined : said.slice(0, match.index + match[0].length);
}

/** @param patterns all of them have to match @param more where it is not what the class says; a text is the next step */
const rule = (
  failureClass: FailureClass,
  patterns: RegExp | readonly RegExp[],
  more: string | Omit<Diagnosis, "class"> = {},
) => ({
  patterns: [patterns].flat(),
  diagnosis: {
    class: failureClass,
    ...(typeof more === "string" ? { next: more } : more),
  } satisfies Diagnosis as Diagnosis,
});

const PROXY_REFUSES =
  "the proxy refuses the request: put the proxy's login into containerd's HTTPS_PROXY, or the registry into its NO_PROXY";

/** For statements that end with an answer; the first match wins. */
const ANSWERS = [
  // A layer or config, and so after the manifest was served.
  rule(
    "server",
    [
      /failed to copy: |failed open: /u,
      /(?:: 40[13]|pull access denied|server message: |authorization failed)$(?<!\/manifests\/\S*: 40[13])/u,
    ],
    "the registry served the manifest and then refused a layer: look at the store behind it (signed addresses, expired tokens) and at this node's clock",
  ),
  // Each further try of a login that is refused as such brings the account nearer to a lock-out.
  rule("auth", [/failed to (?:authorize|fetch \w+ token): /u, /: 401$/u], { refused: "login" }),
  rule("auth", /: 401$/u, { refused: "repository" }),
  rule("auth", /(?:: 403|pull access denied|server message: |authorization failed)$/u),
  rule("auth", /: 407$/u, PROXY_REFUSES),
  rule("server", /: (?:[^4]\d\d|408|425)$/u),
  // What was kept of a layer does not fit what the registry has.
  rule("transfer", /: 416$/u),
  rule("rate-limit", /: 429$/u),
  // The rest of 4xx is permanent.
  rule(
    "auth",
    /failed to (?:authorize|fetch \w+ token): /u,
    "the registry's token service refuses the request: check the user and password, and the realm that the registry names in its answer",
  ),
  rule(
    "tls",
    /: 400$(?<= http:\S+: 400)/u,
    "plain http reached a server that may want https: give it the right scheme, and its CA, in certs.d/<host>/hosts.toml",
  ),
  // 1.6.20 does not tell the address, and so not its scheme.
  rule(
    "reference",
    /: 400$/u,
    "the registry, or a proxy in front of it, finds the request malformed: check the image's name, the registry's log, and that plain http does not reach a server that wants https",
  ),
  rule(
    "auth",
    /: 402$/u,
    "the registry wants to be paid: renew its plan or quota, or pull from another registry",
  ),
  rule(
    "not-found",
    /: 405$/u,
    "whatever answers there does not serve images: check the host and port of the name, and certs.d/<host>/hosts.toml",
  ),
  rule(
    "not-found",
    /: 409$/u,
    "the registry gives this image to nobody at the moment (it is being deleted, copied or scanned): look at it in the registry",
  ),
  rule(
    "not-found",
    /: 410$/u,
    "the registry deleted this image for good: push it again, or correct its name",
  ),
  rule(
    "auth",
    /: 412$/u,
    "the registry's policy forbids this image (a scan or a signature is missing or failed): look at the image in the registry",
  ),
  rule(
    "auth",
    /: 451$/u,
    "the registry may not give out this image for legal reasons: take it from elsewhere",
  ),
  rule("not-found", /: \d{3}$/u, "the registry rejects the request for good: its own log says why"),
];

const HOSTS_FILE = "correct certs.d/<host>/hosts.toml of this registry, and the files that it names";

/**
 * For statements without an answer; the first match wins. First what only one side can say, then what several say, and
 * what is a consequence of the rest.
 */
export const RULES = [
  rule("runtime", /validate service connection: |getting the runtime version: /u),
  rule(
    "runtime",
    /code = Unavailable desc = (?:connection error|error reading from server|transport is closing|the connection is draining)/u,
  ),
  // ctr, which talks to containerd alone, and leaves the code out.
  rule(
    "runtime",
    /failed to dial "|connection error: desc = |^ctr: [^\n]*(?:context deadline exceeded|error reading from server|transport is closing|the connection is draining)/u,
  ),
  rule("auth", /illegal base64 data|invalid decoded auth/u),
  rule(
    "auth",
    /image verifier \S+ blocked pull/u,
    "this node's own image verifier forbids the image; see its policy",
  ),
  rule(
    "auth",
    /failed to do request: \w+ "[^"]*": (?:Proxy Authentication Required|Forbidden)$/u,
    PROXY_REFUSES,
  ),
  rule(
    "server",
    /unexpected media type text\/html|unable to decode token response|not include a token in the response/u,
    "something in between answers HTML instead of the registry (a captive portal, a login page, a proxy), or the address is not a registry's: open it with curl from this node",
  ),
  rule("disk", /no space left on device|disk quota exceeded/u),
  rule("reference", /failed to parse image reference|invalid reference format|error parsing reference/u),
  rule("platform", /no match for platform|does not support platform/u),
  rule(
    "not-an-image",
    /manifest\.v1\+prettyjws|schema 1 (?:image )?manifest|: no signatures$/u,
    "the image has a manifest of Docker's schema 1, which containerd cannot use: push it again with a current tool",
  ),
  rule(
    "not-an-image",
    /wrong diff id|layers and diffIDs don't match: \d+ != [1-9]/u,
    "the image is broken, because its layers are not those that its config names: build it and push it again",
  ),
  rule(
    "not-an-image",
    /layers and diffIDs don't match|mismatched image rootfs|no processor for media-type|unexpected media type|rejecting \d+ byte manifest/u,
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
  rule("server", /could not fetch content descriptor \S+ \S+ from remote: not found/u),
  rule("transfer", /unexpected EOF|connection reset by peer|broken pipe|(?<![^\s"])http2: |stream error/u),
  rule("transfer", /unexpected commit digest|failed size validation/u),
  rule("not-found", /failed to resolve (?:reference "[^"]*"|image): \S+: not found$/u),
  rule("not-found", /no (?:resolve|pull) hosts: not found$/u, HOSTS_FILE),
  rule(
    "runtime",
    /: not found$/u,
    "containerd's own store lost a part of the image or its name (its garbage collection, or somebody's deletion); run again",
  ),
];

/** @param raw all that the tool printed, before anything was cut or masked: a password may be a word of a rule */
export function diagnose(raw: string): Diagnosis {
  const said = statement(raw);
  const answer = answerIn(said);
  const [rules, text] = answer === undefined ? [RULES, said] : [ANSWERS, answer];
  const found = rules.find(({ patterns }) => patterns.every((pattern) => pattern.test(text)));
  return found?.diagnosis ?? { class: "unknown" };
}

/**
 * containerd's key of a download that an attempt could not finish because what came is not what was promised; kept, it
 * would fail every further attempt. A registry's words name none: they could name the download of another image.
 * @param raw as for diagnose
 */
export function brokenDownload(raw: string): string | undefined {
  const said = statement(raw);
  const answer = answerIn(said);
  if (answer === undefined) return /failed commit on ref "(?<ref>[^"]+)"/u.exec(said)?.groups?.["ref"];
  // It goes on behind the end of the blob.
  const digest = /\/blobs\/(?<digest>[^/?\s]+): 416$/u.exec(answer)?.groups?.["digest"];
  return digest === undefined ? undefined : `layer-${digest}`;
}
