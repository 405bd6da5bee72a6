// What the kubelet's records of its own pulls mean for names that are here (its feature KubeletEnsureSecretPulledImages).
import * as v from "valibot";
import { judge } from "./judge.ts";
import { type Node } from "./node.ts";
import type { WantedImage } from "./plan.ts";
import type { Reference } from "./reference.ts";

/** A file in which the kubelet says that it pulled an image, and its JSON, as far as it could be read. */
export interface PulledRecord {
  readonly file: string;
  readonly content: unknown;
}

/** A name on this node, and its image's id. */
export interface NameHere {
  readonly reference: Reference;
  readonly id: string;
}

export const namesHere = (wanted: readonly WantedImage[], node: Node): NameHere[] =>
  wanted
    .flatMap(({ source, furtherNames }) => [source, ...furtherNames])
    .flatMap((reference) => {
      const found = judge(node, reference.name);
      return found.is === "usable" ? [{ reference, id: found.id }] : [];
    });

/** Names of one image that no pod may use, and the record that is the reason. */
export interface RefusedNames {
  readonly file: string;
  readonly names: readonly string[];
}

const recordSchema = v.looseObject({
  imageRef: v.string(),
  credentialMapping: v.nullish(v.record(v.string(), v.unknown()), {}),
});

/**
 * Under its default policy the kubelet trusts an image that it did not pull; of one that it did, only the repositories
 * under which it did. Those that it pulled with a secret are not reported: pods that have the secret may use them.
 */
export function refusedNames(records: readonly PulledRecord[], present: readonly NameHere[]): RefusedNames[] {
  const byId = Map.groupBy(present, ({ id }) => id);
  return records.flatMap(({ file, content }) => {
    const record = v.safeParse(recordSchema, content);
    if (!record.success) return [];
    const { imageRef, credentialMapping } = record.output;
    const known = new Set(Object.keys(credentialMapping ?? {}));
    const names = (byId.get(imageRef) ?? [])
      .filter(({ reference }) => spellings(reference).every((repository) => !known.has(repository)))
      .map(({ reference }) => reference.name);
    return names.length === 0 ? [] : [{ file, names }];
  });
}

/** For people; undefined when nothing is refused. */
export function refusedWarning(refused: readonly RefusedNames[]): string | undefined {
  if (refused.length === 0) return undefined;
  return (
    `the kubelet will refuse pods ${some(refused.flatMap(({ names }) => names))}, or pull it anew, although the image is ` +
    "here: it pulled that image itself under another name, and checks credentials by name since. If its policy is the " +
    `default, NeverVerifyPreloadedImages: delete ${some(refused.map(({ file }) => file))} and restart the kubelet`
  );
}

const MOST = 10;

const some = (texts: readonly string[]): string =>
  [...texts.slice(0, MOST), ...(texts.length > MOST ? [`${texts.length - MOST} more`] : [])].join(", ");

/** A repository as pods may write it: the kubelet completes no name before it looks it up. */
function spellings({ domain, path }: Reference): string[] {
  const full = `${domain}/${path}`;
  if (domain !== "docker.io") return [full];
  const short = path.replace(/^library\//u, "");
  return [full, path, short, `${domain}/${short}`];
}
