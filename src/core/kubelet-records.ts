// Finds names that the kubelet refuses, from the records of its own pulls (feature KubeletEnsureSecretPulledImages).
import * as v from "valibot";
import { judge } from "./judge.ts";
import { type Node } from "./node.ts";
import type { WantedImage } from "./plan.ts";
import { normalizedName, type Reference } from "./reference.ts";

/** The parsed JSON of the kubelet's files; unreadable ones are left out. */
export interface KubeletRecords {
  /** Images that it pulled (ImagePulledRecord). */
  readonly pulled: readonly unknown[];
  /** Names that it has been pulling for longer than a pull of a present image takes (ImagePullIntent). */
  readonly pulling: readonly unknown[];
}

/** A usable name on this node, with its image's id. */
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

/** Why the kubelet refuses a name: it pulled the image under another one, or did not finish a pull of this one. */
type Reason = "otherName" | "unfinished";
export type RefusedNames = Readonly<Record<Reason, readonly string[]>>;

const pulledSchema = v.looseObject({
  imageRef: v.string(),
  credentialMapping: v.nullish(v.record(v.string(), v.nullish(v.looseObject({})))),
});
const pullingSchema = v.looseObject({ image: v.string() });

/**
 * By default, the kubelet trusts an image that it did not pull. An image that it did pull, it trusts only under the
 * repositories in its record. Those pulled with a secret are not reported: pods with the secret may use them.
 */
export function refusedNames(
  { pulled, pulling }: KubeletRecords,
  present: readonly NameHere[],
): RefusedNames {
  const trustedById = new Map(
    pulled
      .filter((content) => v.is(pulledSchema, content))
      .map(({ imageRef, credentialMapping }) => [imageRef, trustedIn(credentialMapping ?? {})] as const),
  );
  const begun = new Set(
    pulling.filter((content) => v.is(pullingSchema, content)).map(({ image }) => normalizedName(image)),
  );
  const reasonOf = ({ reference, id }: NameHere): Reason | undefined => {
    const trusted = trustedById.get(id);
    if (trusted === undefined) return begun.has(reference.name) ? "unfinished" : undefined;
    if (spellings(reference).some((repository) => trusted.has(repository))) return undefined;
    return trusted.size === 0 ? "unfinished" : "otherName";
  };
  const byReason = Map.groupBy(present, reasonOf);
  const names = (reason: Reason): string[] =>
    byReason.get(reason)?.map(({ reference }) => reference.name) ?? [];
  return { otherName: names("otherName"), unfinished: names("unfinished") };
}

/** Skips a repository without credentials: a kubelet that ended during the pull leaves such an entry. */
const trustedIn = (credentials: Readonly<Record<string, object | null | undefined>>): Set<string> =>
  new Set(
    Object.entries(credentials).flatMap(([repository, by]) =>
      Object.keys(by ?? {}).length > 0 ? [repository] : [],
    ),
  );

const REASONS: Readonly<Record<Reason, string>> = {
  otherName: "it pulled that image itself under another name, and checks credentials by name since",
  unfinished: "it began to pull that name itself, and has not finished",
};

/** @returns one warning for each reason; empty if nothing is refused */
export function refusedWarnings(root: string, refused: RefusedNames): string[] {
  return (["otherName", "unfinished"] as const).flatMap((reason) => {
    const names = [...new Set(refused[reason])];
    if (names.length === 0) return [];
    return (
      `the kubelet will refuse to start pods that use ${some(names)}, or pull it again, although the image is on this node: ${REASONS[reason]}. ` +
      "If its policy is the default, NeverVerifyPreloadedImages: stop the kubelet, " +
      `empty ${root}/image_manager/pulled and ${root}/image_manager/pulling, and start it`
    );
  });
}

const MOST = 10;

const some = (texts: readonly string[]): string =>
  [...texts.slice(0, MOST), ...(texts.length > MOST ? [`${texts.length - MOST} more`] : [])].join(", ");

/** The spellings that pods may use: the kubelet looks a name up without normalizing it. */
function spellings({ domain, path }: Reference): string[] {
  const full = `${domain}/${path}`;
  if (domain !== "docker.io") return [full];
  const short = path.replace(/^library\//u, "");
  return [full, path, short, `${domain}/${short}`];
}
