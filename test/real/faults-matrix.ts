// What the agent is to make of every fault, and the table of what it made of it.
import type { FailureClass } from "../../src/core/failure.ts";
import type { ContainerdLine } from "../rig/tools.ts";
import type { RegistryFault } from "./faults-catalogue.ts";

/** The class; those in `retried` may end, and are then survived. */
export const classes: Readonly<Record<RegistryFault, FailureClass>> = {
  "missing-tag": "not-found",
  "missing-repository": "not-found",
  "wrong-platform": "platform",
  "missing-blob": "server",
  "no-credentials": "auth",
  "wrong-password": "auth",
  "token-wrong-password": "auth",
  "token-no-credentials": "auth",
  "token-denied": "auth",
  "token-service-503": "server",
  "token-html": "server",
  "token-empty": "server",
  "token-expires": "server",
  html: "server",
  "schema-1": "not-an-image",
  "wrong-diff-id": "not-an-image",
  "wrong-layer-count": "not-an-image",
  "manifest-400": "reference",
  "manifest-402": "auth",
  "manifest-403": "auth",
  "manifest-405": "not-found",
  "manifest-407": "network",
  "manifest-409": "not-found",
  "manifest-410": "not-found",
  "manifest-412": "auth",
  "manifest-451": "auth",
  "manifest-429": "rate-limit",
  "layer-401": "server",
  "layer-403": "server",
  "layer-400": "server",
  "layer-404": "server",
  "layer-405": "server",
  "layer-409": "server",
  "layer-410": "server",
  "layer-412": "server",
  "layer-451": "server",
  "store-400": "server",
  "store-403": "server",
  "store-404": "server",
  "store-410": "server",
  "store-429": "rate-limit",
  "store-503": "server",
  "store-no-such-host": "network",
  "store-refused": "network",
  "store-unknown-ca": "tls",
  "realm-no-such-host": "network",
  "realm-refused": "network",
  "realm-unknown-ca": "tls",
  "token-expired": "auth",
  "foreign-login": "auth",
  "no-realm": "server",
  "redirect-loop": "server",
  "size-zero": "server",
  "digest-garbage": "server",
  "not-http": "server",
  "not-tls": "tls",
  "mirror-lacks": "network",
  "expected-manifest": "not-an-image",
  "layer-encrypted": "not-an-image",
  "layer-no-tar": "not-an-image",
  "layer-no-gzip": "not-an-image",
  "layer-cut": "not-an-image",
  "config-no-json": "not-an-image",
  "layer-429": "rate-limit",
  "layer-429-wordy": "rate-limit",
  "manifest-500": "server",
  "manifest-502": "server",
  "manifest-503": "server",
  "manifest-504": "server",
  "layer-503": "server",
  refused: "network",
  "no-such-host": "network",
  "reset-at-once": "network",
  "eof-at-once": "network",
  // All that is seen of a TLS alert in answer to plain text.
  "alert-for-http": "network",
  "layer-dropped": "transfer",
  "layer-reset": "transfer",
  "layer-truncated": "transfer",
  "layer-corrupted": "transfer",
  "unknown-ca": "tls",
  "wrong-name": "tls",
  "expired-certificate": "tls",
  "not-yet-valid": "tls",
  "negative-serial": "tls",
  "no-common-cipher": "tls",
  "old-protocol": "tls",
  "wants-certificate": "tls",
  "ca-missing": "tls",
  "ca-garbage": "tls",
  "client-missing": "tls",
  "client-garbage": "tls",
  "http-for-https": "tls",
  "https-for-http": "tls",
  "never-answers": "stall",
  "layer-stalled": "stall",
};

/** 1.6.20 does not tell whether it spoke plain http, which alone shows what a 400 means. */
export function classOn(line: string, fault: RegistryFault): FailureClass {
  if (line === "1.6.20" && fault === "https-for-http") return "reference";
  // Older ones tell the error of the last host that they asked.
  return line.startsWith("2") && fault === "mirror-lacks" ? "not-found" : classes[fault];
}

/** May pass, and more than one further attempt brings nothing. */
const twice = new Set<RegistryFault>(["missing-tag", "missing-repository", "manifest-409", "not-yet-valid"]);
const retried = new Set<FailureClass>(["server", "rate-limit", "network", "transfer", "stall"]);
/** Retried, but nothing that ends by itself. */
const permanent = new Set<RegistryFault>([
  "no-such-host",
  "alert-for-http",
  "missing-repository",
  "not-yet-valid",
]);

/** Faults of a whole registry: it is asked until registry_timeout, however often that is. */
const untilTimeout = new Set<RegistryFault>([
  "manifest-429",
  "layer-429",
  "layer-429-wordy",
  "manifest-500",
  "manifest-502",
  "manifest-503",
  "manifest-504",
  "refused",
  "no-such-host",
  "reset-at-once",
  "eof-at-once",
  "alert-for-http",
  "never-answers",
  "mirror-lacks",
  "layer-stalled",
]);

/** Debian's 1.6.20 is built with a Go that accepts it. */
export const isTakenOn = (line: string, fault: RegistryFault): boolean =>
  line === "1.6.20" && fault === "negative-serial";

export const faults = Object.keys(classes) as RegistryFault[];
/** @param most as the property retry.attempts has it @returns undefined where their number is a matter of time */
export function attemptsOn(line: string, fault: RegistryFault, most: number): number | undefined {
  if (twice.has(fault) || (fault === "mirror-lacks" && line.startsWith("2"))) return 2;
  // 1.x names the registry where its store answers.
  const isRegistrys = untilTimeout.has(fault) || (fault === "store-429" && !line.startsWith("2"));
  if (isRegistrys) return undefined;
  return retried.has(classes[fault]) && fault !== "manifest-407" ? most : 1;
}
export const ending = faults.filter((fault) => attemptsOn("1.7", fault, 2) !== 1 && !permanent.has(fault));

/** What came of one image. */
export interface Outcome {
  readonly phase: string;
  readonly class: string;
  readonly attempts: number;
  readonly requests: number;
}

export type Outcomes = Readonly<Record<string, Outcome>>;

/** Rows are faults, columns are containerd lines. */
export function markdown(results: ReadonlyMap<ContainerdLine, Outcomes>): string {
  const lines = [...results.keys()];
  const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const cell = (outcome: Outcome | undefined): string =>
    outcome === undefined ? "" : `${outcome.phase}, ${outcome.attempts}`;
  const rows = faults.map((fault) =>
    row([
      fault,
      classes[fault],
      ...lines.map((line) => cell(results.get(line)?.[fault])),
      ...lines.map((line) => cell(results.get(line)?.[`${fault}-ends`])),
    ]),
  );
  const titles = [
    "fault",
    "class",
    ...lines.map((line) => `lasts, ${line}`),
    ...lines.map((line) => `ends, ${line}`),
  ];
  return [row(titles), row(titles.map(() => "---")), ...rows].join("\n");
}
