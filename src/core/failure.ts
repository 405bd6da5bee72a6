// The error catalogue: what crictl, ctr and containerd say, the class it means, and what the class entails.
// The texts come from real containerd 1.6, 1.7 and 2.x (test/fixtures/errors; scripts/record-errors records them anew).

export const FAILURE_CLASSES = [
  "auth",
  "not-found",
  "rate-limit",
  "server",
  "network",
  "transfer",
  "stall",
  "timeout",
  "tls",
  "reference",
  "disk",
  "runtime",
  "cancelled",
  "unknown",
] as const;

export type FailureClass = (typeof FAILURE_CLASSES)[number];

/** Why a step of an image failed. `message` is redacted text of the tool, or our own. */
export interface Failure {
  readonly class: FailureClass;
  readonly message: string;
}

/**
 * What a class decides. `stop`: no further attempt for this image. `at-once`: the partial layer is still in
 * containerd for about 50 ms, so go on from it. `back-off`: wait, this image alone. `registry-back-off`: wait, every
 * image of that registry. `wait-for-runtime`: try again once containerd answers. `stop-run`: no further pull at all.
 */
export type Action = "stop" | "at-once" | "back-off" | "registry-back-off" | "wait-for-runtime" | "stop-run";

interface Entry {
  readonly action: Action;
  /** What the person who reads it can do next; a sentence without a full stop. */
  readonly next: string;
}

const CLASSES: Readonly<Record<FailureClass, Entry>> = {
  auth: {
    action: "stop",
    next: "check the user and password of this registry (images[].auth or registries[]) and that the account may pull this repository",
  },
  "not-found": {
    action: "stop",
    next: "push the image to the registry or correct its name or tag, and check that a manifest for this platform exists",
  },
  "rate-limit": {
    action: "registry-back-off",
    next: "raise the registry's rate limit, lower concurrency or set start_jitter, then run again",
  },
  server: { action: "back-off", next: "look at the registry's own log and health, then run again" },
  network: {
    action: "registry-back-off",
    next: "check DNS, routes, firewall and proxy from this node to the registry (also certs.d/<host>/hosts.toml), then run again",
  },
  transfer: {
    action: "at-once",
    next: "look for a proxy, firewall or registry that cuts long downloads, or a damaged layer in the registry, then run again",
  },
  stall: {
    action: "at-once",
    next: "the registry or the network stopped sending; look at both, or raise stall_timeout if pauses are normal here",
  },
  timeout: { action: "stop", next: "raise image_timeout or deadline, or find out why the registry is slow" },
  tls: {
    action: "stop",
    next: "give containerd the registry's CA, or the right scheme, in certs.d/<host>/hosts.toml",
  },
  reference: { action: "stop", next: "correct the image's name" },
  disk: {
    action: "stop-run",
    next: "free space on the disk that holds containerd's images, or give the worker a larger one, then run again",
  },
  runtime: {
    action: "wait-for-runtime",
    next: "check that containerd runs and answers (monit summary, crictl info), then run again",
  },
  cancelled: {
    action: "stop",
    next: "run again: bosh run-errand import-images, or bin/import-images on the node",
  },
  unknown: {
    action: "back-off",
    next: "read the tool's full message in import-images.log; the class is unknown to this version",
  },
};

export const actionOf = (failure: FailureClass): Action => CLASSES[failure].action;
export const nextStep = (failure: FailureClass): string => CLASSES[failure].next;

/**
 * First match wins, so the order says what is more telling: a full disk before the broken transfer that it causes,
 * a missing blob (also `code = NotFound`) before a missing tag.
 */
const TEXTS: readonly (readonly [FailureClass, RegExp])[] = [
  ["disk", /no space left on device|disk quota exceeded/iu],
  [
    "runtime",
    /validate (?:service|CRI v1(?:alpha\d)? \w+) (?:connection|API)[^]*(?:Unavailable|DeadlineExceeded|connection refused|no such file)/iu,
  ],
  [
    "runtime",
    /code = Unavailable desc = (?:connection error|error reading from server|transport is closing|the connection is draining)/iu,
  ],
  [
    "runtime",
    /(?:failed to dial|dial unix|connect: )[^]*containerd[^]*(?:no such file|connection refused|context deadline exceeded)/iu,
  ],
  ["runtime", /unknown service runtime\.v1|error reading from server: EOF|transport is closing/iu],
  ["cancelled", /interrupted: context canceled|code = Canceled/iu],
  ["rate-limit", /429 Too Many Requests|toomanyrequests/iu],
  [
    "server",
    /could not fetch content descriptor [^]*not found|unexpected status[^]*5\d\d |\b50[0234] (?:Internal|Bad|Service|Gateway)/iu,
  ],
  [
    "tls",
    /x509: |tls: (?!.*handshake timeout)|server gave HTTP response to HTTPS client|client sent an HTTP request to an HTTPS server|HTTP\/1\.\w "?\\x15/iu,
  ],
  [
    "auth",
    /401 Unauthorized|403 Forbidden|pull access denied|insufficient_scope|authorization failed|no basic auth credentials|invalid username\/password|illegal base64 data|invalid decoded auth/iu,
  ],
  ["reference", /failed to parse image reference|invalid reference format|error parsing reference/iu],
  [
    "network",
    /TLS handshake timeout|connection refused|no such host|server misbehaving|network is unreachable|no route to host|i\/o timeout|Client\.Timeout|connect: connection timed out/iu,
  ],
  [
    "transfer",
    /unexpected EOF|short read|failed to read expected number of bytes|connection reset by peer|broken pipe|unexpected commit digest|failed size validation|failed precondition[^]*digest|unexpected end of|http2: |stream error/iu,
  ],
  ["network", /\bEOF\b/u],
  ["not-found", /no match for platform|: not found|code = NotFound|manifest unknown|name unknown/iu],
  ["timeout", /DeadlineExceeded|context deadline exceeded/iu],
];

/** The class of a redacted tool message; `unknown` is retried and says so. */
export function classify(message: string): FailureClass {
  return TEXTS.find(([, pattern]) => pattern.test(message))?.[0] ?? "unknown";
}

/** Refused as such, not for lack of rights to one repository: each further try brings the account nearer to a lock-out. */
export const isWrongPassword = (failure: Failure): boolean =>
  failure.class === "auth" && /401 Unauthorized/iu.test(failure.message);

/** The last `msg="…"` of a Go program's log lines, where crictl and ctr put what matters. */
const LOGGED = /^.*\bmsg="(?<said>(?:[^"\\]|\\.)*)"/gmu;
/** What every pull's error begins with, and every reader knows. */
const PREAMBLE =
  /^(?:pulling image: )?(?:rpc error: code = \w+ desc = )?(?:failed to pull and unpack image "[^"]*": )?/u;
const LONGEST = 600;

/** A tool's message as a person wants to read it; classify the whole text, not this. */
export function essence(text: string): string {
  const logged = [...text.matchAll(LOGGED)].at(-1)?.groups?.["said"];
  const said = logged?.replaceAll(/\\(?<escaped>["\\])/gu, "$<escaped>") ?? text;
  const short = said
    .replace(PREAMBLE, "")
    .replace(/^ctr: /u, "")
    .trim();
  return short.length > LONGEST ? `${short.slice(0, LONGEST)}…` : short;
}
