// Reads the node into one value, or only the part that one image needs.
import {
  chainIdOf,
  configOf,
  layersOf,
  manifestsOf,
  parseDocument,
  snapshottersOf,
} from "../core/content.ts";
import { configsOf, documentsToRead } from "../core/judge.ts";
import type {
  Blob,
  CriImage,
  Descriptor,
  Document,
  ImageRecord,
  KnownImages,
  Node,
  Platform,
} from "../core/node.ts";
import { pinName } from "../core/pins.ts";
import type { WantedImage } from "../core/plan.ts";
import { digestName } from "../core/reference.ts";
import { ApiError } from "../containerd/connection.ts";
import { CODE } from "../core/failure.ts";
import type { Containerd } from "../containerd/containerd.ts";
import { slots } from "./slots.ts";

/** Documents read at once; each takes a call of its own. */
const READS_AT_ONCE = 16;

/** Reads the whole node: a few lists, and the documents needed to judge the names. */
export async function lookAtNode(
  containerd: Containerd,
  platform: Platform,
  names: readonly string[],
): Promise<Node> {
  const [records, blobs, cri, directory, contentDirectory] = await Promise.all([
    containerd.records(),
    containerd.blobs(),
    containerd.criImages(),
    containerd.imageDirectory().catch(() => undefined),
    containerd.contentDirectory().catch(() => undefined),
  ]);
  const snapshotter = snapshotterOf(directory, blobs);
  const node = {
    platform,
    snapshotter,
    ...byKey(records, blobs),
    damage: new Map(),
    imageDirectory: directory,
    contentDirectory,
  };
  const unpacked = { ...node, snapshots: keyed(await containerd.snapshots(snapshotter)) };
  const documents = await readDocuments(containerd, unpacked, [
    ...names,
    ...namesWithDigests(records, names),
  ]);
  return { ...unpacked, documents, cri: criByName(cri) };
}

/**
 * Reads what a pull of the image creates: its names and what they refer to. The image's other names come from `node`,
 * and CRI is not asked; the proof detects later changes. Each item is read by its key, because a list call goes through
 * everything on the node, and there would be one per image.
 */
export async function lookAtImage(
  containerd: Containerd,
  image: WantedImage,
  node: Node,
): Promise<KnownImages> {
  const source = await containerd.record(image.source.name);
  const target = source?.target;
  const [byDigest, blobs] = await Promise.all([
    target && containerd.record(digestName(image.source, target.digest)),
    target === undefined ? [] : documentsFrom(containerd, target.digest),
  ]);
  const known = target === undefined ? [] : otherNames(image, target).map((name) => node.records.get(name));
  const found = byKey(present([...known, byDigest, source]), blobs);
  const configs = configsOf(found, [image.source.name]).flatMap((digest) => found.blobs.get(digest) ?? []);
  const chainIds = configs.flatMap((config) => chainIdOf(config, node.snapshotter) ?? []);
  const unpacked = chainIds.map((chainId) => containerd.snapshot(node.snapshotter, chainId));
  const snapshots = keyed(present(await Promise.all(unpacked)));
  const layers = snapshots.size > 0 ? [] : await layersFrom(containerd, blobs);
  for (const layer of layers) found.blobs.set(layer.digest, layer);
  const { platform, snapshotter, documents, damage } = node;
  const seen = { platform, snapshotter, documents, damage, ...found, snapshots };
  return { ...seen, documents: await readDocuments(containerd, seen, [image.source.name]) };
}

/** Names that the image can have but no pull creates: its pin, and its further names by tag and by digest. */
const otherNames = ({ furtherNames }: WantedImage, target: Descriptor): string[] => [
  pinName(target),
  ...furtherNames.flatMap((further) => [further.name, digestName(further, target.digest)]),
];

/** An index or manifest with the indexes, manifests and configs below it, as far as they are on the node. */
async function documentsFrom(containerd: Containerd, digest: string): Promise<Blob[]> {
  const blob = await containerd.blob(digest);
  if (blob === undefined) return [];
  const parts = [...manifestsOf(blob), configOf(blob) ?? []].flat();
  return [blob, ...(await Promise.all(parts.map((part) => documentsFrom(containerd, part)))).flat()];
}

const layersFrom = async (containerd: Containerd, documents: readonly Blob[]): Promise<Blob[]> =>
  present(await Promise.all(documents.flatMap(layersOf).map((digest) => containerd.blob(digest))));

const present = <Value>(values: readonly (Value | undefined)[]): Value[] =>
  values.filter((value) => value !== undefined);

/** Names of records that refer to a digest that is wanted under another name. */
function namesWithDigests(records: readonly ImageRecord[], names: readonly string[]): string[] {
  const digests = new Set(names.flatMap((name) => name.split("@")[1] ?? []));
  return records.filter(({ target }) => digests.has(target.digest)).map(({ name }) => name);
}

const keyed = <Named extends { readonly name: string }>(all: readonly Named[]): Map<string, Named> =>
  new Map(all.map((one) => [one.name, one]));

const byKey = (records: readonly ImageRecord[], blobs: readonly Blob[]) => ({
  records: keyed(records),
  blobs: new Map(blobs.map((blob) => [blob.digest, blob])),
});

function criByName(images: readonly CriImage[]): Node["cri"] {
  const byName = new Map<string, CriImage[]>();
  for (const image of images) for (const name of image.names) byName.getOrInsert(name, []).push(image);
  return byName;
}

/** CRI names its image directory after its snapshotter. Without it: the snapshotter that unpacked the most images. */
function snapshotterOf(directory: string | undefined, blobs: readonly Blob[]): string {
  const named = /io\.containerd\.snapshotter\.v1\.(?<name>[^/]+)/u.exec(directory ?? "")?.groups?.["name"];
  if (named !== undefined) return named;
  const used = [...Map.groupBy(blobs.flatMap(snapshottersOf), (name) => name)];
  return used.toSorted(([, a], [, b]) => b.length - a.length)[0]?.[0] ?? "overlayfs";
}

/** Reads in rounds, because one document can point to others: an index, the indexes below it, and finally the config. */
async function readDocuments(
  containerd: Containerd,
  node: Omit<Node, "cri" | "documents">,
  names: readonly string[],
): Promise<Node["documents"]> {
  const documents = new Map<string, Document>();
  const limit = slots(READS_AT_ONCE);
  for (;;) {
    const asked = documentsToRead({ ...node, documents }, names);
    if (asked.length === 0) return documents;
    const read = asked.map((blob) =>
      limit(async () => [blob.digest, await readDocument(containerd, blob)] as const),
    );
    for (const [digest, document] of await Promise.all(read)) documents.set(digest, document);
  }
}

/** containerd records the length that a blob should have, and fails in several ways if the file's differs. */
const UNREADABLE: ReadonlySet<number> = new Set([
  CODE.unknown,
  CODE.notFound,
  CODE.outOfRange,
  CODE.internal,
]);

async function readDocument(containerd: Containerd, blob: Blob): Promise<Document> {
  try {
    return parseDocument(await containerd.read(blob));
  } catch (error) {
    if (error instanceof ApiError && UNREADABLE.has(error.code)) return { is: "unreadable" };
    throw error;
  }
}
