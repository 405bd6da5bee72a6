// The plan is a value: what the operator wants, held against what the node has. Nothing here does anything.
import type { Credential } from "./credentials.ts";
import type { Failure } from "./failure.ts";
import { ELSEWHERE, judge, type Judgement, type Unusable, type Usable } from "./judge.ts";
import type { KnownImages, Node } from "./node.ts";
import { archiveOfPin, isPin, isPinned, namesOfPin, pinName } from "./pins.ts";
import { digestName, hasOtherDigest, type Reference } from "./reference.ts";

export type PullPolicy = "Always" | "IfNotPresent";

/** One image to have, with everything that was said about it; entries of one source are already merged. */
export interface WantedImage {
  readonly source: Reference;
  /** Further names of the same image, without the source. */
  readonly furtherNames: readonly Reference[];
  /** `implicit`: nobody asked for freshness, Kubernetes' rule for `:latest` did. */
  readonly pullPolicy: PullPolicy | "implicit-Always";
  readonly required: boolean;
  readonly pin: boolean;
  /** Milliseconds for this image with all its attempts. */
  readonly timeout: number;
  readonly credential?: Credential;
  /** Where it comes from instead of a registry. */
  readonly archive?: Origin;
}

/** An archive, and what an image from it has to be: that is not known before its import. */
export interface Origin {
  readonly path: string;
  readonly digest?: string;
  /** Its import failed, or it cannot be read. */
  readonly failed: boolean;
}

export type PullDecision =
  /** `unpack`: again, from its blobs, because of damage on the disk. */
  | { readonly action: "pull" | "keep" | "unpack"; readonly why: string }
  /** It comes from an archive that did not bring it, and no registry is asked instead; or what is damaged is in use. */
  | { readonly action: "fail"; readonly why: string; readonly failure: Failure }
  | {
      /** Instead of a pull: named as another image with the same digest is, which is here or is pulled by this plan. */
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
  /** What the source's name is good for now. */
  readonly judgement: Judgement;
  /** Further names, as far as they are known before the pull, which may bring another image under the source's name. */
  readonly names: readonly NameDecision[];
  readonly pin: "create" | "keep" | "none";
}

export interface Plan {
  readonly images: readonly PlannedImage[];
  /** Pins of ours that are no longer wanted: the record that pins, and the image's names for a person. */
  readonly unpin: readonly { readonly record: string; readonly name: string }[];
  /** The node on which it was made, where it changes nothing: so long as nobody else does, that is how it still is. */
  readonly settled?: Node;
}

/** Source first, then the further names. */
export const namesOf = (image: WantedImage): string[] =>
  [image.source, ...image.furtherNames].map((reference) => reference.name);

export interface PlanOptions {
  /** False where the runtime ignores pins: then nothing is pinned, and nothing unpinned. */
  readonly pins: boolean;
  /** Sources to which the plan is narrowed; all when empty. Nothing is unpinned then: the rest of the list was not looked at. */
  readonly only?: ReadonlySet<string>;
  /** Whether it is not known which images belong to the archive: they keep their pins. */
  readonly isUnread?: (archive: string) => boolean;
}

const ALL: ReadonlySet<string> = new Set();

/** Decides everything from one look at the node. */
export function planRun(wanted: readonly WantedImage[], node: Node, options: PlanOptions): Plan {
  const { pins, only = ALL } = options;
  const chosen = wanted.filter(({ source }) => only.size === 0 || only.has(source.name));
  const plan = { images: planImages(chosen, node, pins), unpin: unwantedPins(wanted, node, options) };
  return isDone(plan) ? { ...plan, settled: node } : plan;
}

/** Whether the node is as it should be. */
const isDone = ({ images, unpin }: Plan): boolean =>
  unpin.length === 0 &&
  images.every(
    ({ decision, names, pin }) =>
      decision.action === "keep" && pin !== "create" && names.every(({ action }) => action === "keep"),
  );

/** How many images there are of each decision. */
export function countDecisions(
  images: readonly PlannedImage[],
): Readonly<Record<PullDecision["action"], number>> {
  const counts = { pull: 0, share: 0, keep: 0, unpack: 0, fail: 0 };
  for (const { decision } of images) counts[decision.action] += 1;
  return counts;
}

/** A digest that has several names is pulled under one of them; the others are tags. */
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
    // A pin is as good as a name, and tells a person less.
    const known = (here.find((record) => !isPin(record)) ?? here[0])?.name;
    const { name } = image.source;
    const sameAs = known ?? (image.archive === undefined ? pulled.getOrInsert(digest, name) : name);
    if (sameAs === name) return planned;
    return { ...planned, decision: { action: "share", sameAs, why: `has the digest of ${sameAs}` } };
  });
}

/** Of an image that may have no other. */
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
  if (judgement.is !== "usable" && judgement.mend === "unpack")
    return { action: "unpack", why: judgement.why };
  // A newer one may be whole.
  if (judgement.is !== "usable" && judgement.mend === "held" && pullPolicy === "IfNotPresent")
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
  const message = `the archive ${path} did not bring it: ${why}`;
  const next =
    "see why the archive failed, then run again; an image from an archive is never pulled from a registry";
  return { action: "fail", why: message, failure: { class: "not-found", message, next } };
}

/** What is wrong with a name, for a person. */
export const problemOf = ({ is, why }: Unusable): string =>
  is === "absent" ? "its name is gone" : is === "elsewhere" ? `it ${why}` : `it is ${why}`;

const whyPull = ({ is, why }: Unusable): string =>
  is === "absent" || is === "damaged" ? why : `present, but ${why}`;

/** Names are compared by what they lead to, never by their text alone: one that exists may lead elsewhere. */
function planNames(image: WantedImage, { records }: KnownImages, judgement: Judgement): NameDecision[] {
  const digest = judgement.is === "usable" ? judgement.target.digest : undefined;
  return namesToGive(image, digest).map((name): NameDecision => {
    const current = records.get(name)?.target.digest;
    if (current === undefined) return { name, action: "create", why: "not on this node" };
    if (digest === undefined) return { name, action: "move", why: "may lead to another image" };
    if (current !== digest) return { name, action: "move", why: "leads to another image" };
    return { name, action: "keep", why: "leads to this image" };
  });
}

/** As a pull of each would name it: by its tag, and by its digest, which pods ask for that pin one. */
export function namesToGive({ source, furtherNames }: WantedImage, digest: string | undefined): string[] {
  const byDigest =
    digest === undefined ? [] : [source, ...furtherNames].map((each) => digestName(each, digest));
  const names = new Set([...furtherNames.map(({ name }) => name), ...byDigest]);
  names.delete(source.name);
  return [...names];
}

/** A further name with a digest that the image does not have, which no tag can give it. */
export const impossibleName = ({ furtherNames }: WantedImage, { target }: Usable): Reference | undefined =>
  furtherNames.find((name) => hasOtherDigest(name, target.digest));

/** Pins of ours, but for those of images that a wanted name leads to, whatever became of its pull. */
export function unwantedPins(
  wanted: readonly WantedImage[],
  node: Node,
  { pins, only = ALL, isUnread = () => false }: PlanOptions,
): Plan["unpin"] {
  if (!pins || only.size > 0) return [];
  const names = wanted.filter(({ pin }) => pin).flatMap(namesOf);
  const keep = new Set(names.flatMap((name) => node.records.get(name)?.target ?? []).map(pinName));
  return [...node.records.values()]
    .filter((record) => isPin(record) && !keep.has(record.name) && !isUnread(archiveOfPin(record)))
    .map((record) => ({ record: record.name, name: namesOfPin(node, record) }));
}

/**
 * Longest first, so that the biggest image does not start last and run alone. Of an image the size of an earlier run
 * counts, or else that of another image of its repository: the next version of an image has about the size of the last
 * one. Unknown ones keep the list's order, before the known: any of them may be the biggest.
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
  return planned.toSorted((a, b) => (sizeOf(a) === sizeOf(b) ? 0 : sizeOf(b) - sizeOf(a)));
}

/** Of a normalised name. */
const repositoryOf = (name: string): string => name.replace(/@.*$|:[^:/@]+$/u, "");
