// Problems of a configuration, with their path as operators read it: `images[3].retagAs`.
import type { Credential, RegistryScope } from "../core/credentials.ts";

export type PathKey = string | number;

/** One problem. Neither `path` nor `problem` repeats a value that may be a secret. */
export interface Issue {
  readonly path: string;
  /** The same place as keys; may be more exact. */
  readonly keys: readonly PathKey[];
  readonly problem: string;
  /** The property that it conflicts with. */
  readonly against?: readonly PathKey[];
}

/** Other keys are not printed, as they may be secrets: properties are words, base64 and most passwords are not. */
const PROPERTY = /^(?=.{1,32}$)[A-Z]?[a-z]+(?:(?:[_-][A-Z]?|[A-Z])[a-z]+)*$/u;
const REGISTRY =
  /^(?=.{1,80}$)(?:https?:\/\/)?[a-z0-9*-]+(?:\.[a-z0-9*-]+)+(?::\d+)?(?:\/[a-z0-9]+(?:[._-][a-z0-9]+)*)*\/?$/u;

export function formatPath(keys: readonly PathKey[]): string {
  const path = keys.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`;
    const name = PROPERTY.test(key) || REGISTRY.test(key) ? key : "(unprintable key)";
    return text === "" ? name : `${text}.${name}`;
  }, "");
  return path === "" ? WHOLE : path;
}

/** The path of a problem without a place of its own. */
export const WHOLE = "configuration";

/** Credentials with their scope, and their place in the configuration. */
export interface Login extends RegistryScope {
  readonly credential: Credential;
  readonly keys: readonly PathKey[];
}

/** People read no more than this, and the rest often has the same cause. */
const MOST_REPORTED = 100;

/** The first lines, and the number of those that are left out. */
export const firstOf = (lines: readonly string[]): string[] =>
  lines.length <= MOST_REPORTED
    ? [...lines]
    : [...lines.slice(0, MOST_REPORTED), `… and ${lines.length - MOST_REPORTED} more`];

export const issueAt = (keys: readonly PathKey[], problem: string): Issue => ({
  path: formatPath(keys),
  keys,
  problem,
});
