// Makes the plan: compares what the operator wants with what the node has. The plan is a value without side effects.
import type { Credential } from "./credentials.ts";
import type { Failure } from "./failure.ts";
import { ELSEWHERE, judge, type Judgement, type Unusable, type Usable } from "./judge.ts";
import type { KnownImages, Node } from "./node.ts";
import { archiveOfPin, isPin, isPinned, namesOfPin, pinName } from "./pins.ts";
import { digestName, hasOtherDigest, type Reference } from "./reference.ts";

export type PullPolicy = "Always" | "IfNotPresent";

/** One wanted image with all its settings; entries with the same source are already merged. */
export interface WantedImage {
  readonly source: Reference;
  /** Does not include the source. */
  readonly furtherNames: readonly Reference[];
  /** `implicit-Always`: not set by the operator; Kubernetes' default for `:latest`. */
  readonly pullPolicy: PullPolicy | "implicit-Always";
  readonly required: boolean;
  readonly pin: boolean;
  /** Milliseconds for all attempts together. */
  readonly timeout: number;
  readonly credential?: Credential;
  /** Set if it comes from an archive instead of a registry. */
  readonly archive?: Origin;
}

/** The archive of an image. `digest`: the target that the image must have; unknown before the import. */
export interface Origin {
  readonly path: string;
  readonly digest?: string | undefined;
  /** The import failed, or the archive cannot be read. */
  readonly failed: boolean;
}

export type PullDecision =
  /** `unpack`: unpack again from the blobs, because of damage on the disk. */
  | { readonly action: "pull" | "keep" | "unpack"; readonly why: string }
  /** The archive did not provide it, and no registry is asked instead; or a container uses what is damaged. */
  | { readonly action: "fail"; readonly why: string; readonly failure: Failure }
  | {
      /** Tag it from an image with the same digest, which is on the node or is pulled by this plan. */
      readonly action: "share";
      readonly sameAs: string;
      readonly why: string;
    };

export interface NameDecision {
  readonly name: string;
  readonly action: "keep" | "create" | "move";
  readonly why: string;
}

export interface PlannedImage {
  readonly image: WantedImage;
  readonly decision: PullDecision;
  readonly judgement: Judgement;
  /** Further names as known before the pull, which may change the source's target. */
  readonly names: readonly NameDecision[];
  readonly pin: "create" | "keep" | "none";
}

export interface Plan {
  readonly images: readonly PlannedImage[];
  /** Pins that are no longer wanted: the pin's record, and the image's names for messages. */
  readonly unpin: readonly { readonly record: string; readonly name: string }[];
  /** Set if the plan changes nothing: the node that it was made from, valid until someone else changes it. */
  readonly settled?: Node;
}

/** Source first, then the further names. */
export const namesOf = (image: WantedImage): string[] =>
  [image.source, ...image.furtherNames].map((reference) => reference.name);

export interface PlanOptions {
  /** False if the runtime ignores pins: then none is created or deleted. */
  readonly pins: boolean;
  /** Sources to plan; all if empty. If not empty, no pin is deleted: the rest of the list is not looked at. */
  readonly only?: ReadonlySet<string>;
  /** Whether the images of an archive are unknown, so that they keep their pins. */
  readonly isUnread?: (archive: string) => boolean;
}

const ALL: ReadonlySet<string> = new Set();

export function planRun(wanted: readonly WantedImage[], node: Node, options: PlanOptions): Plan {
  const { pins, only = ALL } = options;
  const chosen = wanted.filter(({ source }) => only.size === 0 || only.has(source.name));
  const plan = { images: planImages(chosen, node, pins), unpin: unwantedPins(wanted, node, options) };
  return isDone(plan) ? { ...plan, settled: node } : plan;
}

const isDone = ({ images, unpin }: Plan): boolean =>
  unpin.length === 0 &&
  images.every(
    ({ decision, names, pin }) =>
      decision.action === "keep" && pin !== "create" && names.every(({ action }) => action === "keep"),
  );

export function countDecisions(
  images: readonly PlannedImage[],
): Readonly<Record<PullDecision["action"], number>> {
  const counts = { pull: 0, share: 0, keep: 0, unpack: 0, fail: 0 };
  for (const { decision } of images) counts[decision.action] += 1;
  return counts;
}

/** Pulls one of several sources with the same digest, and tags the others from it. */
export function planImages(wanted: readonly WantedImage[], node: Node, pins: boolean): PlannedImage[] {
  const records = [...node.records.values()].filter(({ name }) => name.includes("/"));
  const named = Map.groupBy(records, ({ target }) => target.digest);
  const pulled = new Map<string, string>();
  return wanted.map((image) => {
    const planned = planImage(image, node, pins);
    const digest = expectedDigest(image);
    const isGone = planned.judgement.is === "absent" || planned.judgement.is === "elsewhere";
    if (digest === undefined || !isGone || image.pullPolicy === "Always") return planned;
    const here = named.get(digest)?.filter(({ name }) => judge(node, name).is === "usable") ?? [];
    // A pin works as well as a name, but tells the reader less.
    const known = (here.find((record) => !isPin(record)) ?? here[0])?.name;
    const { name } = image.source;
    const sameAs = known ?? (image.archive === undefined ? pulled.getOrInsert(digest, name) : name);
    if (sameAs === name) return planned;
    return { ...planned, decision: { action: "share", sameAs, why: `has the digest of ${sameAs}` } };
  });
}

/** The only target that the image may have; undefined if it may have any. */
const expectedDigest = ({ source, archive }: WantedImage): string | undefined =>
  archive === undefined ? source.digest : archive.digest;

export function planImage(image: WantedImage, node: KnownImages, pins: boolean): PlannedImage {
  const judgement = judgeSource(image, node);
  const names = planNames(image, node, judgement);
  const hasPin = judgement.is === "usable" && isPinned(node, judgement.target);
  const pin = !image.pin || !pins ? "none" : hasPin ? "keep" : "create";
  return { image, decision: decide(image, judgement), judgement, names, pin };
}

function judgeSource(image: WantedImage, node: KnownImages): Judgement {
  const judgement = judge(node, image.source.name);
  const digest = expectedDigest(image);
  return judgement.is === "usable" && judgement.target.digest !== (digest ?? judgement.target.digest)
    ? ELSEWHERE
    : judgement;
}

function decide({ source, pullPolicy, archive }: WantedImage, judgement: Judgement): PullDecision {
  if (judgement.mend === "unpack") return { action: "unpack", why: judgement.why };
  // With another policy, a pull may bring a newer image that is whole.
  if (judgement.mend === "held" && pullPolicy === "IfNotPresent")
    return {
      action: "fail",
      why: judgement.why,
      failure: { class: "damaged", message: problemOf(judgement) },
    };
  if (archive !== undefined) return decideArchived(archive, judgement);
  if (judgement.is !== "usable") return { action: "pull", why: whyPull(judgement) };
  if (pullPolicy === "IfNotPresent")
    return { action: "keep", why: source.digest === undefined ? "present" : "present, by its digest" };
  const latest = ":latest is always looked up (set pullPolicy: IfNotPresent to keep it)";
  return {
    action: "pull",
    why: `present, but ${pullPolicy === "Always" ? "pullPolicy is Always" : latest}`,
  };
}

function decideArchived({ path, digest, failed }: Origin, judgement: Judgement): PullDecision {
  if (digest === undefined && !failed)
    return { action: "keep", why: `comes from ${path}, which is imported first` };
  if (judgement.is === "usable" && digest !== undefined)
    return { action: "keep", why: `present, from ${path}` };
  const why = judgement.is === "usable" ? "it is another image" : problemOf(judgement);
  const message = `the archive ${path} did not provide it: ${why}`;
  const next =
    "see why the archive failed, then run again; an image from an archive is never pulled from a registry";
  return { action: "fail", why: message, failure: { class: "not-found", message, next } };
}

export const problemOf = ({ is, why }: Unusable): string =>
  is === "absent" ? "its name is gone" : is === "elsewhere" ? `it ${why}` : `it is ${why}`;

const whyPull = ({ is, why }: Unusable): string =>
  is === "absent" || is === "damaged" ? why : `present, but ${why}`;

/** Compares names by their targets, not by text: an existing name may refer to another image. */
function planNames(image: WantedImage, { records }: KnownImages, judgement: Judgement): NameDecision[] {
  const digest = judgement.is === "usable" ? judgement.target.digest : undefined;
  return namesToGive(image, digest).map((name): NameDecision => {
    const current = records.get(name)?.target.digest;
    if (current === undefined) return { name, action: "create", why: "not on this node" };
    if (digest === undefined) return { name, action: "move", why: "may point to another image" };
    if (current !== digest) return { name, action: "move", why: "points to another image" };
    return { name, action: "keep", why: "points to this image" };
  });
}

/** The names that a pull of each would create: its tag, and its digest form for pods that pin a digest. */
export function namesToGive({ source, furtherNames }: WantedImage, digest: string | undefined): string[] {
  const byDigest =
    digest === undefined ? [] : [source, ...furtherNames].map((each) => digestName(each, digest));
  const names = new Set([...furtherNames.map(({ name }) => name), ...byDigest]);
  names.delete(source.name);
  return [...names];
}

/** A further name whose digest is not the image's, so that no tag can create it. */
export const impossibleName = ({ furtherNames }: WantedImage, { target }: Usable): Reference | undefined =>
  furtherNames.find((name) => hasOtherDigest(name, target.digest));

/** Our pins, except on images that a wanted name refers to, whether or not its pull succeeded. */
export function unwantedPins(
  wanted: readonly WantedImage[],
  node: Node,
  { pins, only = ALL, isUnread }: PlanOptions,
): Plan["unpin"] {
  if (!pins || only.size > 0) return [];
  const names = wanted.filter(({ pin }) => pin).flatMap(namesOf);
  const kept = names.flatMap((name) => node.records.get(name) ?? []);
  const keep = new Set(kept.map(({ target }) => pinName(target)));
  return [...node.records.values()]
    .filter((record) => isPin(record) && !keep.has(record.name) && !isUnread?.(archiveOfPin(record)))
    .map((record) => ({ record: record.name, name: namesOfPin(node, record) }));
}

/**
 * Largest first, so that the largest image does not start last and run alone. Uses the size from an earlier run, or of
 * another image of the repository, because successive versions are about equal in size. Images of unknown size come
 * first, in list order, because any of them may be the largest.
 * @param earlier compressed bytes by source name
 */
export function longestFirst(
  planned: readonly PlannedImage[],
  earlier: ReadonlyMap<string, number>,
  { cri }: Node,
): PlannedImage[] {
  const here = [...cri].flatMap(([name, images]) => images.map(({ size }) => [name, size] as const));
  const byRepository = new Map([...here, ...earlier].map(([name, size]) => [repositoryOf(name), size]));
  const sizeOf = ({ image: { source } }: PlannedImage): number =>
    earlier.get(source.name) ?? byRepository.get(repositoryOf(source.name)) ?? Number.POSITIVE_INFINITY;
  // Two unknown sizes differ by NaN, which sorts as equal.
  return planned.toSorted((a, b) => sizeOf(b) - sizeOf(a));
}

/** @param name normalized */
const repositoryOf = (name: string): string => name.replace(/[:@][^/]*$/u, "");
