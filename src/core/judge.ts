// Judges a name on the node: whether a container can be created from it, and if not, why.
import { chainIdOf, configOf, hasUnknownParts, isDocument, layersOf, manifestsOf } from "./content.ts";
import type { Blob, Damage, Descriptor, IndexEntry, KnownImages, Node } from "./node.ts";
import { isPinned } from "./pins.ts";
import { contradicts, platformText, rankOf } from "./platform.ts";

export interface Usable {
  readonly is: "usable";
  readonly target: Descriptor;
  /** Digest of the config, which CRI calls the image's id. */
  readonly id: string;
  readonly mend?: never;
}

export interface Unusable {
  /** `elsewhere`: the name's digest, or the archive that provides it, requires another target. */
  readonly is: "absent" | "elsewhere" | "damaged" | "foreign" | "not-an-image";
  /** Text for messages, after "it is": `damaged: 2 of 3 layers are missing`, `for linux/arm64`. */
  readonly why: string;
  /** How to repair damage on the disk, which the database does not show. */
  readonly mend?: Damage["mend"];
  readonly id?: never;
}

export type Judgement = Usable | Unusable;

type Judged = Omit<KnownImages, "documents"> & { readonly documents: Pick<Node["documents"], "get"> };

/** @param name looked up literally, without normalization */
export function judge(node: Judged, name: string): Judgement {
  const target = node.records.get(name)?.target;
  if (target === undefined) return { is: "absent", why: "not on this node" };
  const [, digest = target.digest] = name.split("@");
  return digest === target.digest ? judgeTarget(node, target) : ELSEWHERE;
}

export const ELSEWHERE: Unusable = { is: "elsewhere", why: "points to another image" };
const damaged = (what: string): Unusable => ({ is: "damaged", why: `damaged: ${what}` });
const NOT_AN_IMAGE: Unusable = { is: "not-an-image", why: "not a container image" };
const foreign = (what: string): Unusable => ({ is: "foreign", why: `for ${what}` });

function judgeTarget(node: Judged, target: Descriptor): Judgement {
  const found = node.damage.get(target.digest);
  return found === undefined ? judgeShown(node, target) : { ...damaged(found.what), mend: found.mend };
}

/** Judges by containerd's database alone. */
function judgeShown(node: Judged, target: Descriptor): Judgement {
  const id = knownImage(node, target);
  if (id !== undefined) return { is: "usable", target, id };
  const chosen = chooseManifest(node, target);
  return "is" in chosen ? chosen : judgeManifest(node, target, chosen);
}

/** @returns the id of a pinned, unpacked image. It was judged when it was pinned, and its digest fixes its content. */
function knownImage(node: Judged, target: Descriptor): string | undefined {
  if (!isPinned(node, target)) return undefined;
  const [id = "", ...others] = configsAt(node, target.digest);
  const config = node.blobs.get(id);
  return others.length === 0 && config !== undefined && hasSnapshot(node, config) ? id : undefined;
}

/** Digests of the configs below a digest, for any platform, as far as the manifests are on the node. */
function configsAt(node: Pick<Node, "blobs">, digest: string): string[] {
  const blob = node.blobs.get(digest);
  if (blob === undefined) return [];
  const config = configOf(blob);
  return config === undefined ? manifestsOf(blob).flatMap((part) => configsAt(node, part)) : [config];
}

const INDEX = new Set([
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
]);

interface Chosen {
  readonly manifest: Blob;
  /** The manifest's entry in the last index; undefined without an index. */
  readonly entry?: IndexEntry;
}

/** The manifest that containerd selects: the first with the best match in each index, even if it is not on the node. */
function chooseManifest(
  node: Judged,
  { digest, mediaType }: IndexEntry,
  entry?: IndexEntry,
): Chosen | Unusable {
  const blob = node.blobs.get(digest);
  const what = INDEX.has(mediaType) ? "index" : "manifest";
  if (blob === undefined) return damaged(`its ${what} is missing`);
  if (what === "manifest") return { manifest: blob, ...(entry && { entry }) };
  const index = node.documents.get(digest);
  if (index === undefined || index.is === "unreadable") return damaged("its index cannot be read");
  if (index.is !== "index") return NOT_AN_IMAGE;
  const [best] = suitable(index.manifests, node);
  return best === undefined ? foreign(platformsOf(index.manifests)) : chooseManifest(node, best, best);
}

/** Entries that the node can run, best first, then entries without a platform. */
function suitable(manifests: readonly IndexEntry[], node: Judged): IndexEntry[] {
  const rank = ({ platform }: IndexEntry): number =>
    platform === undefined ? LAST : (rankOf(platform, node.platform) ?? Number.NaN);
  return manifests.filter((entry) => !Number.isNaN(rank(entry))).toSorted((a, b) => rank(a) - rank(b));
}

const LAST = 1_000;

/** Omits attestations, which have no real platform. */
const platformsOf = (manifests: readonly IndexEntry[]): string => {
  const named = manifests.map(({ platform }) => platform && platformText(platform));
  const real = [...new Set(named)].filter((text) => text !== "unknown/unknown");
  return real.length === 0 ? "no platform" : real.join(", ");
};

function judgeManifest(node: Judged, target: Descriptor, { manifest, entry }: Chosen): Judgement {
  const id = configOf(manifest);
  // containerd recognizes a config by its media type. The config of a chart has another one.
  if (id === undefined && isDocument(manifest)) return NOT_AN_IMAGE;
  const blob = node.blobs.get(id ?? "");
  if (blob === undefined) return damaged("its config is missing");
  const config = node.documents.get(blob.digest);
  if (config === undefined || config.is === "unreadable") return damaged("its config cannot be read");
  if (config.is !== "config") return NOT_AN_IMAGE;
  const { platform, layers } = config;
  // The platform in the index decides, whatever the config says.
  const isForeign =
    entry === undefined
      ? contradicts(platform, node.platform)
      : entry.platform === undefined && rankOf(platform, node.platform) === undefined;
  if (isForeign) return foreign(platformText(platform));
  const lack = hasSnapshot(node, blob) ? undefined : lacking(node, manifest, layers);
  return lack ?? { is: "usable", target, id: blob.digest };
}

const hasSnapshot = (
  { snapshotter, snapshots }: Pick<Node, "snapshotter" | "snapshots">,
  config: Blob,
): boolean => snapshots.get(chainIdOf(config, snapshotter) ?? "")?.isCommitted === true;

/** Why an image cannot be unpacked. CRI unpacks it when a container needs it, if all layers are on the node. */
function lacking({ blobs }: Judged, manifest: Blob, count: number): Unusable | undefined {
  const layers = layersOf(manifest);
  const unknown = layers.length === 0 ? count > 0 && hasUnknownParts(manifest) : layers.length !== count;
  if (unknown) return NOT_AN_IMAGE;
  const each = new Set(layers);
  const missing = each.size - [...each].filter((digest) => blobs.has(digest)).length;
  if (missing > 0) return damaged(`${missing} of ${each.size} layers are missing`);
  return layers.length === 0 && count > 0 ? damaged(`all ${count} layers are missing`) : undefined;
}

/** Digests of the configs that the names refer to, as far as the manifests are on the node. */
export function configsOf(node: Pick<Node, "records" | "blobs">, names: Iterable<string>): string[] {
  const targets = [...names].map((name) => node.records.get(name)?.target.digest ?? "");
  return [...new Set(targets.flatMap((digest) => configsAt(node, digest)))];
}

/** Documents that the judgement of the names needs and `node` lacks. */
export function documentsToRead(node: Judged, names: Iterable<string>): Blob[] {
  const asked = new Set<string>();
  const documents = {
    get: (digest: string) => {
      const known = node.documents.get(digest);
      if (known === undefined) asked.add(digest);
      return known;
    },
  };
  for (const name of names) judge({ ...node, documents }, name);
  return [...asked].flatMap((digest) => node.blobs.get(digest) ?? []);
}
