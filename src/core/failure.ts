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
  /** What to do next, where it is not what the class says. */
  readonly next?: string;
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

/** containerd's two ways to name the answer of a registry or token service, up to the number. */
const answered = (codes: string): RegExp =>
  new RegExp(
    String.raw`(?:unexpected status(?: code \S+| from [A-Z]+ request to \S+)?|failed with status code \[[^\]]*\]): (?:${codes}) `,
    "u",
  );

/**
 * First match wins. The answers come first, because behind them stands what the registry says, which may be anything;
 * then what only one side can say; last what several say, and what is a consequence of the rest.
 */
export const RULES: readonly (readonly [FailureClass, RegExp])[] = [
  ["rate-limit", answered("429")],
  ["server", answered(String.raw`408|5\d\d`)],
  ["auth", answered("401|403")],
  // What a server that expects TLS answers to plain text. 1.6.20 does not tell the scheme that was used.
  ["tls", answered("400")],
  ["auth", /pull access denied|authorization failed|illegal base64 data|invalid decoded auth/u],
  ["disk", /no space left on device|disk quota exceeded/u],
  ["runtime", /validate service connection: /u],
  [
    "runtime",
    /code = Unavailable desc = (?:connection error|error reading from server|transport is closing|the connection is draining)/u,
  ],
  // ctr, which talks to containerd alone.
  ["runtime", /failed to dial "|connection error: desc = |^ctr: [^\n]*context deadline exceeded/mu],
  ["reference", /failed to parse image reference|invalid reference format|error parsing reference/u],
  // Newer crictls say so when they are stopped. What containerd cancels by itself is a pull without progress.
  ["cancelled", /interrupted: context canceled/u],
  ["stall", /code = Canceled|context canceled/u],
  // After a blank, because a tag may end in the same letters: `team/app:tls: not found`.
  ["tls", /(?<![^\s"])(?:x509|tls): |server gave HTTP response to HTTPS client/u],
  // No answer at all. TLS handshake timeout has no colon after `tls`, and so passes the rule above.
  ["network", /failed to do request: /u],
  [
    "network",
    /connection refused|no such host|server misbehaving|network is unreachable|no route to host|i\/o timeout|context deadline exceeded/u,
  ],
  // A blob that the manifest promises; also `code = NotFound`, but the image is there.
  ["server", /could not fetch content descriptor [^]*not found/u],
  ["transfer", /unexpected EOF|connection reset by peer|broken pipe|(?<![^\s"])http2: |stream error/u],
  ["transfer", /unexpected commit digest|failed size validation/u],
  ["not-found", /no match for platform|: not found/u],
];

/** The class of a redacted tool message; `unknown` is retried and says so. */
export function classify(message: string): FailureClass {
  return RULES.find(([, pattern]) => pattern.test(message))?.[0] ?? "unknown";
}

/** Refused as such, not for lack of rights to one repository: each further try brings the account nearer to a lock-out. */
export const isWrongPassword = (failure: Failure): boolean =>
  failure.class === "auth" && /401 Unauthorized/iu.test(failure.message);

/** The last `msg="…"` of a Go program's log lines, where crictl and ctr put what matters. */
const LOGGED = /^.*\bmsg="(?<said>(?:[^"\\]|\\.)*)"/gmu;
/** ctr says it plainly, below warnings that it logs. */
const PLAIN = /^ctr: (?<said>[^]*)/mu;
/** What every pull's error begins with, and every reader knows. */
const PREAMBLE =
  /^(?:pulling image: )?(?:rpc error: code = \w+ desc = )?(?:failed to pull and unpack image "[^"]*": )?/u;
const LONGEST = 600;

/** Within Go's quotes. */
const unescape = (_match: string, escaped: string): string => (escaped === "n" ? " " : escaped);

/** A tool's message as a person wants to read it; classify the whole text, not this. */
export function essence(text: string): string {
  const logged = [...text.matchAll(LOGGED)]
    .at(-1)
    ?.groups?.["said"]?.replaceAll(/\\(?<escaped>["\\n])/gu, unescape);
  const said = PLAIN.exec(text)?.groups?.["said"] ?? logged ?? text;
  const short = said.replace(PREAMBLE, "").trim();
  return short.length > LONGEST ? `${short.slice(0, LONGEST)}…` : short;
}
