// `((variables))` of BOSH: what they will be is not known here, so that nothing may be said about it.
import { issueAt, type Issue, type PathKey } from "./issue.ts";
import { OTHER_CREDENTIALS, UNUSED_LOGIN } from "./resolve.ts";
import { isMapping } from "./value.ts";

/** As the bosh CLI and the director recognise them. */
const VARIABLE = /\(\(!?[-/.\w\p{L}]+\)\)/gu;
/** A name that is valid as a host, a path and a tag, and that no real one can be (RFC 2606). */
const STAND_IN = /variable\d+\.invalid/u;

interface Place {
  readonly keys: readonly PathKey[];
  readonly variables: readonly string[];
}

export interface StoodIn {
  readonly value: unknown;
  /** Where variables were. */
  readonly places: readonly Place[];
}

/** The properties with something valid in place of each variable; the same for the same variable. */
export function standIn(value: unknown): StoodIn {
  const places: Place[] = [];
  const numbers = new Map<string, number>();
  const token = (variable: string): string =>
    `variable${numbers.getOrInsertComputed(variable, () => numbers.size)}.invalid`;

  const walk = (part: unknown, keys: readonly PathKey[]): unknown => {
    if (typeof part === "string") {
      const variables = part.match(VARIABLE) ?? [];
      if (variables.length === 0) return part;
      places.push({ keys, variables });
      return part === variables[0] ? valueFor(keys, token(part)) : part.replaceAll(VARIABLE, token);
    }
    if (Array.isArray(part)) return part.map((item: unknown, index) => walk(item, [...keys, index]));
    if (!isMapping(part)) return part;
    const entries = Object.entries(part).filter(([key]) => {
      const variables = key.match(VARIABLE) ?? [];
      if (variables.length > 0) places.push({ keys: [...keys, key], variables });
      return variables.length === 0;
    });
    return Object.fromEntries(entries.map(([key, entry]) => [key, walk(entry, [...keys, key])]));
  };
  return { value: walk(value, []), places };
}

/** Base64 of `u:p`. */
const AUTH = "dTpw";

/** Something valid for the property; null, which counts as not given, wherever the default does as well. */
function valueFor(keys: readonly PathKey[], name: string): unknown {
  const last = keys.at(-1);
  const values =
    typeof last === "number"
      ? { images: { name }, registries: { host: name, auth: AUTH }, retagAs: name, archives: { path: "/" } }
      : { images: [], name, retagAs: name, host: name, auth: AUTH, username: "u", password: "p", path: "/" };
  const property = typeof last === "number" ? keys.at(-2) : last;
  return Object.entries(values).find(([key]) => key === property)?.[1] ?? null;
}

/** A problem for each place: here nothing fills the variables in. */
export const openVariables = ({ places }: StoodIn): Issue[] =>
  places.map(({ keys, variables }) =>
    issueAt(
      keys,
      `has ${variables.join(" and ")}, which only BOSH fills in: write the value (bosh int does it)`,
    ),
  );

/** Whether an issue would be there whatever the variables are. */
export function isCertain(issue: Issue, { places }: StoodIn): boolean {
  if (STAND_IN.test(issue.problem)) return false;
  const decisive = [issue.keys, ...(issue.against === undefined ? [] : [issue.against])];
  if (places.some(({ keys }) => decisive.some((about) => isWithin(about, keys)))) return false;
  if (issue.problem === UNUSED_LOGIN) return !places.some(isNameOfImage);
  if (!issue.problem.startsWith(OTHER_CREDENTIALS)) return true;
  return !places.some((place) => place.keys[0] === issue.keys[0] && isCredential(place));
}

const isWithin = (keys: readonly PathKey[], place: readonly PathKey[]): boolean =>
  place.every((key, index) => keys[index] === key);

const isCredential = ({ keys }: Place): boolean =>
  ["auth", "username", "password"].includes(String(keys.at(-1)));

/** Of an element or the whole list too, in which it is. */
const isNameOfImage = ({ keys: [first, , property = "name"] }: Place): boolean =>
  first === "images" && property === "name";
