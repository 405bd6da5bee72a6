import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  actionOf,
  classify,
  essence,
  FAILURE_CLASSES,
  isWrongPassword,
  nextStep,
  type FailureClass,
} from "../../../src/core/failure.ts";
import { failure } from "../samples.ts";

const HOST = "127.0.0.1:5000";
const pulling = (image: string, code: string, what: string): string =>
  `pulling image: rpc error: code = ${code} desc = failed to pull and unpack image "${HOST}/${image}": ${what}`;
const resolving = (image: string, what: string, code = "Unknown"): string =>
  pulling(image, code, `failed to resolve reference "${HOST}/${image}": ${what}`);
const head = (image: string): string => `http://${HOST}/v2/${image.replace(":", "/manifests/")}`;
const status = (image: string, text: string): string =>
  resolving(image, `unexpected status from HEAD request to ${head(image)}: ${text}`);
const request = (image: string, what: string): string =>
  resolving(image, `failed to do request: Head "${head(image)}": ${what}`);
const copying = (image: string, what: string): string => pulling(image, "Unknown", `failed to copy: ${what}`);

/** What crictl says of a pull, by class; each with any image's name in it. */
const PULLS: readonly (readonly [FailureClass, string, (image: string) => string])[] = [
  ["not-found", "a missing tag", (image) => resolving(image, `${HOST}/${image}: not found`, "NotFound")],
  [
    "not-found",
    "no manifest for this platform",
    (image) => pulling(image, "NotFound", "no match for platform in manifest: not found"),
  ],
  [
    "auth",
    "no credentials for a token registry",
    (image) =>
      resolving(
        image,
        "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
      ),
  ],
  ["auth", "wrong basic credentials", (image) => status(image, "401 Unauthorized")],
  ["auth", "a forbidden repository", (image) => status(image, "403 Forbidden")],
  ["auth", "an auth that is no base64", () => "illegal base64 data at input byte 4"],
  ["auth", "an auth without a colon", () => 'invalid decoded auth: "[redacted]"'],
  ["rate-limit", "too many requests", (image) => status(image, "429 Too Many Requests")],
  ["server", "an internal error", (image) => status(image, "500 Internal Server Error")],
  ["server", "a bad gateway", (image) => status(image, "502 Bad Gateway")],
  ["server", "an unavailable service", (image) => status(image, "503 Service Unavailable")],
  ["server", "a gateway's timeout", (image) => status(image, "504 Gateway Timeout")],
  [
    "server",
    "a blob that is missing although its manifest is there",
    (image) =>
      pulling(
        image,
        "NotFound",
        `failed to copy: httpReadSeeker: failed open: could not fetch content descriptor sha256:${"a".repeat(64)} (application/vnd.oci.image.layer.v1.tar+gzip) from remote: not found`,
      ),
  ],
  [
    "network",
    "a refused connection",
    (image) => request(image, "dial tcp 127.0.0.1:5000: connect: connection refused"),
  ],
  [
    "network",
    "an unknown host",
    (image) => request(image, "dial tcp: lookup harbor.example.com on 10.0.0.2:53: no such host"),
  ],
  ["network", "a failing DNS server", (image) => request(image, "dial tcp: lookup h: server misbehaving")],
  ["network", "no route", (image) => request(image, "dial tcp 10.0.0.5:443: connect: no route to host")],
  ["network", "a timeout of the dial", (image) => request(image, "dial tcp 10.0.0.5:443: i/o timeout")],
  ["network", "a silent server", (image) => request(image, "net/http: TLS handshake timeout")],
  ["network", "a connection closed before its answer", (image) => request(image, "EOF")],
  [
    "transfer",
    "a drop in mid-layer, 1.6 and 1.7",
    (image) => copying(image, "httpReadSeeker: failed to read expected number of bytes: unexpected EOF"),
  ],
  [
    "transfer",
    "a drop in mid-layer, 2.x",
    (image) => copying(image, "short read: expected 10485760 bytes but got 5242880: unexpected EOF"),
  ],
  [
    "transfer",
    "a reset connection",
    (image) => copying(image, "read tcp 127.0.0.1:4->127.0.0.1:5000: read: connection reset by peer"),
  ],
  [
    "transfer",
    "a damaged layer",
    (image) =>
      copying(
        image,
        `unexpected commit digest sha256:${"b".repeat(64)}, expected sha256:${"c".repeat(64)}: failed precondition`,
      ),
  ],
  [
    "tls",
    "an unknown CA",
    (image) =>
      request(image, "tls: failed to verify certificate: x509: certificate signed by unknown authority"),
  ],
  [
    "tls",
    "a certificate for another name",
    (image) => request(image, "x509: certificate is valid for a.example.com, not b.example.com"),
  ],
  [
    "tls",
    "http where https is expected",
    (image) => request(image, "http: server gave HTTP response to HTTPS client"),
  ],
  ["disk", "a full disk", (image) => copying(image, "write /var/lib/x: no space left on device")],
  [
    "disk",
    "a full disk that broke the transfer",
    (image) =>
      copying(image, "failed to copy: httpReadSeeker: unexpected EOF: write /x: no space left on device"),
  ],
  ["cancelled", "a tool ended by TERM", () => "interrupted: context canceled"],
  [
    "reference",
    "a bad reference",
    () =>
      'rpc error: code = Unknown desc = failed to parse image reference "Bad Name:1": invalid reference format',
  ],
  [
    "runtime",
    "no socket",
    () =>
      'validate service connection: validate CRI v1 image API for endpoint "unix:///c.sock": rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial unix /c.sock: connect: no such file or directory"',
  ],
  [
    "runtime",
    "a frozen containerd",
    () =>
      'validate service connection: validate CRI v1 image API for endpoint "unix:///c.sock": rpc error: code = DeadlineExceeded desc = received context error while waiting for new LB policy update: context deadline exceeded',
  ],
  [
    "runtime",
    "a containerd that ended during the call",
    () => "rpc error: code = Unavailable desc = error reading from server: EOF",
  ],
  [
    "runtime",
    "ctr without a socket",
    () =>
      'ctr: failed to dial "/run/containerd/containerd.sock": connection error: desc = "transport: error while dialing: dial unix /run/containerd/containerd.sock: connect: no such file or directory"',
  ],
  ["not-found", "a source that ctr does not know", () => 'ctr: image "a.b/c:1": not found'],
  ["unknown", "something else", () => "the moon is in the wrong house"],
  ["unknown", "nothing", () => ""],
];

/** Names that look like what an error says. */
const TRICKY = [
  "app:1",
  "team/app:http2",
  "containerd/containerd:1.7",
  "team/x509:tls",
  "eof:503",
  "a/not-found:404",
  "sha256/429:v500",
];

describe("the text of a tool has its class:", () => {
  test.each(PULLS)("%s for %s", (expected, _what, text) => {
    for (const image of TRICKY) expect(`${image}: ${classify(text(image))}`).toBe(`${image}: ${expected}`);
  });

  test.each(PULLS)("%s for %s, also as a line of crictl's log", (expected, _what, text) => {
    const logged = JSON.stringify(text("app:1"));
    expect(classify(`time="2025-01-01T00:00:00Z" level=fatal msg=${logged}`)).toBe(expected);
  });
});

test.each(FAILURE_CLASSES)("%s has an action, and tells what to do next in one line", (failureClass) => {
  expect(["stop", "at-once", "back-off", "registry-back-off", "wait-for-runtime", "stop-run"]).toContain(
    actionOf(failureClass),
  );
  expect(nextStep(failureClass)).toMatch(/^[^\n]{10,200}[^.\n]$/u);
});

test("only a full disk stops the run", () => {
  expect(FAILURE_CLASSES.filter((name) => actionOf(name) === "stop-run")).toEqual(["disk"]);
});

test("a wrong password is told from a lack of rights", () => {
  expect(isWrongPassword(failure("auth", status("app:1", "401 Unauthorized")))).toBe(true);
  expect(isWrongPassword(failure("auth", status("app:1", "403 Forbidden")))).toBe(false);
  expect(isWrongPassword(failure("unknown", "401 Unauthorized"))).toBe(false);
});

describe("the essence of a message", () => {
  test("is what follows the preamble that every pull's error has", () => {
    expect(essence(resolving("app:1", `${HOST}/app:1: not found`, "NotFound"))).toBe(
      `failed to resolve reference "${HOST}/app:1": ${HOST}/app:1: not found`,
    );
  });

  test("is the last logged line's text, without its escapes", () => {
    const lines = [
      'time="2025-01-01T00:00:00Z" level=warning msg="image connect using default endpoints"',
      `time="2025-01-01T00:00:01Z" level=fatal msg="pulling image: rpc error: code = Unknown desc = failed to pull and unpack image \\"a/b:1\\": it said \\"no\\""`,
    ];
    expect(essence(lines.join("\n"))).toBe('it said "no"');
  });

  test("is ctr's text without its name", () => {
    expect(essence('ctr: image "a/b:1": not found\n')).toBe('image "a/b:1": not found');
  });

  test("is never longer than a person reads", () => {
    expect(essence("x".repeat(100_000))).toHaveLength(601);
  });
});

test("any text is classified in bounded time", () => {
  const pieces = [
    "unexpected status 5",
    "tls: ",
    "validate service connection ",
    "connect: containerd",
    'msg="',
    "\\",
    "a",
  ];
  const start = performance.now();
  for (const piece of pieces) {
    classify(piece.repeat(Math.ceil(2_000 / piece.length)));
    essence(piece.repeat(Math.ceil(2_000 / piece.length)));
  }
  expect(performance.now() - start).toBeLessThan(2_000);
  fc.assert(fc.property(fc.string(), (text) => FAILURE_CLASSES.includes(classify(text))));
});
