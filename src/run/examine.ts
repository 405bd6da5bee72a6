// Compares the disk with containerd's database: whether snapshot directories exist, and whether blobs and files have
// their length. containerd writes its database and blobs to the disk at once, but unpacked files only later. After a
// power loss, an image may consist of empty files although the database shows it as complete.
import { stat } from "node:fs/promises";
import path from "node:path";
import { chainIdOf, configOf, documentsAt, layersOf, type FoundDocument } from "../core/content.ts";
import { damageOf, type CutBlob, type LayerState } from "../core/damage.ts";
import type { Blob, Damage, Descriptor, Node } from "../core/node.ts";
import { chainOf } from "../core/written.ts";
import type { Containerd } from "../containerd/containerd.ts";
import { ApiError } from "../containerd/connection.ts";
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
  /** Digests of layers whose blobs are cut short. */
  readonly cutLayers: Set<string>;
  /** By chain ID: images share layers, and each layer is examined once. */
  readonly directories: Map<string, Promise<readonly LayerPlace[]>>;
  readonly layers: Map<string, Promise<LayerState>>;
}

/** Where a layer is unpacked. `directory` is undefined if its view fails, or if the snapshotter has no directories. */
interface LayerPlace {
  readonly chainId: string;
  readonly directory: string | undefined;
  readonly isGone: boolean;
}

/** @returns the damage of the targets that have any, by digest */
export async function examine(
  options: Pick<Examination, "containerd" | "node" | "isWritten">,
  targets: readonly Descriptor[],
): Promise<Map<string, Damage>> {
  const examination = { ...options, cutLayers: new Set<string>(), directories: new Map(), layers: new Map() };
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
  const cut: (CutBlob | undefined)[] = await Promise.all(documents.map((document) => cutIn(node, document)));
  const states = new Map<string, LayerState>();
  for (const { blob } of documents) {
    const layers = layersOf(blob);
    const found = layers.map((layer) => node.blobs.get(layer));
    for (const layer of new Set(found))
      if (layer !== undefined) cut.push(await cutIn(node, { what: "layer", blob: layer }));
    for (const one of cut) if (one?.what === "layer") examination.cutLayers.add(one.blob.digest);
    const places = await placesOf(examination, chainAt(node, blob));
    for (const [nth, { chainId }] of places.entries()) {
      const layer = found.at(places.length - nth - 1);
      states.set(
        chainId,
        await stateOf(examination, places.slice(nth), layers.length === places.length ? layer : undefined),
      );
    }
  }
  return damageOf(
    node,
    cut.filter((one) => one !== undefined),
    states,
  );
}

/** Chain IDs of a manifest's unpacked layers, top first; empty if it is not unpacked. */
function chainAt(node: Node, manifest: Blob): string[] {
  const config = node.blobs.get(configOf(manifest) ?? "");
  return chainOf(node, config && chainIdOf(config, node.snapshotter));
}

const fileOf = (directory: string, { digest }: Blob): string =>
  path.join(directory, "blobs", ...digest.split(":"));

async function cutIn(
  { contentDirectory }: Node,
  { what, blob }: FoundDocument | { readonly what: "layer"; readonly blob: Blob },
): Promise<CutBlob | undefined> {
  if (contentDirectory === undefined) return undefined;
  const length = await stat(fileOf(contentDirectory, blob)).then(
    ({ size }) => size,
    () => 0,
  );
  return length === blob.size ? undefined : { what, blob, length };
}

/** The places of a snapshot and those below it. If a directory is gone, its view fails, and so would a container. */
function placesOf(examination: Examination, chain: readonly string[]): Promise<readonly LayerPlace[]> {
  const [top, ...below] = chain;
  if (top === undefined) return Promise.resolve([]);
  const { containerd, node, directories } = examination;
  return directories.getOrInsertComputed(top, async () => {
    try {
      const found = await containerd.layerDirectories(node.snapshotter, top);
      return Promise.all(chain.map((chainId, nth) => placeAt(chainId, found?.[nth])));
    } catch (error) {
      if (!(error instanceof ApiError) || toFailure(error).class !== "unknown") throw error;
      return [{ chainId: top, directory: undefined, isGone: true }, ...(await placesOf(examination, below))];
    }
  });
}

async function placeAt(chainId: string, directory: string | undefined): Promise<LayerPlace> {
  if (directory === undefined) return { chainId, directory, isGone: false };
  const isGone = await stat(directory).then(
    () => false,
    () => true,
  );
  return { chainId, directory, isGone };
}

/** @param places of the layer, then of those below it */
function stateOf(
  { node: { contentDirectory }, isWritten, cutLayers, layers }: Examination,
  places: readonly LayerPlace[],
  layer: Blob | undefined,
): Promise<LayerState> {
  const [own] = places;
  if (own?.isGone === true) return Promise.resolve("gone");
  const { chainId = "", directory } = own ?? {};
  if (isWritten(chainId)) return Promise.resolve("whole");
  if (directory === undefined || layer === undefined || contentDirectory === undefined)
    return Promise.resolve("unknown");
  if (cutLayers.has(layer.digest)) return Promise.resolve("unchecked");
  const directories = places.flatMap((place) => place.directory ?? []);
  return layers.getOrInsertComputed(chainId, () =>
    compareFiles(fileOf(contentDirectory, layer), directories),
  );
}
