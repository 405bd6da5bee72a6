// Reads the node into one value, or the part of it that an image needs.
import { chainIdOf, parseConfig, snapshottersOf } from "../core/content.ts";
import { configsOf, configsToRead } from "../core/judge.ts";
import type { Blob, CriImage, ImageRecord, Node, Platform } from "../core/node.ts";
import { pinName } from "../core/pins.ts";
import { namesOf, type WantedImage } from "../core/plan.ts";
import { unlessCode } from "../containerd/connection.ts";
import { CODE } from "../core/failure.ts";
import type { Containerd } from "../containerd/containerd.ts";
import { slots } from "./slots.ts";

/** Of the configs, which are read one by one. */
const READS_AT_ONCE = 16;

/** Everything: a handful of lists, and the configs that the names lead to. */
export async function lookAtNode(
  containerd: Containerd,
  platform: Platform,
  names: readonly string[],
): Promise<Node> {
  const [records, blobs, cri, directory] = await Promise.all([
    containerd.records(),
    containerd.blobs(),
    containerd.criImages(),
    containerd.imageDirectory().catch(() => undefined),
  ]);
  const snapshotter = snapshotterOf(directory, blobs);
  const node = {
    platform,
    snapshotter,
    ...byKey(records, blobs),
    ...(directory !== undefined && { imageDirectory: directory }),
  };
  const unpacked = { ...node, snapshots: new Set(await containerd.snapshots(snapshotter)) };
  const configs = await readConfigs(
    containerd,
    configsToRead(unpacked, [...names, ...namesakes(records, names)]),
  );
  return { ...unpacked, configs, cri: criByName(cri) };
}

/** An image that was just pulled: its names as they are now, and what its repository has. CRI is not asked. */
export async function lookAtImage(containerd: Containerd, image: WantedImage, node: Node): Promise<Node> {
  const repositories = [image.source, ...image.furtherNames];
  const [records, ofRepository] = await Promise.all([
    containerd.records({ names: namesOf(image), repositories }),
    containerd.blobs([image.source]),
  ]);
  // A tag of another repository's image has no blobs of its own.
  const pulledDigest = records.find(({ name }) => name === image.source.name)?.target.digest;
  const isThere = pulledDigest === undefined || ofRepository.some(({ digest }) => digest === pulledDigest);
  const blobs = isThere ? ofRepository : await containerd.blobs();
  const part = { ...node, ...byKey(records, blobs), cri: new Map() };
  const configs = configsOf(part, [image.source.name]).flatMap((digest) => part.blobs.get(digest) ?? []);
  const chainIds = configs.flatMap((config) => chainIdOf(config, node.snapshotter) ?? []);
  const [snapshots, read] = await Promise.all([
    chainIds.length === 0 ? [] : containerd.snapshots(node.snapshotter, chainIds),
    readConfigs(
      containerd,
      configs.map(({ digest }) => digest),
    ),
  ]);
  const pins = records.flatMap(({ target }) => node.records.get(pinName(target)) ?? []);
  pins.forEach((pin) => part.records.set(pin.name, pin));
  return { ...part, snapshots: new Set(snapshots), configs: read };
}

/** Records of digests that are wanted under another name. */
function namesakes(records: readonly ImageRecord[], names: readonly string[]): string[] {
  const digests = new Set(names.flatMap((name) => name.split("@")[1] ?? []));
  return records.filter(({ target }) => digests.has(target.digest)).map(({ name }) => name);
}

const byKey = (records: readonly ImageRecord[], blobs: readonly Blob[]) => ({
  records: new Map(records.map((record) => [record.name, record])),
  blobs: new Map(blobs.map((blob) => [blob.digest, blob])),
});

function criByName(images: readonly CriImage[]): Node["cri"] {
  const byName = new Map<string, CriImage[]>();
  for (const image of images) for (const name of image.names) byName.getOrInsert(name, []).push(image);
  return byName;
}

/** CRI's directory is named after its snapshotter; else the one with which most was unpacked. */
function snapshotterOf(directory: string | undefined, blobs: readonly Blob[]): string {
  const named = /io\.containerd\.snapshotter\.v1\.(?<name>[^/]+)\/?$/u.exec(directory ?? "")?.groups?.[
    "name"
  ];
  if (named !== undefined) return named;
  const used = [...Map.groupBy(blobs.flatMap(snapshottersOf), (name) => name)];
  return used.toSorted(([, a], [, b]) => b.length - a.length)[0]?.[0] ?? "overlayfs";
}

/** A config that has gone since it was listed is missing, which is judged like one that never was here. */
async function readConfigs(containerd: Containerd, digests: readonly string[]): Promise<Node["configs"]> {
  const limit = slots(READS_AT_ONCE);
  const read = digests.map((digest) =>
    limit(async () => [digest, parseConfig(await containerd.read(digest))] as const).catch(
      unlessCode(CODE.notFound),
    ),
  );
  return new Map((await Promise.all(read)).filter((config) => config !== undefined));
}
