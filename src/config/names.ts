// Reads image names from plain text, or from the containers in Kubernetes manifests, in YAML or JSON.
import { parseReference, type Reference } from "../core/reference.ts";
import { EXIT, ExitError } from "../exit.ts";
import { firstOf, formatPath, type PathKey } from "./issue.ts";
import { parseSource } from "./source.ts";
import { isMapping, parseJson } from "./value.ts";

interface Named {
  readonly text: string;
  readonly place: string;
}

/** @param file name for messages. @throws ExitError (usage) with every invalid reference, or if there is no name */
export function namesIn(file: string, text: string): Reference[] {
  const named = hasKeys(text) ? inManifests(file, text) : inLines(file, text);
  const [references, wrong]: [Reference[], string[]] = [[], []];
  for (const { text: name, place } of named) {
    const parsed = parseReference(name);
    if (typeof parsed === "string") wrong.push(`${place}: ${parsed}`);
    else references.push(parsed);
  }
  if (wrong.length > 0) throw refusal(`${file}: not every name is an image reference`, wrong);
  if (references.length === 0) throw refusal(`${file}: names no image`);
  return references;
}

const refusal = (why: string, details: readonly string[] = []): ExitError =>
  new ExitError(EXIT.usage, [why, ...firstOf(details)].join("\n"));

/** Whether it is YAML or JSON: no reference has a colon before a blank or line end, and JSON starts with a bracket. */
const hasKeys = (text: string): boolean => /^\s*(?:\{|\[\s*[{[])|^[^#\n]*:\s/mu.test(text);

const inLines = (file: string, text: string): Named[] =>
  text.split("\n").flatMap((line, index) =>
    line
      .replace(/#.*/u, "")
      .split(/\s/u)
      .filter((name) => name !== "" && name !== "-")
      .map((name) => ({ text: name, place: `${file}:${index + 1}` })),
  );

function inManifests(file: string, text: string): Named[] {
  const json = parseJson(text);
  const values = json === undefined ? documentsOf(file, text) : [json];
  return values.flatMap((value, index) => {
    const document = values.length === 1 ? "" : ` document ${index + 1},`;
    return [...imagesOf(value, [])].map(({ name, keys }) => ({
      text: name,
      place: `${file}:${document} ${formatPath(keys)}`,
    }));
  });
}

function documentsOf(file: string, text: string): unknown[] {
  const { documents, placeOf } = parseSource(text, false);
  const problems = documents.flatMap(({ problems: of }) => of);
  if (problems.length === 0) return documents.map(({ value }) => value);
  const lines = problems.map(({ offset, problem }) => {
    const { line, column } = placeOf(offset);
    return `${file}:${line}:${column}: ${problem}`;
  });
  throw refusal(`${file}: cannot be read as YAML`, lines);
}

/** At any depth, so also in a List, a CronJob or a custom resource with a pod in it. */
const CONTAINERS = new Set<PathKey>(["containers", "initContainers", "ephemeralContainers"]);

function* imagesOf(
  value: unknown,
  keys: readonly PathKey[],
): Generator<{ name: string; keys: readonly PathKey[] }> {
  if (Array.isArray(value))
    for (const [index, item] of value.entries()) yield* imagesOf(item, [...keys, index]);
  if (!isMapping(value)) return;
  const isContainer = CONTAINERS.has(keys.at(-2) ?? "");
  const { image } = value;
  if (isContainer && typeof image === "string" && image !== "")
    yield { name: image, keys: [...keys, "image"] };
  if (keys.at(-2) === "volumes" && isMapping(image) && typeof image["reference"] === "string")
    yield { name: image["reference"], keys: [...keys, "image", "reference"] };
  for (const [key, part] of Object.entries(value)) yield* imagesOf(part, [...keys, key]);
}
