import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { classify, essence, isWrongPassword, ruleOf, RULES } from "../../../src/core/evidence.ts";
import type { FailureClass } from "../../../src/core/failure.ts";
import { classes } from "../../real/faults-matrix.ts";

const folder = path.resolve(import.meta.dirname, "..", "..", "fixtures", "errors");

/** What crictl and ctr printed on each containerd line: scripts/record-errors. */
const recorded = readdirSync(folder).map((file) => {
  const { fault = "", line = "" } =
    /^(?<fault>[a-z\d-]+)\.(?<line>1\.6\.20|1\.6|1\.7|2)\.txt$/u.exec(file)?.groups ?? {};
  return { file, fault, line, text: readFileSync(path.join(folder, file), "utf8").trim() };
});

/** The class is the same on every line, however it is worded there. */
const expected: Readonly<Record<string, FailureClass>> = {
  ...classes,
  "tag-missing-source": "runtime",
  "content-missing": "runtime",
  "bad-auth": "auth",
  "bad-auth-base64": "auth",
  "tls-silent": "network",
  "pull-without-progress": "stall",
  "bad-reference": "reference",
  "disk-full": "disk",
  "containerd-down": "runtime",
  "containerd-down-ctr": "runtime",
  "containerd-killed": "runtime",
  "containerd-restarted": "runtime",
  "containerd-frozen": "runtime",
  "containerd-frozen-ctr": "runtime",
  "crictl-timeout": "runtime",
  // The agent tags with --force, and so never meets it.
  "tag-existing-target": "unknown",
  // crictl 1.30 ends without a word. Who ended it knows why: run/tool-failure.ts asks the signal, not the text.
  "crictl-terminated": "unknown",
  // The agent ends them itself, and so knows that they stalled.
  "never-answers": "unknown",
  "layer-stalled": "unknown",
};

/** From the sources of Go, containerd and crictl; could not be brought about, or only by other versions of the tools. */
const unrecorded: readonly (readonly [FailureClass, string])[] = [
  ["cancelled", 'level=fatal msg="pulling image: interrupted: context canceled"'],
  ["disk", "ctr: write /var/lib/containerd/x: disk quota exceeded"],
  ["runtime", "rpc error: code = Unavailable desc = transport is closing"],
  ["network", "dial tcp: lookup registry.example.com on 127.0.0.53:53: server misbehaving"],
  ["network", "failed to fetch oauth token: dial tcp 192.0.2.1:443: connect: no route to host"],
  ["network", "failed to copy: read tcp 192.0.2.2:4000->192.0.2.1:443: i/o timeout"],
  ["transfer", "failed to copy: stream error: stream ID 5; INTERNAL_ERROR; received from peer"],
  [
    "auth",
    'failed to pull and unpack image "a/b:1": image verifier bindir blocked pull of a/b:1 with digest sha256:0 for reason: no signature',
  ],
  [
    "auth",
    'failed to resolve image: failed to do request: Head "https://registry.example.com/v2/": Proxy Authentication Required',
  ],
  // TO BE RECORDED
  [
    "server",
    "failed to authorize: failed to fetch oauth token: unable to decode token response: invalid character '<'",
  ],
  ["not-an-image", "schema 1 image manifests are no longer supported: invalid argument"],
  ["not-an-image", "number of layers and diffIDs don't match: 1 != 0"],
  ["not-an-image", "number of layers and diffIDs don't match: 1 != 2"],
  ["not-an-image", "unexpected media type application/x for sha256:0: not found"],
  ["tls", 'unable to load CA cert "/x"'],
  ["not-found", 'failed to resolve reference "a/b:1": no resolve hosts: not found'],
  ["transfer", 'failed commit on ref "layer-sha256:0": failed size validation: 7 != 9: failed precondition'],
];

describe("what the tools print", () => {
  test("is recorded for every fault and line, and for nothing else", () => {
    expect([...new Set(recorded.map(({ fault }) => fault))].toSorted()).toEqual(
      Object.keys(expected).toSorted(),
    );
  });

  test.each(recorded)("$file has the class of its fault", ({ fault, text }) => {
    expect(classify(text)).toBe(expected[fault]);
  });

  test.each(unrecorded)("a known text is %s: %s", (failureClass, text) => {
    expect(classify(text)).toBe(failureClass);
  });

  test.each(RULES)("needs the rule $diagnosis.class $pattern", (rule) => {
    const texts = [...recorded.map(({ text }) => text), ...unrecorded.map(([, text]) => text)];
    expect(texts.filter((text) => ruleOf(text) === rule)).not.toEqual([]);
  });

  test("is unknown when nobody has seen it before", () => {
    expect(classify("crictl was ended by SIGKILL")).toBe("unknown");
    expect(classify("rpc error: code = Unknown desc = something new")).toBe("unknown");
  });

  test("is judged by what containerd says, not by what a registry adds to its answer", () => {
    const words = "no space left on device: toomanyrequests: x509: not found";
    const url = "https://registry.example.com/v2/a/blobs/sha256:0";
    expect(
      classify(`unexpected status code ${url}: 503 Service Unavailable - Server message: ${words}`),
    ).toBe("server");
    expect(classify(`unexpected status from GET request to ${url}: 403 Forbidden\\n${words}`)).toBe("auth");
  });

  test("is not judged by the numbers in a name", () => {
    const text =
      'failed to resolve reference "registry.example.com:5000/team/429/503:500": registry.example.com:5000/team/429/503:500: not found';
    expect(classify(text)).toBe("not-found");
  });
});

describe("a refused password", () => {
  const refusals = recorded.filter(({ fault }) => fault.endsWith("wrong-password"));
  const others = recorded.filter(({ fault }) => fault === "manifest-403" || fault === "token-denied");

  test.each(refusals)("is told from a lack of rights: $file", ({ text }) => {
    expect(isWrongPassword(text)).toBe(true);
  });

  test.each(others)("is not seen in a lack of rights: $file", ({ text }) => {
    expect(isWrongPassword(text)).toBe(false);
  });
});

describe("the essence of a message", () => {
  const spoken = recorded.filter(({ text }) => text !== "");

  test.each(spoken)("is one line without the tool's frame: $file", ({ text }) => {
    const short = essence(text);
    expect(short).not.toMatch(/level=fatal|remote_image\.go|^ctr: |\n|\\n|\\"/u);
    expect(short.length).toBeGreaterThan(10);
  });
});
