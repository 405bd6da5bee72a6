// Finds the manifests that an attempt may be pulling, and which of their layers are on the node.
//
// containerd does not tell to which image a download belongs. Every manifest from an attempt's repository is a
// candidate, unless its image is complete.
import { unlessCode } from "../containerd/connection.ts";
import { configOf, isFrom, manifestsOf, parseLayers } from "../core/content.ts";
import { CODE } from "../core/failure.ts";
import type { Blob, Layer } from "../core/node.ts";
import type { WantedImage } from "../core/plan.ts";
import type { Movement, Sizes } from "../core/transfer.ts";
import type { Context } from "./context.ts";

/** A manifest that an attempt may be pulling. */
export interface Candidate {
  readonly digest: string;
  readonly layers: readonly Layer[];
  /** Digests of the indexes that refer to it, directly or not. */
  readonly above: readonly string[];
}

/** What was found for an attempt. */
export interface Search {
  readonly image: WantedImage;
  readonly begunAt: number;
  movement: Movement;
  candidates: readonly Candidate[];
  /** When all its missing layers were last asked for. */
  askedAt: number;
  /** Digests of layers that are on the node. */
  readonly finished: Set<string>;
}

type Port = Pick<Context, "containerd" | "clock">;

/** Milliseconds between searches for what may change unseen: manifests, and layers neither downloading nor finished. */
const ASK_EVERY = 2_000;
/** Milliseconds. A small image is complete earlier. */
const SLOW = 2_000;

const isTime = ({ askedAt }: Search, now: number): boolean => now - askedAt >= ASK_EVERY;
export const isSlow = ({ begunAt }: Search, now: number): boolean => now - begunAt >= SLOW;

/**
 * Finds candidates and their layers, repeatedly: those found first may be leftovers of another image in the repository.
 * @param whole IDs of complete images
 */
export function searcher({ containerd, clock }: Port, whole: ReadonlySet<string>) {
  /** By digest. A manifest never changes. */
  const known = new Map<string, readonly Layer[]>();
  const layersOf = async (manifest: Blob): Promise<readonly Layer[]> => {
    const layers = known.get(manifest.digest) ?? parseLayers(await containerd.read(manifest));
    known.set(manifest.digest, layers);
    return layers;
  };
  const isOpen = (blob: Blob): boolean => {
    const config = configOf(blob);
    return config !== undefined && !whole.has(config);
  };
  const candidatesOf = async ({ source }: WantedImage, blobs: readonly Blob[]): Promise<Candidate[]> => {
    const own = blobs.filter((blob) => isFrom(source, blob));
    const found = own.filter(isOpen).map(async (manifest): Promise<Candidate[]> => {
      const { digest } = manifest;
      const above = indexesAbove(digest, own);
      // An image that is wanted by digest has no other candidate.
      if (source.digest !== undefined && ![digest, ...above].includes(source.digest)) return [];
      // The manifest may be gone since it was listed, with another attempt that failed.
      const layers = await layersOf(manifest).catch(unlessCode(CODE.notFound));
      return layers === undefined ? [] : [{ digest, layers, above }];
    });
    return (await Promise.all(found)).flat();
  };
  return async (searches: readonly Search[], sizes: Sizes): Promise<void> => {
    const due = searches.filter((search) => !search.movement.hasBytes || isTime(search, clock.now()));
    // Without a repository, containerd would list all blobs.
    if (due.length > 0) {
      // A blob that repositories share is on the node already, or soon will be: not worth a costly search at first.
      const blobs = await containerd.blobs(
        due.map((each) => ({ repository: each.image.source, shared: isSlow(each, clock.now()) })),
      );
      for (const search of due) search.candidates = await candidatesOf(search.image, blobs);
    }
    await Promise.all(searches.map((search) => askForLayers({ containerd, clock }, search, sizes)));
  };
}

/** Digests of the indexes that refer to a manifest, directly or through other indexes. */
function indexesAbove(digest: string, blobs: readonly Blob[]): string[] {
  const parents = blobs.filter((blob) => manifestsOf(blob).includes(digest));
  return parents.flatMap((parent) => [parent.digest, ...indexesAbove(parent.digest, blobs)]);
}

/** Looks for layers whose downloads are gone, and at intervals for those that may have finished between two looks. */
async function askForLayers({ containerd, clock }: Port, search: Search, sizes: Sizes): Promise<void> {
  const { candidates, finished, movement } = search;
  const isAll = isTime(search, clock.now());
  const layers = new Set(candidates.flatMap((each) => each.layers.map(({ digest }) => digest)));
  const asked = [...layers].filter(
    (digest) => !finished.has(digest) && !sizes.has(digest) && (isAll || movement.active.has(digest)),
  );
  if (isAll && layers.size > 0) search.askedAt = clock.now();
  const blobs = await Promise.all(asked.map((digest) => containerd.blob(digest)));
  for (const blob of blobs) if (blob !== undefined) finished.add(blob.digest);
}

/** The candidate that is most likely the attempt's own: not another attempt's, and with the most active downloads. */
export function likeliest(
  { candidates, movement }: Search,
  taken: ReadonlySet<string | undefined>,
): Candidate | undefined {
  const moved = ({ layers }: Candidate): number =>
    layers.filter(({ digest }) => movement.active.has(digest)).length;
  return candidates
    .toSorted((a, b) => Number(taken.has(a.digest)) - Number(taken.has(b.digest)) || moved(b) - moved(a))
    .slice(0, 1)
    .find((first) => candidates.length === 1 || moved(first) > 0);
}
