// Error texts of containerd, crictl and ctr: the class of each, its next step and its action. They come from real
// containerd 1.6, 1.7 and 2.x and several crictl versions (test/fixtures/errors; scripts/record-errors).
import type { Failure, FailureClass } from "./failure.ts";

export type Diagnosis = Omit<Failure, "message" | "evidence">;

export interface Rule extends Diagnosis {
  /** Description in the operators' table of failures. */
  readonly met: string;
  /** The statement must match all of them. */
  readonly patterns: readonly RegExp[];
  /** Must match the text after a registry's answer. Without it, that text is ignored, because it may be anything. */
  readonly words?: RegExp;
}

type More = Pick<Rule, "next" | "action" | "refused" | "words">;

/** @param more what differs from the class; `{host}` in `next` is the host that was asked */
const rule = (
  failureClass: FailureClass,
  met: string,
  patterns: RegExp | readonly RegExp[],
  more: More = {},
): Rule => ({ class: failureClass, met, patterns: [patterns].flat(), ...more });

export const LAYER = /failed to copy: |failed open: /u;
export const TOKEN = /failed to (?:authorize|fetch \w+ token): /u;

const NO_LOGIN: More = {
  next: "no login was given for this registry: give one under registries[], docker_config or images[].auth",
};
const PROXY: More = {
  action: "stop",
  next: "the proxy refuses the request: put the proxy's login into containerd's HTTPS_PROXY, or the registry into its NO_PROXY",
};
const HOSTS_FILE: More = {
  next: "correct certs.d/<host>/hosts.toml of this registry, and the files that it names",
};
const EXPIRED_LOGIN: More = {
  next: "the login has expired (ECR logins last 12 hours): get a new one, or let a pull-through cache or the node's own role log in",
  refused: "login",
};

/** For statements that end with the answer of a registry, a token service or a proxy; the first match wins. */
export const ANSWERS: readonly Rule[] = [
  rule("network", "407, from a proxy", /: 407$/u, PROXY),
  rule("auth", "401 where no login was given", [/no basic auth credentials$/u], NO_LOGIN),
  rule(
    "auth",
    "401 or 403 of a token service where no login was given",
    [/fetch anonymous token: /u, /: 40[13]$/u],
    NO_LOGIN,
  ),
  // For a layer or config, so after the manifest was served. Signed addresses expire within minutes.
  rule(
    "server",
    "any other 4xx for a layer",
    [
      LAYER,
      /(?:: 4(?!02|08|16|25|29)\d\d|pull access denied|server message: |authorization failed)$(?<!\/manifests\/\S*: \d{3})/u,
    ],
    {
      next: "the registry served the manifest and then refused a layer: look at the store behind it (missing files, signed addresses, expired tokens) and at this node's clock",
    },
  ),
  rule("auth", "401 or 403 with a message that the login has expired", /: 40[0-3]$/u, {
    ...EXPIRED_LOGIN,
    words: /token (?:has|is) expired/iu,
  }),
  rule("auth", "403 of ECR", /\.dkr\.ecr\.\S*: 403$/u, {
    ...EXPIRED_LOGIN,
    next: "the login has expired (ECR logins last 12 hours), or its account may not pull this repository",
  }),
  // Each further attempt with a refused login brings the account closer to a lockout.
  rule("auth", "401 of a token service", [TOKEN, /: 401$/u], { refused: "login" }),
  rule("auth", "401", /: 401$/u, { refused: "repository" }),
  rule("server", "a token that the registry does not take", /pull access denied/u, {
    action: "back-off",
    words: /^[^:]*: server message: invalid_token/u,
    next: "the registry rejects what its own token service issued: compare their clocks and keys, and this node's clock",
  }),
  rule("auth", "pull access denied", /pull access denied|server message: |authorization failed/u, {
    next: "the registry has no such repository, or this login (or a pull without one) may not pull it: check the name, the login and the account's rights",
  }),
  rule("auth", "403", /: 403$/u),
  rule("server", "5xx, 408 or 425", /: (?:[^4]\d\d|408|425)$/u, { action: "registry-back-off" }),
  // The kept part of a layer does not fit the registry's blob.
  rule("transfer", "416", /: 416$/u),
  rule("rate-limit", "429", /: 429$/u),
  // All other 4xx are permanent.
  rule("auth", "any other 4xx of a token service", TOKEN, {
    next: "{host} refuses the request: check the user and password, and the realm that the registry names in its answer",
  }),
  rule("tls", "400 to plain http", / http:\S+: 400$/u, {
    next: "the request used plain http, and the server may require https: set the scheme, and its CA, in certs.d/<host>/hosts.toml",
  }),
  // containerd 1.6.20 does not report the address, so its scheme is unknown.
  rule("reference", "400", /: 400$/u, {
    next: "the registry, or a proxy in front of it, finds the request malformed: check the image's name, the registry's log, and that plain http does not reach a server that wants https",
  }),
  rule("auth", "402", /: 402$/u, {
    next: "the registry requires payment: renew its plan or quota, or pull from another registry",
  }),
  rule("not-found", "405", /: 405$/u, {
    next: "the server at this address does not serve images: check the host and port of the name, and certs.d/<host>/hosts.toml",
  }),
  rule("not-found", "409", /: 409$/u, {
    next: "the registry does not serve this image at the moment (it may be being deleted, copied or scanned): check it in the registry",
    action: "once-more",
  }),
  rule("not-found", "410", /: 410$/u, {
    next: "the registry deleted this image for good: push it again, or correct its name",
  }),
  rule("auth", "412", /: 412$/u, {
    next: "the registry's policy forbids this image (a scan or a signature is missing or failed): look at the image in the registry",
  }),
  rule("auth", "451", /: 451$/u, {
    next: "the registry may not give out this image for legal reasons: take it from elsewhere",
  }),
  rule("not-found", "any other 4xx", [], {
    next: "the registry rejects the request for good: its own log says why",
  }),
];

/** The kernel's words, as one complete part of an error chain that is separated by colons. */
const errno = (words: string): RegExp => new RegExp(`(?<=: )(?:${words})(?![\\w ])`, "u");

/** Failures of containerd's disk and node, from a tool or from containerd's own API. */
export const NODE_RULES: readonly Rule[] = [
  rule("runtime", "an answer that is larger than gRPC allows", /message larger than max/u, {
    action: "stop",
    next: "containerd holds more records than one answer may list: delete unused images (crictl rmi --prune), or raise [grpc] max_send_message_size in containerd's config.toml",
  }),
  rule("disk", "a full disk or quota, or no inodes", errno("no space left on device|disk quota exceeded")),
  rule(
    "disk",
    "a read-only or broken file system or database",
    errno(
      "read-only file system|input/output error|structure needs cleaning|bad message|remote I/O error|no such device or address|no medium found|stale (?:NFS )?file handle|invalid database|checksum error|database not open",
    ),
    {
      next: "the disk that holds containerd's images, or its file system, is broken: read dmesg, repair or replace the disk (bosh recreate), then run again",
    },
  ),
  rule(
    "runtime",
    "no memory, processes or open files left",
    errno("too many open files(?: in system)?|cannot allocate memory|resource temporarily unavailable"),
    {
      action: "back-off",
      next: "the node, or containerd's own limit, has no memory, processes or open files left: see free, dmesg and the limits of containerd's process",
    },
  ),
  rule(
    "runtime",
    "something else works on the same layer",
    /(?<=: )(?:device or resource busy|directory not empty|file exists|text file busy|already exists)(?![\w ])|ref \S+ locked for /u,
    {
      action: "back-off",
      next: "something else on this node works on the same layer or name (another pull, a scanner, a backup): see containerd's log, then run again",
    },
  ),
  rule(
    "not-an-image",
    "names, sizes or links that this file system does not take",
    errno(
      "file name too long|file too large|too many links|too many levels of symbolic links|value too large for defined data type",
    ),
    {
      next: "the image holds names, sizes or links that this node's file system does not support: rebuild it without them",
    },
  ),
];

/** For statements without an answer; the first match wins. Ambiguous texts and mere consequences come last. */
export const RULES: readonly Rule[] = [
  rule("runtime", "containerd that does not answer", [
    /validate service connection: |getting the runtime version: |code = Unavailable desc = (?:connection error|error reading from server|transport is closing|the connection is draining)|failed to dial "|connection error: desc = |^ctr: [^\n]*(?:context deadline exceeded|error reading from server|transport is closing|the connection is draining)/u,
  ]),
  rule(
    "auth",
    "a login that is not user:password",
    /illegal base64 data|invalid decoded auth|missing username or secret/u,
  ),
  rule("auth", "an image verifier of this node", /image verifier \S+ (?:blocked pull|returned error)/u, {
    next: "this node's own image verifier forbids the image; see its policy",
  }),
  rule(
    "network",
    "a proxy that refuses the connection",
    /failed to do request: \w+ "[^"]*": (?:Proxy Authentication Required|Forbidden)/u,
    PROXY,
  ),
  rule(
    "server",
    "a proxy that cannot reach the registry",
    /failed to do request: \w+ "[^"]*": (?:Bad Gateway|Service Unavailable|Gateway Timeout)/u,
    {
      next: "the proxy of this node (containerd's HTTPS_PROXY) does not reach {host}: look at the proxy's log, or put the registry into NO_PROXY",
      action: "registry-back-off",
    },
  ),
  rule(
    "server",
    "HTML, or something else that no registry sends",
    /unexpected media type text\/html|unable to decode token response|not include a token in the response|malformed HTTP (?:response|status code|version)(?! "\\x1[56])|stopped after 10 redirects/u,
    {
      next: "another system answers in place of {host} (a captive portal, a login page, a proxy), or the address is not a registry's: open it with curl from this node",
    },
  ),
  rule(
    "server",
    "a challenge or a header that breaks the protocol",
    /failed to find supported auth scheme|no realm specified|challenge realm|reports (?:content size of zero|negative content size)|in header not a valid digest|unhandled content range|Content-Encoding algorithm/u,
    {
      action: "back-off",
      next: "{host} violates the registry protocol: look at its configuration, and at the proxy in front of it",
    },
  ),
  ...NODE_RULES,
  rule("not-an-image", "encrypted layers", /"ctd-decoder"|ctd-decoder: |\+encrypted|needed for decryption/u, {
    next: "the image's layers are encrypted: install the decoder and its keys on this node (stream_processors in containerd's config.toml), or push the image unencrypted",
  }),
  rule(
    "not-an-image",
    "a layer that does not unpack",
    [
      /failed to (?:extract layer|apply)|failed to unpack/u,
      /archive\/tar: |gzip: |zstd: |flate: |(?<=: )unpigz: |magic number|unexpected EOF|invalid tar header|unexpected end/u,
    ],
    {
      next: "a layer itself is broken, although it is what the manifest names: build the image and push it again; if it works elsewhere, import-images status --deep shows whether this node's disk damaged it",
    },
  ),
  rule(
    "reference",
    "an invalid image name",
    /failed to parse image reference|invalid reference format|error parsing reference/u,
  ),
  rule("platform", "no manifest for this platform", /no match for platform|does not support platform/u),
  rule(
    "not-an-image",
    "a manifest of schema 1",
    /manifest\.v1\+prettyjws|schema 1 (?:image )?(?:manifest|not supported)|: no signatures/u,
    {
      next: "the image has a manifest of Docker's schema 1, which containerd cannot use: push it again with a current tool",
    },
  ),
  rule(
    "not-an-image",
    "layers that the config does not name",
    /wrong diff id|layers and diffIDs don't match: \d+ != [1-9]/u,
    {
      next: "the image is broken, because its layers are not those that its config names: build it and push it again",
    },
  ),
  rule(
    "not-an-image",
    "a manifest or config that is not what it is called",
    /media-type: expected|invalid size \S+ in|json: cannot|unmarshal (?:image config|data)|invalid character '|unexpected end of JSON input/u,
    { next: "the image's manifest or config is broken: build the image and push it again" },
  ),
  rule(
    "not-an-image",
    "a chart, a signature or another artifact",
    /layers and diffIDs don't match|mismatched image rootfs|no processor for media-type|unexpected media type|rejecting \d+ byte manifest/u,
  ),
  rule(
    "tls",
    "files that hosts.toml names",
    /unable to (?:read|load) (?:CA cert|CERT file)|failed to load (?:X509 key pair|CA file|cert file)/u,
    HOSTS_FILE,
  ),
  // Newer crictl versions print this when they are stopped. containerd itself cancels only a pull without progress.
  rule("cancelled", "crictl that was stopped", /interrupted: context canceled/u),
  rule("stall", "a pull that containerd itself cancelled", /code = Canceled|context canceled/u),
  rule("transfer", "TLS that breaks in a download", [LAYER, /(?:local|remote) error: tls: /u]),
  rule(
    "tls",
    "http where https is expected",
    /server gave HTTP response to HTTPS client|tls: (?:first record does not look|oversized record)|malformed HTTP response "\\x1[56]/u,
    {
      next: "{host} does not speak the scheme that containerd uses (https or http): give it the right one, or the right port, in certs.d/<host>/hosts.toml; of a proxy, in HTTPS_PROXY",
    },
  ),
  rule(
    "tls",
    "a certificate that is not valid yet",
    /certificate has expired or is not yet valid: current time \S+ is before/u,
    {
      action: "once-more",
      next: "the certificate of {host} is not valid yet: set this node's clock (NTP), or the clock of its issuer",
    },
  ),
  rule("tls", "a certificate that has expired", /certificate has expired/u, {
    next: "renew the certificate of {host}; if it is still valid, set this node's clock",
  }),
  rule(
    "tls",
    "a certificate without this name",
    /x509: (?:certificate is (?:not )?valid for|cannot validate certificate for|certificate relies on legacy Common Name)/u,
    {
      next: "issue a certificate for {host} with this name or address as subject alternative name (SAN), or use a name that it has",
    },
  ),
  rule("tls", "a certificate with a negative serial number", /negative serial number/u, {
    next: "the serial number of the certificate of {host} is negative, which containerd refuses: issue a new one",
  }),
  rule(
    "tls",
    "an unknown authority",
    /(?<![^\s"])x509: (?:certificate signed by unknown authority(?! \(possibly)|failed to load system roots)/u,
  ),
  rule(
    "tls",
    "any other fault of a certificate",
    /(?<![^\s"])x509: |failed to parse certificate from server|certificate containing RSA key|invalid signature by the server|type of public key/u,
    {
      next: "containerd refuses the certificate of {host} for what the message says (an algorithm, a key, a constraint): issue a new one with current tools",
    },
  ),
  rule(
    "tls",
    "a server that wants a client's certificate",
    /remote error: tls: (?:(?:bad|unsupported|revoked|expired|unknown) certificate|certificate (?:required|unobtainable)|access denied)/u,
    {
      next: "{host} wants a client certificate, or refuses the one that it gets: see client in certs.d/<host>/hosts.toml",
    },
  ),
  rule(
    "tls",
    "no common TLS version or cipher",
    /tls: (?:handshake failure|protocol version not supported|insufficient security level|no application protocol|illegal parameter|inappropriate fallback|missing extension|unsupported extension|server (?:selected|chose)|no supported)/u,
    {
      next: "{host} and containerd have no TLS version, cipher or protocol in common: allow TLS 1.2 or 1.3 with current ciphers there",
    },
  ),
  // Requires a blank or a quote in front, because a tag may end in the same letters: `team/app:tls: not found`.
  rule("tls", "any other fault of TLS", /(?<![^\s"])tls: /u, {
    action: "once-more",
    next: "{host}, or a proxy in front of it, broke off the TLS handshake: see its log, and whether it has a certificate for this name",
  }),
  rule("stall", "no answer within containerd's own 30 s", /timeout awaiting response headers/u, {
    action: "back-off",
    next: "{host} did not answer within containerd's fixed limit of 30 s: look at the cache or store there, which may be fetching the image itself; run again later",
  }),
  // No answer at all. `TLS handshake timeout` has no colon after `TLS`, so no rule above matches it.
  rule(
    "network",
    "a host that is unreachable, unknown or silent",
    /failed to do request: |fetch \w+ token: \w+ "|connection refused|no such host|server misbehaving|network is unreachable|no route to host|i\/o timeout|context deadline exceeded|TLS handshake timeout|dial tcp|connection timed out/u,
  ),
  // A blob of the manifest is missing. The error also has `code = NotFound`, but the image exists.
  rule(
    "server",
    "a layer or manifest that the registry promises and lacks",
    /could not fetch content (?:descriptor )?\S+ (?:\S+ )?from remote|content at \S+ not found/u,
    {
      next: "the registry lacks a part of the image that its manifest names (lost in its store, or still being pushed or cached): push the image again, or look at the registry's store",
    },
  ),
  rule(
    "transfer",
    "a download that breaks",
    /unexpected EOF|connection reset by peer|broken pipe|(?<![^\s"])http2: |stream error|failed to discard to offset|unable to discard|: EOF/u,
  ),
  rule(
    "transfer",
    "bytes that are not what was promised",
    /unexpected commit (?:digest|size)|failed size validation|read exceeds expected size|read past expected size|writer offset|unable to resume write/u,
  ),
  rule(
    "not-found",
    "404: no such repository or tag",
    /failed to resolve (?:reference "[^"]*"|image): \S+: not found/u,
    { action: "once-more" },
  ),
  rule("not-found", "no host that may be asked", /no (?:resolve|pull) hosts: not found/u, HOSTS_FILE),
  rule("runtime", "a part that containerd's own store lost", /: not found|: no such file or directory/u, {
    next: "containerd's own store lost a part of the image or its name (its garbage collection, or somebody's deletion); run again",
  }),
  rule(
    "runtime",
    "an operation that this node does not allow containerd",
    [
      /operation not permitted|permission denied|operation not supported|function not implemented|no such device|exec format error|failed to (?:extract layer|mount|unpack)[^]{0,2000}invalid argument/u,
    ],
    {
      action: "stop",
      next: "the node does not let containerd do this: read dmesg and containerd's log (AppArmor or SELinux, mount options, a file system that overlay cannot use)",
    },
  ),
];
