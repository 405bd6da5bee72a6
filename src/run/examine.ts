// Compares the disk with containerd's database: whether snapshot directories exist, and whether blobs and files have
// their length. containerd writes its database and blobs to the disk at once, but unpacked files only later. After a
// power loss, an image may consist of empty files although the database shows it as complete.
import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import path from "node:path";
import { chainIdOf, configOf, documentsAt, layersOf } from "../core/content.ts";
import { damageOf, type CutBlob, type LayerState } from "../core/damage.ts";
import type { Blob, Damage, Descriptor, Node } from "../core/node.ts";
import { chainOf } from "../core/written.ts";
import type { Containerd } from "../containerd/containerd.ts";
import { compareFiles } from "./layer-files.ts";
import { slots } from "./slots.ts";
import { toFailure } from "./tool-failure.ts";

/** Images examined at once. A view is a write to containerd's database, which has a single writer. */
const IMAGES_AT_ONCE = 4;

interface Examination {
  readonly containerd: Pick<Containerd, "layerDirectories">;
  readonly node: Node;
  /** Whether the files of a snapshot, given by its chain ID, are known to be on the disk. */
  readonly isWritten: (chainId: string) => boolean;
  /** By chain ID: images share layers, and each layer is examined once. */
  readonly directories: Map<string, Promise<readonly LayerPlace[]>>;
  readonly layers: Map<string, Promise<LayerState>>;
}

/** Where a layer is unpacked. */
interface LayerPlace {
  readonly chainId: string;
  /** Its own, then those of the layers below it. Empty if its view fails, or if the snapshotter has no directories. */
  readonly directories: readonly string[];
  readonly isGone: boolean;
}

/** @returns the damage of the targets that have any, by digest */
export async function examine(
  options: Pick<Examination, "containerd" | "node" | "isWritten">,
  targets: readonly Descriptor[],
): Promise<Map<string, Damage>> {
  const examination = { ...options, directories: new Map(), layers: new Map() };
  const limit = slots(IMAGES_AT_ONCE);
  const found = await Promise.all(
    targets.map(({ digest }) => limit(async () => [digest, await damageAt(examination, digest)] as const)),
  );
  return new Map(
    found.flatMap(([digest, damage]) => (damage === undefined ? [] : [[digest, damage] as const])),
  );
}

async function damageAt(examination: Examination, digest: string): Promise<Damage | undefined> {
  const { node } = examination;
  const documents = documentsAt(node.blobs, digest);
  const cut = await cutAmong(node, documents);
  const states = new Map<string, LayerState>();
  for (const { blob } of documents) {
    const found = layersOf(blob).map((layer) => node.blobs.get(layer));
    const here = [...new Set(found)].filter((layer) => layer !== undefined);
    const cutLayers = await cutAmong(
      node,
      here.map((layer) => ({ what: "layer", blob: layer })),
    );
    cut.push(...cutLayers);
    const places = await placesOf(examination, chainAt(node, blob));
    const layers = found.length === places.length ? found.toReversed() : [];
    for (const [nth, place] of places.entries())
      states.set(place.chainId, await stateOf(examination, place, layers[nth], cutLayers));
  }
  return damageOf(node, cut, states);
}

/** Chain IDs of a manifest's unpacked layers, top first; empty if it is not unpacked. */
function chainAt(node: Node, manifest: Blob): string[] {
  const config = node.blobs.get(configOf(manifest) ?? "");
  return chainOf(node, config && chainIdOf(config, node.snapshotter));
}

const fileOf = (directory: string, { digest }: Blob): string =>
  path.join(directory, "blobs", ...digest.split(":"));

async function cutAmong(
  { contentDirectory }: Node,
  blobs: readonly Omit<CutBlob, "length">[],
): Promise<CutBlob[]> {
  if (contentDirectory === undefined) return [];
  const measured = blobs.map(async ({ what, blob }) => {
    const length = await stat(fileOf(contentDirectory, blob)).then(
      ({ size }) => size,
      () => 0,
    );
    return { what, blob, length };
  });
  return (await Promise.all(measured)).filter(({ blob, length }) => length !== blob.size);
}

/** The places of a snapshot and those below it. If a directory is gone, its view fails, and so would a container. */
function placesOf(examination: Examination, chain: readonly string[]): Promise<readonly LayerPlace[]> {
  const [top, ...below] = chain;
  if (top === undefined) return Promise.resolve([]);
  const { containerd, node, directories } = examination;
  return directories.getOrInsertComputed(top, async () => {
    try {
      const found = (await containerd.layerDirectories(node.snapshotter, top)) ?? [];
      return chain.map((chainId, nth) => placeAt(chainId, found.slice(nth)));
    } catch (error) {
      if (toFailure(error).class !== "unknown") throw error;
      return [{ chainId: top, directories: [], isGone: true }, ...(await placesOf(examination, below))];
    }
  });
}

function placeAt(chainId: string, directories: readonly string[]): LayerPlace {
  const [own] = directories;
  return { chainId, directories, isGone: own !== undefined && !existsSync(own) };
}

async function stateOf(
  { node: { contentDirectory }, isWritten, layers }: Examination,
  { chainId, directories, isGone }: LayerPlace,
  layer: Blob | undefined,
  cutLayers: readonly CutBlob[],
): Promise<LayerState> {
  if (isGone) return "gone";
  if (isWritten(chainId)) return "whole";
  if (directories.length === 0 || layer === undefined || contentDirectory === undefined) return "unknown";
  if (cutLayers.some(({ blob }) => blob === layer)) return "unchecked";
  return layers.getOrInsertComputed(chainId, () =>
    compareFiles(fileOf(contentDirectory, layer), directories),
  );
}
