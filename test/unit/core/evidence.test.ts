import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { brokenDownload, diagnose, diagnoseApi, ruleFor } from "../../../src/core/evidence.ts";
import { essence, statement } from "../../../src/core/statement.ts";
import { FAILURE_CLASSES, actionOf, nextStep, type FailureClass } from "../../../src/core/failure.ts";

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
    "platform",
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
  [
    "network",
    "a host that is called as ctr is",
    (image) => request(image, "dial tcp: lookup ctr: i/o timeout: context deadline exceeded"),
  ],
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
  [
    "runtime",
    "a containerd that ended while ctr asked it",
    () =>
      "ctr: error reading from server: read unix @->/run/containerd/containerd.sock: read: connection reset by peer: unavailable",
  ],
  ["runtime", "a source that containerd has lost", () => 'ctr: image "a.b/c:1": not found'],
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
    for (const image of TRICKY)
      expect(`${image}: ${diagnose(text(image)).class}`).toBe(`${image}: ${expected}`);
  });

  test.each(PULLS)("%s for %s, also as a line of crictl's log", (expected, _what, text) => {
    const logged = JSON.stringify(text("app:1"));
    expect(diagnose(`time="2025-01-01T00:00:00Z" level=fatal msg=${logged}`).class).toBe(expected);
  });
});

/** Answers that no retry changes, with where they come from and a word of the advice. */
const PERMANENT: readonly (readonly [string, FailureClass, RegExp])[] = [
  ["https://r/v2/a/manifests/1: 400 Bad Request", "reference", /malformed/u],
  ["http://r/v2/a/manifests/1: 400 Bad Request", "tls", /plain http/u],
  ["https://r/v2/a/manifests/1: 402 Payment Required", "auth", /requires payment/u],
  ["https://r/v2/a/manifests/1: 404 Not Found", "not-found", /log/u],
  ["https://r/v2/a/manifests/1: 405 Method Not Allowed", "not-found", /does not serve images/u],
  ["https://r/v2/a/manifests/1: 407 Proxy Authentication Required", "network", /HTTPS_PROXY/u],
  ["https://r/v2/a/manifests/1: 409 Conflict", "not-found", /at the moment/u],
  ["https://r/v2/a/manifests/1: 410 Gone", "not-found", /deleted/u],
  ["https://r/v2/a/manifests/1: 412 Precondition Failed", "auth", /policy/u],
  ["https://r/v2/a/manifests/1: 418 I'm a teapot", "not-found", /for good/u],
  ["https://r/v2/a/manifests/1: 451 Unavailable For Legal Reasons", "auth", /legal/u],
];

describe("an answer of a registry", () => {
  test.each(PERMANENT)("%s is permanent, and says what to do", (answer, expected, advice) => {
    const found = diagnose(resolving("app:1", `unexpected status from HEAD request to ${answer}`));
    expect([found.class, actionOf(found)]).toEqual([expected, answer.includes("409") ? "once-more" : "stop"]);
    expect(found.next).toMatch(advice);
  });

  test.each(["408 Request Timeout", "425 Too Early", "500", "503 Busy", "599 Strange", "304 Not Modified"])(
    "%s passes",
    (answer) => expect(diagnose(status("app:1", answer)).class).toBe("server"),
  );

  test("that what is kept of a layer does not fit is a broken transfer", () => {
    expect(
      diagnose(copying("app:1", "unexpected status code http://r/v2/a/blobs/sha256:0: 416 Range")).class,
    ).toBe("transfer");
  });

  test("needs no reason phrase", () => {
    expect(diagnose(status("app:1", "429")).class).toBe("rate-limit");
    expect(diagnose(status("app:1", "401")).refused).toBe("repository");
  });

  test("is a token service's where a token was asked for, and then hints at no scheme", () => {
    const asked = (answer: string): string =>
      resolving("app:1", `failed to authorize: failed to fetch oauth token: unexpected status${answer}`);
    const address = " from POST request to http://r/service/token";
    for (const answer of [`${address}: 400 Bad Request`, ": 400 Bad Request", `${address}: 404 Not Found`])
      expect(diagnose(asked(answer))).toMatchObject({
        class: "auth",
        next: expect.stringContaining("realm"),
      });
    expect(diagnose(asked(`${address}: 429 Too Many Requests`)).class).toBe("rate-limit");
    expect(diagnose(asked(`${address}: 503 Service Unavailable`)).class).toBe("server");
  });

  const STATUSES = [400, 401, 402, 403, 405, 407, 408, 409, 410, 412, 416, 429, 451, 503];
  test.each([
    ...STATUSES.map((number) => `x: ${number}`),
    "no basic auth credentials",
    "x http://r: 400",
    "1.dkr.ecr.r: 403",
  ])("is what the statement ends with, and not %j in front of it", (front) => {
    for (const answer of [
      "unexpected status: 418 I'm a teapot",
      "unexpected status: 418 I'm a teapot: the token has expired",
      "failed to fetch oauth token: unexpected status: 418",
      "failed to fetch anonymous token: unexpected status: 418",
      "failed to copy: unexpected status: 503",
    ])
      expect(ruleFor(`${front}: ${answer}`)).toBe(ruleFor(answer));
  });

  test("that no login was given is no lack of rights", () => {
    const denied = "pull access denied, repository does not exist or may require authorization";
    const none = resolving("app:1", `${denied}: authorization failed: no basic auth credentials`);
    expect(diagnose(none).next).toMatch(/^no login was given/u);
    const forged = `${denied}: server message: insufficient_scope: server message: invalid_token: authorization failed`;
    expect(diagnose(resolving("app:1", forged)).class).toBe("auth");
  });

  test("is judged without the words behind it, however many there are", () => {
    const words =
      'x: not found\nunexpected status: 401 Unauthorized: no space left on device" level=fatal msg="y';
    for (const length of [1, 100, 10_000]) {
      const said = pulling(
        "app:1",
        "Unknown",
        `failed to resolve image: unexpected status from HEAD request to ${head("app:1")}: 429 Too Many Requests\n${words.repeat(length)}`,
      );
      const logged = `time="2026-01-01T00:00:00Z" level=fatal msg=${JSON.stringify(said)}`;
      expect(diagnose(logged).class).toBe("rate-limit");
      expect(diagnose(logged.slice(0, 2_000)).class).toBe("rate-limit");
      expect(diagnose(logged).refused).toBeUndefined();
    }
  });

  test("is found in the first of crictl's two lines when the second was cut off", () => {
    const quoted = `E0101 00:00:00.000000       1 remote_image.go:180] "PullImage from image service failed" err=${JSON.stringify(status("app:1", `429 Too Many Requests ${"x: not found ".repeat(50)}`))}`;
    const block = `E0101 00:00:00.000000       1 remote_image.go:180] "PullImage from image service failed" err=<\n\t${status("app:1", "429 Too Many Requests")}\n\ttime="2026-01-01T00:00:00Z" level=fatal msg="x: not found"\n > image="x"`;
    for (const text of [quoted, block, quoted.slice(0, 600)]) expect(diagnose(text).class).toBe("rate-limit");
  });
});

describe("the next step", () => {
  const store = "https://store.example.com/x?sig=1";
  test.each([
    ["the registry that was asked", request("app:1", "EOF"), " to 127.0.0.1:5000, then"],
    [
      "the registry, if no address is known",
      resolving("app:1", "dial tcp: i/o timeout"),
      " to the registry, then",
    ],
    [
      "a token service",
      resolving(
        "app:1",
        'failed to authorize: failed to fetch oauth token: Post "https://auth.example.com/token": EOF',
      ),
      " to auth.example.com, the token service that the registry names, then",
    ],
    [
      "a store",
      copying("app:1", `httpReadSeeker: failed open: failed to do request: Get "${store}": EOF`),
      " to store.example.com, the store that the registry sends to, then",
    ],
    [
      "the registry, if its layer cannot be had",
      copying(
        "app:1",
        `httpReadSeeker: failed open: failed to do request: Get "http://${HOST}/v2/app/blobs/sha256:0": EOF`,
      ),
      " to 127.0.0.1:5000, then",
    ],
    [
      "the registry, if the realm that it names is no address",
      resolving(
        "app:1",
        'invalid token auth challenge realm: parse "https://auth.example.com:x/": invalid port ":x" after host',
      ),
      "the registry violates",
    ],
  ])("names %s", (_what, text, named) => {
    expect(diagnose(text).next).toContain(named);
  });

  test("comes with class and action, and with nothing else if no login was refused", () => {
    expect(diagnose(status("app:1", "403 Forbidden"))).toStrictEqual({
      class: "auth",
      next: nextStep("auth"),
      action: "stop",
    });
  });

  test.each([
    ["not for this host", "certificate is valid for a.example.com, not b.example.com", "(SAN)"],
    ["for no host", "certificate is not valid for any names, but wanted to match b.example.com", "(SAN)"],
    ["of an unknown authority", "certificate signed by unknown authority", "the CA of 127.0.0.1:5000"],
    [
      "of an authority whose own certificate is at fault",
      'certificate signed by unknown authority (possibly because of "x509: cannot verify signature: insecure algorithm SHA1-RSA" while trying to verify candidate authority certificate "Corp CA")',
      "current tools",
    ],
  ])("says what to do about a certificate that is %s", (_what, fault, advice) => {
    expect(diagnose(request("app:1", `tls: failed to verify certificate: x509: ${fault}`)).next).toContain(
      advice,
    );
  });
});

describe("a registry rests after its own answer, and goes on after that of a layer or a store", () => {
  const open = (answer: string): string =>
    copying("app:1", `httpReadSeeker: failed open: unexpected status ${answer}`);
  test.each([
    ["503 for a manifest", status("app:1", "503 Busy"), true],
    [
      "503 for a manifest, as containerd 1.6.20 words it",
      "failed with status code [manifests 1]: 503 Busy",
      true,
    ],
    ["503 for a manifest of an index", open(`code http://${HOST}/v2/app/manifests/sha256:0: 503 Busy`), true],
    ["503 for a layer", open(`code http://${HOST}/v2/app/blobs/sha256:0: 503 Busy`), false],
    ["429 for a layer", open(`code http://${HOST}/v2/app/blobs/sha256:0: 429 Too Many Requests`), true],
    ["429 of a store", open("from GET request to https://store.example.com/x?sig=1: 429 Slow Down"), false],
    [
      "a proxy that does not reach it for a layer",
      copying(
        "app:1",
        `httpReadSeeker: failed open: failed to do request: Get "https://${HOST}/v2/app/blobs/sha256:0": Bad Gateway`,
      ),
      true,
    ],
  ])("%s", (_what, text, rests) => {
    expect(diagnose(text).action).toBe(rests ? "registry-back-off" : "back-off");
  });
});

describe("a layer that is refused after its manifest was served", () => {
  const blob = (answer: string): string =>
    copying(
      "app:1",
      `httpReadSeeker: failed open: unexpected status code http://${HOST}/v2/app/blobs/sha256:0: ${answer}`,
    );
  const elsewhere = (answer: string): string =>
    copying(
      "app:1",
      `httpReadSeeker: failed open: unexpected status from GET request to https://store.example.com/x?sig=1: ${answer}`,
    );
  const token = copying(
    "app:1",
    "httpReadSeeker: failed open: failed to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized",
  );
  const expired = copying(
    "app:1",
    "httpReadSeeker: failed open: server message: invalid_token: authorization failed",
  );
  const cases = [blob("401 Unauthorized"), blob("403 Forbidden"), elsewhere("403 Forbidden"), token, expired];

  test.each(cases)("passes, names store and clock, and refuses no login: %s", (text) => {
    expect(diagnose(text)).toMatchObject({ class: "server", next: expect.stringMatching(/store.*clock/u) });
    expect(diagnose(text).refused).toBeUndefined();
  });

  test("is a lack of rights when it is the manifest itself", () => {
    expect(
      diagnose(
        copying(
          "app:1",
          `httpReadSeeker: failed open: unexpected status code http://${HOST}/v2/app/manifests/sha256:0: 403 Forbidden`,
        ),
      ).class,
    ).toBe("auth");
  });
});

describe("an error of containerd's API", () => {
  test.each([
    [1, "context canceled", "cancelled", "stop"],
    [4, "deadline exceeded", "runtime", "wait-for-runtime"],
    [14, "connection error", "runtime", "wait-for-runtime"],
    [8, "grpc: trying to send message larger than max (18000000 vs. 16777216)", "runtime", "stop"],
    [2, "write /var/lib/containerd/x: no space left on device", "disk", "stop-run"],
    [2, "write /var/lib/containerd/x: disk quota exceeded", "disk", "stop-run"],
    [2, "write /var/lib/containerd/x: read-only file system", "disk", "stop-run"],
    [5, 'image "a/b:1": not found', "unknown", "back-off"],
    [2, "something new", "unknown", "back-off"],
  ] as const)("with code %s and %j is %s", (code, message, expected, action) => {
    const found = diagnoseApi(code, message);
    expect([found.class, actionOf(found)]).toEqual([expected, action]);
  });
});

describe("what containerd says of itself", () => {
  test.each([
    'failed to prepare extraction snapshot "extract-1": parent snapshot sha256:0 does not exist: not found',
    "content digest sha256:0: not found",
    "failed to extract layer sha256:0: blob not found: not found",
  ])("a part that its own store lost is fetched again: %s", (what) => {
    const { class: found, next } = diagnose(pulling("app:1", "NotFound", what));
    expect(found).toBe("runtime");
    expect(next).toMatch(/own store/u);
  });

  test("a version that does not come is the runtime's fault", () => {
    const text =
      "getting the runtime version: rpc error: code = DeadlineExceeded desc = context deadline exceeded";
    expect(diagnose(`time="2026-01-01T00:00:00Z" level=fatal msg="${text}"`).class).toBe("runtime");
  });

  test.each([
    ["its layers are others", 'wrong diff id calculated on extraction "sha256:0"', /not those/u],
    ["its layers are not as many", "number of layers and diffIDs don't match: 2 != 1", /not those/u],
    ["it has many layers, and too many", "number of layers and diffIDs don't match: 12 != 11", /not those/u],
    ["it is of schema 1", "schema 1 image manifests are no longer supported: invalid argument", /schema 1/u],
    ["it has no layers to unpack", "number of layers and diffIDs don't match: 1 != 0", undefined],
    ["it is something else", "unexpected media type application/x for sha256:0: not found", undefined],
  ])("an image cannot be one when %s", (_why, what, advice) => {
    const { class: found, next } = diagnose(pulling("app:1", "Unknown", what));
    expect(found).toBe("not-an-image");
    expect(next ?? nextStep(found)).toMatch(advice ?? /chart/u);
  });

  test.each([
    'unable to read CA cert "/etc/ca.crt": open /etc/ca.crt: no such file or directory',
    'unable to load CA cert "/etc/ca.crt"',
    'unable to read CERT file "/etc/a.crt": permission denied',
    "failed to load X509 key pair: tls: failed to find any PEM data in certificate input",
  ])("a certificate that hosts.toml names is at fault: %s", (what) => {
    expect(diagnose(resolving("app:1", what))).toMatchObject({
      class: "tls",
      next: expect.stringContaining("hosts.toml"),
    });
  });
});

test.each([
  "failed to authorize: failed to fetch anonymous token: unable to decode token response: invalid character '<' looking for beginning of value",
  "failed to authorize: failed to fetch oauth token: authorization server did not include a token in the response",
])("HTML in place of an answer is that of another system: %s", (what) => {
  expect(diagnose(resolving("app:1", what))).toMatchObject({
    class: "server",
    next: expect.stringContaining("another system answers"),
  });
});

test.each(["Proxy Authentication Required", "Forbidden"])(
  "a proxy that says %s is not asked again",
  (words) => {
    expect(diagnose(request("app:1", words))).toMatchObject({
      class: "network",
      action: "stop",
      next: expect.stringContaining("proxy"),
    });
  },
);

test("a wrong password is told from a lack of rights, whatever the password and the name are", () => {
  const long = `${"team/".repeat(40)}app:1`;
  const scope = `scope=repository%3A${"team%2F".repeat(200)}app%3Apull`;
  const text = resolving(
    long,
    `failed to authorize: failed to fetch oauth token: unexpected status from GET request to https://r/token?${scope}: 401 Unauthorized`,
  );
  expect(diagnose(text).refused).toBe("login");
  expect(essence(text)).toMatch(/ https:\/\/r\/token\?…: 401 Unauthorized$/u);
  expect(diagnose(status("app:1", "401 Unauthorized")).refused).toBe("repository");
  expect(diagnose(status("app:1", "403 Forbidden")).refused).toBeUndefined();
  const denied = "pull access denied: server message: 401 Unauthorized: authorization failed";
  expect(diagnose(denied).refused).toBeUndefined();
  expect(diagnose('invalid decoded auth: "401"').refused).toBeUndefined();
});

describe("the essence of a message", () => {
  test("is what follows the preamble that every pull's error has", () => {
    const cause = `failed to resolve reference "${HOST}/app:1": ${HOST}/app:1: not found`;
    const whole = resolving("app:1", `${HOST}/app:1: not found`, "NotFound");
    for (const text of [whole, whole.replace("pulling image: ", "")]) expect(essence(text)).toBe(cause);
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

  test("is one line, without control characters", () => {
    expect(essence("first\r\nsecond\tthird\u001b[31m")).toBe("first second third [31m");
    expect(essence("\u001b[31m red \u0007")).toBe("[31m red");
    expect(essence(status("app:1", "403 Forbidden\ndenied: by policy"))).not.toContain("\n");
  });

  test("is never longer than a person reads", () => {
    expect(essence("x".repeat(100_000))).toHaveLength(601);
    expect(essence("x".repeat(600))).toBe("x".repeat(600));
    expect(essence("x".repeat(100_000), { inFull: true })).toBe("x".repeat(6_000));
  });

  test.each(["http", "https"])("leaves out what a request for a token asks with: %s", (scheme) => {
    const query = `scope=repository%3A${"team%2F".repeat(20)}app%3Apull`;
    expect(essence(`Get "${scheme}://r/token?${query}": EOF`)).toBe(`Get "${scheme}://r/token?…": EOF`);
  });
});

describe("the statement", () => {
  const BLOCK =
    'E0101 00:00:00.000000       1 remote_image.go:180] "PullImage from image service failed" err=<\n';
  test.each([
    ["of ctr", "warning\nctr: no\nmore\n", "ctr: no\nmore"],
    ["of crictl, with its line breaks", String.raw`time="1" level=fatal msg="a\n\t\"b\" \\ "`, 'a\n\t"b" \\'],
    ["of crictl's library, in lines", `I0101 x\n${BLOCK}\tfirst\n\tsecond\n > image="a"`, "first\n\tsecond"],
    ["of crictl's library, cut off", `${BLOCK}\tfirst\n\tsec`, "first\n\tsec"],
    ["that only quotes such a line is all of it", ` said ${BLOCK}\tx\n`, `said ${BLOCK}\tx`],
  ])("%s", (_what, text, said) => {
    expect(statement(text)).toBe(said);
  });
});

describe("a download that cannot be finished", () => {
  const commit = `failed commit on ref "layer-sha256:${"b".repeat(64)}": unexpected commit digest sha256:0, expected sha256:1: failed precondition`;

  test("is named by containerd, also in crictl's log", () => {
    const text = pulling("app:1", "FailedPrecondition", commit);
    const logged = `time="2026-01-01T00:00:00Z" level=fatal msg=${JSON.stringify(text)}`;
    for (const said of [text, logged]) expect(brokenDownload(said)).toBe(`layer-sha256:${"b".repeat(64)}`);
  });

  test("is the one that a registry has no more bytes of", () => {
    const answer = "unexpected status code http://r/v2/a/blobs/sha256:0: 416 Requested Range Not Satisfiable";
    expect(brokenDownload(copying("app:1", `httpReadSeeker: failed open: ${answer}`))).toBe("layer-sha256:0");
  });

  test("is none that a registry names", () => {
    expect(brokenDownload(status("app:1", `503 Busy\n${commit}`))).toBeUndefined();
    expect(brokenDownload(copying("app:1", "unexpected EOF"))).toBeUndefined();
  });
});

test("any text has a class and an essence, however long and strange it is", () => {
  const pieces = [
    "unexpected status 5",
    "unexpected status code ",
    "tls: ",
    "validate service connection ",
    "https://",
    'time="1" level=fatal msg="',
    'E0101 err="',
    "could not fetch content descriptor ",
    "\\",
    "a",
  ];
  for (const piece of pieces) {
    const text = piece.repeat(Math.ceil(65_536 / piece.length));
    expect(FAILURE_CLASSES).toContain(diagnose(text).class);
    expect(essence(text).length).toBeLessThanOrEqual(601);
  }
  fc.assert(fc.property(fc.string(), (text) => FAILURE_CLASSES.includes(diagnose(text).class)));
});
