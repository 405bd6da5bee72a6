// Lists images, of a node or given by name, each with the names that pods use; optionally under the names of a mirror.
import { isBelow, type RegistryScope } from "./credentials.ts";
import { isFrom } from "./content.ts";
import type { Blob, CriImage, ImageRecord } from "./node.ts";
import { isPinName } from "./pins.ts";
import { parseReference, type Reference } from "./reference.ts";

interface Known {
  /** At least one; the first is the one to pull. */
  readonly names: readonly Reference[];
  /** Compressed bytes. */
  readonly size?: number;
}

/** An entry of `images[]`. */
export interface ListEntry {
  readonly name: string;
  readonly retagAs: readonly string[];
  /** Compressed bytes, if known. */
  readonly size?: number;
}

export interface NodeContent {
  readonly records: readonly ImageRecord[];
  readonly blobs: readonly Blob[];
  readonly cri: readonly CriImage[];
}

/**
 * One image per digest of those that CRI lists, without our pins, bare ids and names that no pod can use.
 * @param used the image names of containers; only their images are returned. All images if omitted
 */
export function imagesOnNode({ records, blobs, cri }: NodeContent, used?: readonly string[]): Known[] {
  const targets = new Map(records.map(({ name, target }) => [name, target.digest]));
  const sizes = new Map(
    cri.flatMap(({ names, size }) => names.map((name) => [targets.get(name), size] as const)),
  );
  const digests = used && new Set(used.map((name) => targets.get(name)));
  const tops = new Map(blobs.map((blob) => [blob.digest, blob]));
  const named = records
    .filter(({ target }) => sizes.has(target.digest))
    .filter(({ target }) => digests?.has(target.digest) ?? true)
    .flatMap(({ name, target: { digest } }) => normalised(name).map((reference) => ({ reference, digest })));
  const images = [...Map.groupBy(named, ({ digest }) => digest)].map(([digest, group]) => {
    const top = tops.get(digest);
    const pulled = ({ reference }: (typeof group)[number]): number =>
      top !== undefined && isFrom(reference, top) ? 0 : 1;
    const sorted = group.toSorted((a, b) => pulled(a) - pulled(b) || byKind(a.reference, b.reference));
    const names = withoutImplied(sorted.map(({ reference }) => reference));
    return { names, size: sizes.get(digest) ?? 0 };
  });
  // A container needs its image even if someone has deleted the name.
  const lost = used?.filter((name) => !targets.has(name)).flatMap(normalised) ?? [];
  return [...images, ...imagesNamed(lost)];
}

/** Empty for a bare id, one of our pins, and a name that no pod can use. */
function normalised(name: string): Reference[] {
  const reference = parseReference(name);
  return typeof reference === "object" && reference.name === name && !isPinName(name) ? [reference] : [];
}

/** Sorts tags before digests. */
const byKind = (a: Reference, b: Reference): number =>
  Number(a.digest !== undefined) - Number(b.digest !== undefined) || byName(a, b);

const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1);

/** Drops digest forms of tagged names, because a run adds those itself. */
const withoutImplied = (names: readonly Reference[]): Reference[] =>
  names.filter(
    (name) =>
      name.digest === undefined ||
      !names.some(
        ({ tag, domain, path }) => tag !== undefined && domain === name.domain && path === name.path,
      ),
  );

/** Groups names by digest; each name without a digest is an image of its own. */
export const imagesNamed = (names: readonly Reference[]): Known[] => {
  const unique = new Map(names.map((name) => [name.name, name]));
  return [...Map.groupBy(unique.values(), ({ name, digest }) => digest ?? name).values()].map((group) => ({
    names: group,
  }));
};

/** @param mirror where to pull each image from; it keeps the names that pods use. @returns entries sorted by name */
export function listEntries(images: readonly Known[], mirror?: RegistryScope): ListEntry[] {
  const claims = images.flatMap((image) =>
    [placeFor(image, mirror, 0), ...image.names.map(({ name }) => name)].map(
      (name) => [name, image] as const,
    ),
  );
  const claimed = Map.groupBy(claims, ([name]) => name);
  const given = new Set<string>();
  const isFree = (name: string, image: Known): boolean =>
    !given.has(name) && (claimed.get(name) ?? []).every(([, by]) => by === image);
  return images
    .map((image) => {
      let name = placeFor(image, mirror, 0);
      for (let apart = 1; !isFree(name, image) && !image.names.some((own) => own.name === name); apart += 1)
        name = placeFor(image, mirror, apart);
      given.add(name);
      const retagAs = image.names.map((known) => known.name).filter((known) => known !== name);
      return { name, retagAs, ...(image.size === undefined ? {} : { size: image.size }) };
    })
    .toSorted(byName);
}

/** The name to pull. @param apart above 0, adds the source host to the path, so that two registries do not collide */
function placeFor({ names }: Known, mirror: RegistryScope | undefined, apart: number): string {
  const [first] = names;
  if (mirror === undefined || first === undefined) return first?.name ?? "";
  const inside = names.find(({ domain, path }) => domain === mirror.host && isBelow(path, mirror));
  if (inside !== undefined) return inside.name;
  const host = first.domain
    .toLowerCase()
    .replaceAll(/[^a-z0-9.]+/gu, "-")
    .replace(/^-/u, "");
  const below = [mirror.host, mirror.path, ...(apart === 0 ? [] : [apart === 1 ? host : `${host}-${apart}`])];
  const version = first.digest === undefined ? `:${first.tag}` : `@${first.digest}`;
  return `${[...below, first.path].filter((part) => part !== "").join("/")}${version}`;
}
