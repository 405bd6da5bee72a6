// BOSH's `((variables))`: their values are unknown here, so nothing is reported that may depend on them.
import { issueAt, type Issue, type PathKey } from "./issue.ts";
import { OTHER_CREDENTIALS, UNUSED_LOGIN } from "./resolve.ts";
import { isMapping } from "./value.ts";

/** As the bosh CLI and the director recognize them. */
const VARIABLE = /\(\(!?[-/.\w\p{L}]+\)\)/gu;

/** Cannot be a real host (RFC 2606). */
const STAND_IN = /variable\d+\.invalid/u;
/** `auth` is base64 of `u:p`. */
const LOGIN = { auth: "dTpw", username: "u", password: "p" };

/** Values for properties that an entry must have. @param nth number of the variable, so that no two names are equal */
const valuesFor = (nth: number): Readonly<Record<string, string>> => ({
  name: `variable${nth}.invalid/x`,
  host: `variable${nth}.invalid`,
  ...LOGIN,
});

interface Place {
  readonly keys: readonly PathKey[];
  readonly variables: readonly string[];
}

export interface StoodIn {
  readonly value: unknown;
  readonly places: readonly Place[];
}

/** Replaces each text that has a variable with null, which counts as unset, or with a valid value if it must be set. */
export function standIn(value: unknown): StoodIn {
  const places: Place[] = [];
  const hasVariable = (text: string, keys: readonly PathKey[]): boolean => {
    const variables = text.match(VARIABLE);
    if (variables !== null) places.push({ keys, variables });
    return variables !== null;
  };
  const walk = (part: unknown, keys: readonly PathKey[]): unknown => {
    if (typeof part === "string")
      return hasVariable(part, keys) ? (valuesFor(places.length)[String(keys.at(-1))] ?? null) : part;
    if (Array.isArray(part)) return part.map((item: unknown, index) => walk(item, [...keys, index]));
    if (!isMapping(part)) return part;
    const entries = Object.entries(part).filter(([key]) => !hasVariable(key, [...keys, key]));
    return Object.fromEntries(entries.map(([key, entry]) => [key, walk(entry, [...keys, key])]));
  };
  return { value: walk(value, []), places };
}

/** One problem per place, because nothing fills in the variables here. */
export const openVariables = ({ places }: StoodIn): Issue[] =>
  places.map(({ keys, variables }) =>
    issueAt(
      keys,
      `has ${variables.join(" and ")}, which only BOSH fills in: write the value (bosh int does it)`,
    ),
  );

/** Whether an issue remains for all values of the variables. */
export function isCertain({ keys, against = keys, problem }: Issue, { places }: StoodIn): boolean {
  if (places.some((place) => isWithin(keys, place.keys) || isWithin(against, place.keys))) return false;
  if (problem === UNUSED_LOGIN) return !places.some((place) => place.keys.at(-1) === "name");
  if (!problem.startsWith(OTHER_CREDENTIALS)) return !STAND_IN.test(problem);
  return !places.some((place) => place.keys[0] === keys[0] && String(place.keys.at(-1)) in LOGIN);
}

const isWithin = (keys: readonly PathKey[], place: readonly PathKey[]): boolean =>
  place.every((key, index) => keys[index] === key);
