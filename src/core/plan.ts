// The plan is a value: what the operator wants, held against what the node has. Nothing here does anything.
import type { Credential } from "./credentials.ts";
import type { Reference } from "./reference.ts";

export type PullPolicy = "Always" | "IfNotPresent";

/** One image to have, with everything that was said about it; entries of one source are already merged. */
export interface WantedImage {
  readonly source: Reference;
  /** Further names of the same image, without the source. */
  readonly targets: readonly Reference[];
  /** `implicit`: nobody asked for freshness, Kubernetes' rule for `:latest` did. */
  readonly pullPolicy: PullPolicy | "implicit-Always";
  readonly required: boolean;
  readonly pin: boolean;
  /** Milliseconds for this image with all its attempts. */
  readonly timeout: number;
  readonly credential?: Credential;
}

/** An image as CRI lists it. */
export interface PresentImage {
  /** Digest of the image's configuration, what CRI calls the image id. */
  readonly id: string;
  /** Every name that CRI resolves to it, tags and digests, normalised. */
  readonly names: readonly string[];
  /** Compressed bytes. */
  readonly size: number;
  readonly pinned: boolean;
}

/** CRI's listing, by each name of each image. It decides what is pulled. */
export type Listing = ReadonlyMap<string, PresentImage>;

/** What is on the node: the listing, and which names carry which of the two pin labels. */
export interface NodeState {
  readonly byName: Listing;
  /** Names that carry the CRI's own pin label, whoever set it. */
  readonly pinned: ReadonlySet<string>;
  /** Names that this agent pinned. */
  readonly ours: ReadonlySet<string>;
}

export type PullDecision =
  | { readonly action: "pull" | "keep"; readonly why: string }
  | {
      /** Instead of a pull: named as another image with the same digest is, which is here or is pulled by this plan. */
      readonly action: "share";
      readonly sameAs: string;
      readonly why: string;
    };

export interface TagDecision {
  readonly target: Reference;
  readonly action: "keep" | "create" | "move";
  readonly why: string;
}

/** The part of a plan that needs no labels: pulls wait for nothing else. */
export interface PlannedPull {
  readonly image: WantedImage;
  readonly decision: PullDecision;
}

export interface PlannedImage extends PlannedPull {
  /** As far as it is known before the pull, which may bring another image under the source's name. */
  readonly tags: readonly TagDecision[];
  /** Names that will be pinned, because their labels lack it or a pull or tag drops it. */
  readonly pins: readonly string[];
}

export interface Plan {
  readonly images: readonly PlannedImage[];
  /** Names pinned by an earlier run that are no longer wanted, or no longer wanted pinned. */
  readonly unpin: readonly string[];
}

export const listing = (images: readonly PresentImage[]): Listing =>
  new Map(images.flatMap((image) => image.names.map((name) => [name, image] as const)));

export const nodeState = (
  images: readonly PresentImage[],
  pinned: Iterable<string>,
  ours: Iterable<string>,
): NodeState => ({ byName: listing(images), pinned: new Set(pinned), ours: new Set(ours) });

/** Source first, then the further names. */
export const namesOf = (image: WantedImage): string[] =>
  [image.source, ...image.targets].map((reference) => reference.name);

/** Decides what is pulled. A digest that has several names is pulled under one of them; the others are tags. */
export function planPulls(wanted: readonly WantedImage[], present: Listing): PlannedPull[] {
  const nameOf = new Map([...present.keys()].map((name) => [name.slice(name.indexOf("@") + 1), name]));
  return wanted.map((image) => {
    const decision = decidePull(image, present);
    const { digest, name } = image.source;
    const asked = decision.action === "keep" || image.pullPolicy === "Always";
    if (digest === undefined || asked) return { image, decision };
    const sameAs = nameOf.getOrInsert(digest, name);
    if (sameAs === name) return { image, decision };
    return { image, decision: { action: "share", sameAs, why: `has the digest of ${sameAs}` } };
  });
}

/**
 * Decides the rest.
 * @param pulls of all images that are wanted
 * @param pinning false where the runtime ignores pins: then nothing is pinned, and nothing unpinned
 */
export function planNames(pulls: readonly PlannedPull[], node: NodeState, pinning: boolean): Plan {
  const images = pulls.map((pull) => planImage(pull, node, pinning));
  const pinned = pulls.filter(({ image }) => image.pin);
  const keep = new Set(pinned.flatMap(({ image }) => namesOf(image)));
  const unpin = pinning ? [...node.ours].filter((name) => !keep.has(name)).toSorted() : [];
  return { images, unpin };
}

/** Decides everything from one look at the node. */
export const planImport = (wanted: readonly WantedImage[], node: NodeState, pinning: boolean): Plan =>
  planNames(planPulls(wanted, node.byName), node, pinning);

/** The part for some sources only; all of it when none is named. */
export const chosen = <Planned extends PlannedPull>(
  images: readonly Planned[],
  only: ReadonlySet<string>,
): readonly Planned[] =>
  only.size === 0 ? images : images.filter(({ image }) => only.has(image.source.name));

/** The part of a plan for some sources only; then nothing is unpinned, because the rest of the list was not looked at. */
export const narrow = (plan: Plan, only: ReadonlySet<string>): Plan =>
  only.size === 0 ? plan : { images: chosen(plan.images, only), unpin: [] };

/** How many images there are of each decision. */
export function countDecisions(
  images: readonly PlannedPull[],
): Readonly<Record<PullDecision["action"], number>> {
  const count = (action: PullDecision["action"]): number =>
    images.filter(({ decision }) => decision.action === action).length;
  return { pull: count("pull"), share: count("share"), keep: count("keep") };
}

function planImage({ image, decision }: PlannedPull, node: NodeState, pinning: boolean): PlannedImage {
  const present = node.byName.get(image.source.name);
  const tags = image.targets.map((target) => decideTag(target, present?.id, node));
  const changed = new Set(tags.filter((tag) => tag.action !== "keep").map((tag) => tag.target.name));
  if (decision.action !== "keep") changed.add(image.source.name);
  const pins = namesOf(image).filter((name) => changed.has(name) || !node.pinned.has(name));
  return { image, decision, tags, pins: image.pin && pinning ? pins : [] };
}

function decidePull(image: WantedImage, present: Listing): PullDecision {
  if (!present.has(image.source.name)) return { action: "pull", why: "not on this node" };
  switch (image.pullPolicy) {
    case "IfNotPresent":
      return {
        action: "keep",
        why: image.source.digest === undefined ? "present" : "present, by its digest",
      };
    case "Always":
      return { action: "pull", why: "present, but pullPolicy is Always" };
    case "implicit-Always":
      return {
        action: "pull",
        why: "present, but :latest is looked up anew (set pullPolicy: IfNotPresent to keep it)",
      };
  }
}

/**
 * Names are compared by image, never by their text alone: a target that exists may point elsewhere.
 * @param id of the source's image, as far as it is known
 */
export function decideTag(target: Reference, id: string | undefined, node: NodeState): TagDecision {
  const current = node.byName.get(target.name);
  if (current === undefined) return { target, action: "create", why: "not on this node" };
  if (id === undefined) return { target, action: "move", why: "may point to another image" };
  if (current.id !== id) return { target, action: "move", why: "points to another image" };
  return { target, action: "keep", why: "points to this image" };
}

/** Compressed bytes that an image will probably have; undefined when nothing is known of it. */
export type SizeOf = (image: WantedImage) => number | undefined;

/**
 * By an earlier run's size of the same name, or else by another image of its repository: the next version of an image
 * has about the size of the last one.
 * @param earlier compressed bytes by source name
 */
export function probableSizes(earlier: ReadonlyMap<string, number>, present: Listing): SizeOf {
  const here = [...present].map(([name, { size }]) => [repositoryOf(name), size] as const);
  const before = [...earlier].map(([name, size]) => [repositoryOf(name), size] as const);
  const byRepository = new Map([...here, ...before]);
  return ({ source }) => earlier.get(source.name) ?? byRepository.get(`${source.domain}/${source.path}`);
}

/** Of a normalised name. */
const repositoryOf = (name: string): string => name.replace(/@.*$|:[^:/@]+$/u, "");

/**
 * Longest first, so that the biggest image does not start last and run alone. Unknown ones keep the list's order, before
 * the known: any of them may be the biggest.
 */
export function longestFirst(images: readonly PlannedPull[], sizeOf: SizeOf): PlannedPull[] {
  const size = ({ image }: PlannedPull): number => sizeOf(image) ?? Number.POSITIVE_INFINITY;
  return images.toSorted((a, b) => (size(a) === size(b) ? 0 : size(b) - size(a)));
}
