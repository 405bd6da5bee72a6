// What may be said of a name on the node: whether a container can be created from it, and if not, why.
import { chainIdOf, configOf, isDocument, layersOf, manifestsOf, strangersOf } from "./content.ts";
import type { Blob, Descriptor, Node } from "./node.ts";
import { isPinned } from "./pins.ts";

export interface Usable {
  readonly is: "usable";
  readonly target: Descriptor;
  /** Digest of the config, which CRI calls the image's id. */
  readonly id: string;
}

export interface Unusable {
  readonly is: "absent" | "damaged" | "foreign" | "not-an-image";
  /** For a person, behind "it is": `damaged: 2 of 3 layers missing`, `for linux/arm64`. */
  readonly why: string;
}

export type Judgement = Usable | Unusable;

/** What of a node is looked at. */
type Judged = Omit<Node, "cri" | "configs"> & { readonly configs: Pick<Node["configs"], "get"> };

/** What a literal name is good for: whether a container can be created from it. */
export function judge(node: Judged, name: string): Judgement {
  const target = node.records.get(name)?.target;
  return target === undefined ? { is: "absent", why: "not on this node" } : judgeTarget(node, target);
}

const damaged = (missing: string): Unusable => ({ is: "damaged", why: `damaged: ${missing} missing` });
const NOT_AN_IMAGE: Unusable = { is: "not-an-image", why: "not a container image" };

function judgeTarget(node: Judged, target: Descriptor): Judgement {
  const manifests = manifestsAt(node, target);
  // What is pinned was judged when it was: a digest never changes what it stands for.
  const known = manifests.length === 1 && isPinned(node, target);
  const judged = manifests.map((manifest) => judgeManifest(node, target, manifest, known));
  return (
    judged.toSorted((a, b) => BY_WORTH.indexOf(a.is) - BY_WORTH.indexOf(b.is))[0] ?? damaged("its manifest")
  );
}

/** Of several manifests the best tells: an index may hold those of other platforms and attestations. */
const BY_WORTH: readonly Judgement["is"][] = ["usable", "damaged", "foreign", "not-an-image"];

/** The manifest that a target is, or those of an index that are here. */
function manifestsAt({ blobs }: Pick<Node, "blobs">, { digest }: Descriptor): Blob[] {
  const top = blobs.get(digest);
  if (top === undefined) return [];
  const children = manifestsOf(top);
  return children.length === 0 ? [top] : children.flatMap((child) => blobs.get(child) ?? []);
}

function judgeManifest(node: Judged, target: Descriptor, manifest: Blob, known: boolean): Judgement {
  const id = configOf(manifest);
  const blob = id === undefined ? undefined : node.blobs.get(id);
  // containerd names a config as such by its media type, which a chart's is not.
  if (id === undefined) return isDocument(manifest) ? NOT_AN_IMAGE : damaged("its config");
  if (blob === undefined) return damaged("its config");
  const unpacked = hasSnapshot(node, blob);
  if (known && unpacked) return { is: "usable", target, id };
  const config = node.configs.get(id);
  if (config === undefined) return damaged("its config");
  const { platform, layers } = config;
  const hasLayers = layers === 0 || layersOf(manifest).length > 0 || strangersOf(manifest).length === 0;
  if (platform === undefined || !hasLayers) return NOT_AN_IMAGE;
  if (platform.os !== node.platform.os || platform.architecture !== node.platform.architecture)
    return { is: "foreign", why: `for ${platform.os}/${platform.architecture}` };
  const missing = unpacked ? undefined : missingLayers(node, manifest, layers);
  return missing === undefined ? { is: "usable", target, id } : damaged(missing);
}

const hasSnapshot = (
  { snapshotter, snapshots }: Pick<Node, "snapshotter" | "snapshots">,
  config: Blob,
): boolean => snapshots.has(chainIdOf(config, snapshotter) ?? "");

/** Of an image that is not unpacked, which CRI does when a container needs it, if all layers are here. */
function missingLayers({ blobs }: Judged, manifest: Blob, count: number): string | undefined {
  const layers = layersOf(manifest);
  const missing = layers.filter((digest) => !blobs.has(digest)).length;
  if (missing > 0) return `${missing} of ${layers.length} layers`;
  return layers.length === 0 && count > 0 ? `all ${count} layers` : undefined;
}

/** Digests of the configs that the names lead to, as far as the manifests are here. */
export function configsOf(node: Pick<Node, "records" | "blobs">, names: Iterable<string>): string[] {
  const targets = [...names].flatMap((name) => node.records.get(name)?.target ?? []);
  const manifests = targets.flatMap((target) => manifestsAt(node, target));
  return [...new Set(manifests.flatMap((manifest) => configOf(manifest) ?? []))];
}

/** Whether what a name leads to is unpacked: more than usable, because layers may be here and be broken. */
export const isUnpacked = (node: Node, name: string): boolean =>
  configsOf(node, [name]).some((digest) => {
    const config = node.blobs.get(digest);
    return config !== undefined && hasSnapshot(node, config);
  });

/** Digests of the configs that have to be read to judge the names: those for which the judgement asks. */
export function configsToRead(node: Omit<Judged, "configs">, names: Iterable<string>): string[] {
  const asked = new Set<string>();
  const configs = { get: (digest: string): undefined => void asked.add(digest) };
  for (const name of names) judge({ ...node, configs }, name);
  return [...asked];
}
