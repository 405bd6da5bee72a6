// What is wrong with a configuration, and where: places as operators read them, `images[3].retagAs`.
import type { Credential, RegistryScope } from "../core/credentials.ts";

export type PathKey = string | number;

/** One thing that is wrong, at `path` such as `images[3].retagAs`. Neither part ever repeats a value. */
export interface Issue {
  readonly path: string;
  /** The same place as keys, if need be more exactly. */
  readonly keys: readonly PathKey[];
  readonly problem: string;
  /** The property that it contradicts. */
  readonly against?: readonly PathKey[];
}

/**
 * A key that looks neither like a property's name nor like a registry's may be a value gone astray, so it is not
 * repeated. Our properties are words; base64 and most passwords are not.
 */
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

/** The path of a problem that has no place of its own. */
export const WHOLE = "configuration";

/** Credentials with what they are for, and where they are written. */
export interface Login extends RegistryScope {
  readonly credential: Credential;
  readonly keys: readonly PathKey[];
}

/** A person reads no more; the rest often has the same cause. */
const MOST_TOLD = 100;

/** The first lines, and how many are left out. */
export const firstOf = (lines: readonly string[]): string[] =>
  lines.length <= MOST_TOLD
    ? [...lines]
    : [...lines.slice(0, MOST_TOLD), `… and ${lines.length - MOST_TOLD} more`];

export const issueAt = (keys: readonly PathKey[], problem: string): Issue => ({
  path: formatPath(keys),
  keys,
  problem,
});
