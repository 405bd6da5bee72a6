import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { diagnose, ruleFor } from "../../../src/core/evidence.ts";
import { actionOf, type FailureClass } from "../../../src/core/failure.ts";
import { ANSWERS, RULES } from "../../../src/core/rules.ts";
import { essence } from "../../../src/core/statement.ts";
import type { RegistryFault } from "../../real/faults-catalogue.ts";
import { classes, classOn } from "../../real/faults-matrix.ts";
import { knownTexts } from "./known-texts.ts";
import { crictlVersions } from "../../rig/tools.ts";

const folder = path.resolve(import.meta.dirname, "..", "..", "fixtures", "errors");

/** What crictl and ctr printed on each containerd line, by crictl's version: scripts/record-errors. */
const recorded = readdirSync(folder, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".txt"))
  .map((file) => {
    const {
      crictl = "",
      fault = "",
      line = "",
    } = /^crictl-(?<crictl>[\d.]+)\/(?<fault>[a-z\d-]+)\.(?<line>1\.6\.20|1\.6|1\.7|2)\.txt$/u.exec(file)
      ?.groups ?? {};
    return { file, crictl, fault, line, text: readFileSync(path.join(folder, file), "utf8").trim() };
  });

/** The class is the same on every line, however it is worded there. */
const expected: Readonly<Record<string, FailureClass>> = {
  ...classes,
  chart: "not-an-image",
  signature: "not-an-image",
  "tag-missing-source": "runtime",
  "content-missing": "runtime",
  "bad-auth": "auth",
  "bad-auth-base64": "auth",
  "tls-silent": "network",
  "pull-without-progress": "stall",
  "bad-reference": "reference",
  "disk-full": "disk",
  "disk-full-unpacked": "disk",
  "disk-without-inodes": "disk",
  "disk-read-only": "disk",
  "no-response-headers": "stall",
  "containerd-down": "runtime",
  "containerd-down-ctr": "runtime",
  "containerd-killed": "runtime",
  "containerd-restarted": "runtime",
  "containerd-frozen": "runtime",
  "containerd-frozen-ctr": "runtime",
  "crictl-timeout": "runtime",
  // The agent tags with --force, and so never meets it.
  "tag-existing-target": "runtime",
};

/** Ended by their signal. Who ended them knows why: run/tool-failure.ts asks the signal, not the text. */
const endedByUs: readonly string[] = ["crictl-terminated", "never-answers", "layer-stalled"];

function expectedOf({ crictl, fault, line }: (typeof recorded)[number]): FailureClass | undefined {
  // Older crictls end without a word.
  if (endedByUs.includes(fault)) return crictl === "1.37" ? "cancelled" : "unknown";
  // Recorded without a login, which newer containerds tell.
  if (fault === "layer-401" && line !== "1.6.20") return "auth";
  return fault in classes ? classOn(line, fault as RegistryFault) : expected[fault];
}

/** What ctr says does not depend on crictl; only the oldest containerd refuses a chart. */
const firstCrictlOnly = new Set([
  "tag-missing-source",
  "tag-existing-target",
  "content-missing",
  "containerd-down-ctr",
  "containerd-frozen-ctr",
  "chart",
]);

/** Each once; without those of tools that we ended, which may say nothing. */
const texts = [
  ...new Set([
    ...recorded.filter(({ fault }) => !endedByUs.includes(fault)).map(({ text }) => text),
    ...knownTexts.map(([, , text]) => text),
  ]),
];

describe("what the tools print", () => {
  test.each(crictlVersions)(
    "is recorded for every fault, and for nothing else, with crictl %s",
    (version) => {
      const faults = recorded.flatMap(({ crictl, fault }) => (crictl === version ? [fault] : []));
      const inAll = (fault: string): boolean => version === "1.30" || !firstCrictlOnly.has(fault);
      expect([...new Set(faults)].toSorted()).toEqual(
        [...new Set([...Object.keys(expected), ...endedByUs])].filter(inAll).toSorted(),
      );
    },
  );

  test.each(recorded)("$file has the class of its fault", (recording) => {
    expect(diagnose(recording.text).class).toBe(expectedOf(recording));
  });

  test.each(knownTexts)("a known text is %s and entails %s: %s", (failureClass, action, text) => {
    const found = diagnose(text);
    expect([found.class, actionOf(found)]).toEqual([failureClass, action]);
  });

  test.each([...ANSWERS, ...RULES])("needs the rule of $class: $met", (rule) => {
    expect(texts.filter((text) => ruleFor(text) === rule)).not.toEqual([]);
  });

  test("is known, all of 200 texts and more", () => {
    expect(texts.length).toBeGreaterThan(200);
    expect(texts.filter((text) => diagnose(text).class === "unknown")).toEqual([]);
  });

  test("is unknown when nobody has seen it before", () => {
    expect(diagnose("crictl was ended by SIGKILL").class).toBe("unknown");
    expect(diagnose("rpc error: code = Unknown desc = something new").class).toBe("unknown");
  });

  test("is judged by what containerd says, not by what a registry adds to its answer", () => {
    const words = "no space left on device: toomanyrequests: x509: not found";
    const url = "https://registry.example.com/v2/a/blobs/sha256:0";
    expect(
      diagnose(`unexpected status code ${url}: 503 Service Unavailable - Server message: ${words}`).class,
    ).toBe("server");
    expect(diagnose(`unexpected status from GET request to ${url}: 403 Forbidden\\n${words}`).class).toBe(
      "auth",
    );
  });

  test("is not judged by the numbers in a name", () => {
    const text =
      'failed to resolve reference "registry.example.com:5000/team/429/503:500": registry.example.com:5000/team/429/503:500: not found';
    expect(diagnose(text).class).toBe("not-found");
  });
});

describe("a refused password", () => {
  const refusals = recorded.filter(({ fault }) => fault.endsWith("wrong-password"));
  const others = recorded.filter(({ fault }) => fault === "manifest-403" || fault === "token-denied");

  test.each(refusals)("is told from a lack of rights: $file", ({ fault, text }) => {
    expect(diagnose(text).refused).toBe(fault.startsWith("token") ? "login" : "repository");
  });

  test.each(others)("is not seen in a lack of rights: $file", ({ text }) => {
    expect(diagnose(text).refused).toBeUndefined();
  });
});

describe("the essence of a message", () => {
  const spoken = recorded.filter(({ text }) => text !== "");

  test.each(spoken)("is one line without the tool's frame: $file", ({ text }) => {
    const short = essence(text);
    expect(short).not.toMatch(/level=|remote_image\.go|^ctr: |\n|\\n|\\"/u);
    expect(short.length).toBeGreaterThan(10);
  });
});
