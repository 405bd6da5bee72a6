// Texts of real tools that could not be brought about, or only by other versions: as the sources of Go 1.20 to 1.26,
// containerd, crictl and Linux word them.
import type { Action, FailureClass } from "../../../src/core/failure.ts";

const IMAGE = "registry.example.com/team/app:1";
const URL = "https://registry.example.com/v2/team/app";

const pulling = (what: string): string =>
  `pulling image: failed to pull and unpack image "${IMAGE}": ${what}`;
const resolving = (what: string): string => pulling(`failed to resolve reference "${IMAGE}": ${what}`);
const requesting = (what: string): string =>
  resolving(`failed to do request: Head "${URL}/manifests/1": ${what}`);
const copying = (what: string): string => pulling(`failed to copy: ${what}`);
const opening = (what: string): string => copying(`httpReadSeeker: failed open: ${what}`);
const extracting = (what: string): string =>
  pulling(
    `failed to extract layer sha256:0: mount callback failed on /var/lib/containerd/tmpmounts/containerd-mount1: ${what}: unknown`,
  );
const preparing = (what: string): string =>
  pulling(`failed to prepare extraction snapshot "extract-1 sha256:0": ${what}: unknown`);
const committing = (what: string): string =>
  pulling(`failed commit on ref "layer-sha256:0": ${what}: unknown`);

type Known = readonly [FailureClass, Action, string];
const all = (
  found: FailureClass,
  action: Action,
  whats: readonly string[],
  frame: (what: string) => string = (what) => what,
): Known[] => whats.map((what) => [found, action, frame(what)]);

const alert = (name: string): string => requesting(`remote error: tls: ${name}`);
const WANTS_CERTIFICATE = [
  "bad certificate",
  "unsupported certificate",
  "revoked certificate",
  "expired certificate",
  "unknown certificate",
  "unknown certificate authority",
  "access denied",
  "certificate unobtainable",
  "bad certificate status response",
  "bad certificate hash value",
  "certificate required",
];
const NOTHING_IN_COMMON = [
  "handshake failure",
  "illegal parameter",
  "protocol version not supported",
  "insufficient security level",
  "inappropriate fallback",
  "missing extension",
  "unsupported extension",
  "no application protocol",
];
const BROKEN_OFF = [
  "close notify",
  "unexpected message",
  "bad record MAC",
  "decryption failed",
  "record overflow",
  "decompression failure",
  "error decoding message",
  "error decrypting message",
  "export restriction",
  "internal error",
  "user canceled",
  "no renegotiation",
  "unrecognized name",
  "unknown PSK identity",
  "encrypted client hello required",
  "alert(255)",
];
const HANDSHAKE = [
  "tls: server selected unsupported protocol version 301",
  "tls: server chose an unconfigured cipher suite",
  "tls: server selected unsupported curve",
  "tls: server selected unadvertised ALPN protocol",
  "tls: no supported versions satisfy MinVersion and MaxVersion",
];

const verifying = (what: string): string => requesting(`tls: failed to verify certificate: x509: ${what}`);
const NAMES = [
  "certificate is valid for a.example.com, b.example.com, not registry.example.com",
  "certificate is valid for 10.0.0.1, not 10.0.0.2",
  "certificate is valid for 150 names, but none matched registry.example.com",
  "certificate is valid for 150 IP SANs, but none matched 10.0.0.2",
  "certificate is not valid for any names, but wanted to match registry.example.com",
  "cannot validate certificate for 10.0.0.2 because it doesn't contain any IP SANs",
  "certificate relies on legacy Common Name field, use SANs instead",
];
const CERTIFICATES = [
  "certificate is not authorized to sign other certificates",
  "a root or intermediate certificate is not authorized to sign for this name: DNS name is not permitted",
  "a root or intermediate certificate is not authorized for an extended key usage: x",
  "too many intermediates for path length constraint",
  "certificate specifies an incompatible key usage",
  "issuer name does not match subject from issuing certificate",
  "issuer has name constraints but leaf doesn't have a SAN extension",
  "issuer has name constraints but leaf contains unknown or unconstrained name: x",
  "no valid chains built",
  "unhandled critical extension",
  "cannot verify signature: insecure algorithm SHA1-RSA",
  'certificate signed by unknown authority (possibly because of "x509: cannot verify signature: insecure algorithm SHA1-RSA" while trying to verify candidate authority certificate "Corp CA")',
];
const PARSING = [
  "x509: malformed certificate",
  "x509: malformed serial number",
  "x509: invalid basic constraints",
  "x509: SAN dNSName is malformed",
  "x509: unsupported elliptic curve",
  "x509: certificate contains duplicate extension with OID 2.5.29.15",
  "x509: inner and outer signature algorithm identifiers don't match",
].map((what) => `tls: failed to parse certificate from server: ${what}`);
const KEYS = [
  "tls: server sent certificate containing RSA key larger than 8192 bits",
  "tls: invalid signature by the server certificate: crypto/rsa: verification error",
  "tls: server's certificate contains an unsupported type of public key: *dsa.PublicKey",
];

const NO_ANSWER = [
  "dial tcp 10.0.0.5:443: connect: connection refused",
  "dial tcp 10.0.0.5:443: connect: no route to host",
  "dial tcp 10.0.0.5:443: connect: network is unreachable",
  "dial tcp 10.0.0.5:443: connect: connection timed out",
  "dial tcp 10.0.0.5:443: connect: host is down",
  "dial tcp 10.0.0.5:443: i/o timeout",
  "dial tcp 10.0.0.5:443: connect: cannot assign requested address",
  "dial tcp: lookup registry.example.com on 10.0.0.2:53: no such host",
  "dial tcp: lookup registry.example.com on 10.0.0.2:53: server misbehaving",
  "dial tcp: lookup registry.example.com on 10.0.0.2:53: read udp 10.0.0.9:40000->10.0.0.2:53: i/o timeout",
  "dial tcp: lookup registry.example.com: Temporary failure in name resolution",
  "proxyconnect tcp: dial tcp 10.0.0.3:3128: connect: connection refused",
  "net/http: TLS handshake timeout",
  "read tcp 10.0.0.9:40000->10.0.0.5:443: read: connection reset by peer",
  "http: server closed idle connection",
  'http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR, debug=""',
  "unexpected EOF",
  "context deadline exceeded",
];

const DISK = [
  "read-only file system",
  "input/output error",
  "structure needs cleaning",
  "bad message",
  "remote I/O error",
  "no such device or address",
  "no medium found",
  "stale NFS file handle",
  "stale file handle",
];
const WRITING = "write /var/lib/containerd/io.containerd.content.v1.content/ingest/0/data";

export const knownTexts: readonly Known[] = [
  ...all("tls", "stop", WANTS_CERTIFICATE, alert),
  ...all("tls", "stop", NOTHING_IN_COMMON, alert),
  ...all("tls", "stop", HANDSHAKE, requesting),
  ...all("tls", "once-more", BROKEN_OFF, alert),
  ...all("tls", "stop", [...NAMES, ...CERTIFICATES], verifying),
  ...all("tls", "stop", [...PARSING, ...KEYS], requesting),
  ...all(
    "tls",
    "stop",
    [
      "x509: certificate signed by unknown authority",
      "x509: failed to load system roots and no roots provided",
    ],
    requesting,
  ),
  ...all(
    "tls",
    "stop",
    [
      "tls: first record does not look like a TLS handshake",
      "tls: oversized record received with length 20527",
      "proxyconnect tcp: tls: first record does not look like a TLS handshake",
      String.raw`net/http: HTTP/1.x transport connection broken: malformed HTTP response "\x15\x03\x01\x00\x02\x02\x16"`,
    ],
    requesting,
  ),
  ...all("network", "registry-back-off", NO_ANSWER, requesting),
  ...all("network", "back-off", NO_ANSWER, (what) =>
    resolving(
      `failed to authorize: failed to fetch oauth token: Post "https://auth.example.com/token": ${what}`,
    ),
  ),
  ...all("network", "back-off", NO_ANSWER, (what) =>
    opening(`failed to do request: Get "https://store.example.com/x?sig=1": ${what}`),
  ),
  ...all("stall", "back-off", ["net/http: timeout awaiting response headers"], requesting),
  ...all("stall", "at-once", ["rpc error: code = Canceled desc = context canceled"]),
  ...all(
    "server",
    "registry-back-off",
    ["Bad Gateway", "Service Unavailable", "Gateway Timeout"],
    requesting,
  ),
  ...all("network", "stop", ["Forbidden", "Proxy Authentication Required"], requesting),
  ...all("server", "registry-back-off", [
    resolving(`unexpected status from HEAD request to ${URL}/manifests/1: 503 Service Unavailable`),
  ]),
  ...all("server", "back-off", [
    requesting('malformed HTTP status code "200OK"'),
    requesting('malformed HTTP version "HTTPS/1.1"'),
    resolving("failed to find supported auth scheme: not implemented"),
    resolving('invalid token auth challenge realm: parse ":x": missing protocol scheme'),
    opening("unhandled content range in response: bytes 1-2/3"),
    opening("unsupported Content-Encoding algorithm: br"),
    pulling("could not fetch content sha256:0 from remote: not found"),
    opening(`content at ${URL}/blobs/sha256:0 not found: not found`),
    opening(`unexpected status from GET request to ${URL}/blobs/sha256:0: 503 Service Unavailable`),
    resolving(
      "pull access denied, repository does not exist or may require authorization: server message: invalid_token: authorization failed",
    ),
  ]),
  ...all(
    "transfer",
    "at-once",
    [
      "read tcp 10.0.0.9:40000->10.0.0.5:443: read: connection reset by peer",
      "stream error: stream ID 5; INTERNAL_ERROR; received from peer",
      "http2: client connection lost",
      "remote error: tls: bad record MAC",
      "local error: tls: bad record MAC",
      "httpReadSeeker: failed open: failed to discard to offset: unexpected EOF",
      "write tcp 10.0.0.9:40000->10.0.0.5:443: write: broken pipe",
      "unexpected EOF",
    ],
    copying,
  ),
  ...all("transfer", "at-once", [
    committing("failed size validation: 7 != 9: failed precondition"),
    committing("unexpected commit size 7, expected 9: failed precondition"),
    pulling("read exceeds expected size 9: failed precondition"),
    pulling("writer offset 9 exceeds expected size 7: failed precondition"),
    opening(`unexpected status code ${URL}/blobs/sha256:0: 416 Requested Range Not Satisfiable`),
  ]),
  ...all("auth", "stop", [
    "ctr: image verifier bindir blocked pull of a/b:1 with digest sha256:0 for reason: no signature",
    "blocking pull of a/b:1 with digest sha256:0: image verifier bindir returned error: exit status 2",
    resolving(
      `unexpected status from GET request to ${URL}/manifests/1: 403 Forbidden\ndenied: Your authorization token has expired. Reauthenticate and try again.`,
    ),
    resolving("failed to handle basic auth because missing username or secret"),
    resolving("failed to authorize: failed to fetch oauth token: unexpected status: 400 Bad Request"),
    resolving(
      "unexpected status from HEAD request to https://1.dkr.ecr.eu-central-1.amazonaws.com/v2/a/manifests/1: 403 Forbidden",
    ),
  ]),
  ...all("not-found", "stop", [
    resolving("no resolve hosts: not found"),
    resolving(`unexpected status from HEAD request to ${URL}/manifests/1: 418 I'm a teapot`),
  ]),
  ...all("cancelled", "stop", ["interrupted: context canceled"]),
  ...all("runtime", "wait-for-runtime", [
    "rpc error: code = Unavailable desc = transport is closing",
    "rpc error: code = Unavailable desc = the connection is draining",
    preparing("parent snapshot sha256:0 does not exist: not found"),
    preparing(
      "failed to create prepare snapshot dir: stat /var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots: no such file or directory",
    ),
    extracting("failed to get reader from content store: blob not found: not found"),
  ]),
  ...all("disk", "stop-run", ["no space left on device", "disk quota exceeded", ...DISK], (errno) =>
    copying(`${WRITING}: ${errno}`),
  ),
  ...all("disk", "stop-run", ["no space left on device", ...DISK], (errno) =>
    extracting(
      `failed to write file: open /var/lib/containerd/tmpmounts/containerd-mount1/etc/passwd: ${errno}`,
    ),
  ),
  ...all("disk", "stop-run", ["no space left on device", ...DISK], (errno) =>
    committing(`sync failed: sync ${WRITING.slice(6)}: ${errno}`),
  ),
  ...all("disk", "stop-run", DISK, (errno) =>
    preparing(
      `failed to commit transaction: write /var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db: ${errno}`,
    ),
  ),
  ...all("disk", "stop-run", ["invalid database", "checksum error", "database not open"], preparing),
  ...all(
    "runtime",
    "back-off",
    [
      "too many open files",
      "too many open files in system",
      "cannot allocate memory",
      "resource temporarily unavailable",
    ],
    (errno) => extracting(`fork/exec /usr/bin/unpigz: ${errno}`),
  ),
  ...all("runtime", "back-off", [
    copying("failed to open writer: ref layer-sha256:0 locked for 1m2s (since 2026-01-01): unavailable"),
    preparing('snapshot "extract-1 sha256:0": already exists'),
    extracting("unmount /var/lib/containerd/tmpmounts/containerd-mount1: device or resource busy"),
    preparing("rename /snapshots/new-1 /snapshots/1: file exists"),
    preparing("unlinkat /snapshots/new-1: directory not empty"),
  ]),
  ...all(
    "not-an-image",
    "stop",
    [
      "file name too long",
      "file too large",
      "too many links",
      "too many levels of symbolic links",
      "value too large for defined data type",
    ],
    (errno) => extracting(`open /a: ${errno}`),
  ),
  ...all("runtime", "stop", [
    extracting("failed to set xattr security.capability: operation not supported"),
    extracting("failed to convert whiteout file: operation not permitted"),
    extracting("lchown /etc/passwd: permission denied"),
    extracting("failed to mount /var/lib/containerd/tmpmounts/containerd-mount1: no such device"),
    extracting("failed to mount /var/lib/containerd/tmpmounts/containerd-mount1: invalid argument"),
    extracting("fork/exec /usr/bin/unpigz: exec format error"),
    extracting("failed to setxattr: function not implemented"),
    "rpc error: code = ResourceExhausted desc = grpc: trying to send message larger than max (18000000 vs. 16777216)",
  ]),
  ...all("not-an-image", "stop", [
    extracting("gzip: invalid header"),
    extracting("gzip: invalid checksum"),
    extracting("flate: corrupt input before offset 7"),
    extracting("magic number mismatch"),
    extracting("archive/tar: write too long"),
    extracting("exit status 1: unpigz: skipping: <stdin>: corrupted -- invalid deflate data"),
    extracting("ctd-decoder: missing private key needed for decryption"),
    pulling(
      "failed to extract layer sha256:0: failed to get stream processor for application/vnd.oci.image.layer.v1.tar+encrypted: no processor for media-type",
    ),
    pulling(
      "manifest: invalid desc sha256:0: media-type: expected index but found manifest (application/vnd.oci.image.index.v1+json)",
    ),
    pulling("children: invalid desc sha256:0: media-type: schema 1 not supported"),
    pulling("invalid size -1 in sha256:0 (application/vnd.oci.image.manifest.v1+json)"),
    pulling("invalid character '<' looking for beginning of value"),
    pulling("unexpected end of JSON input"),
    pulling("rejecting 5000000 byte manifest for registry.example.com/team/app:1: not found"),
  ]),
];
