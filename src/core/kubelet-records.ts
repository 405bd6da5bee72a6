// What the kubelet's records of its own pulls mean for names that are here (its feature KubeletEnsureSecretPulledImages).
import * as v from "valibot";
import { judge } from "./judge.ts";
import { type Node } from "./node.ts";
import type { WantedImage } from "./plan.ts";
import { parseReference, type Reference } from "./reference.ts";

/** The JSON of each of the kubelet's files, as far as it could be read. */
export interface KubeletRecords {
  /** Of images that it pulled (ImagePulledRecord). */
  readonly pulled: readonly unknown[];
  /** Of names that it began to pull, and has not finished for longer than a pull of a present image takes (ImagePullIntent). */
  readonly pulling: readonly unknown[];
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

/** Why pods may not use a name: the kubelet pulled its image under another one, or did not finish a pull of this one. */
type Reason = "otherName" | "unfinished";
export type RefusedNames = Readonly<Record<Reason, readonly string[]>>;

const pulledSchema = v.looseObject({
  imageRef: v.string(),
  credentialMapping: v.nullish(v.record(v.string(), v.unknown())),
});
const pullingSchema = v.looseObject({ image: v.string() });

/**
 * Under its default policy the kubelet trusts an image that it did not pull; of one that it did, only the repositories
 * under which it did. Those that it pulled with a secret are not reported: pods that have the secret may use them.
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
  const begun = new Set(pulling.filter((content) => v.is(pullingSchema, content)).map(fullName));
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

/** A pull in which the kubelet ended leaves a repository without anything that opens it. */
const trustedIn = (credentials: Readonly<Record<string, unknown>>): Set<string> =>
  new Set(
    Object.entries(credentials).flatMap(([repository, by]) =>
      typeof by === "object" && by !== null && Object.keys(by).length > 0 ? [repository] : [],
    ),
  );

function fullName({ image }: { image: string }): string {
  const parsed = parseReference(image);
  return typeof parsed === "string" ? image : parsed.name;
}

const REASONS: Readonly<Record<Reason, string>> = {
  otherName: "it pulled that image itself under another name, and checks credentials by name since",
  unfinished: "it began to pull that name itself, and has not finished",
};

/** For people, one for each reason; none when nothing is refused. */
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

/** A repository as pods may write it: the kubelet completes no name before it looks it up. */
function spellings({ domain, path }: Reference): string[] {
  const full = `${domain}/${path}`;
  if (domain !== "docker.io") return [full];
  const short = path.replace(/^library\//u, "");
  return [full, path, short, `${domain}/${short}`];
}
