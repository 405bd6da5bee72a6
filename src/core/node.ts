// The node as containerd has it, as one value, and what may be said of a name on it.
import { chainIdOf, configOf, layersOf, manifestsOf, type ImageConfig, type Platform } from "./content.ts";

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
}

type Labels = Readonly<Record<string, string>>;

/** A name, literally, and what it leads to. */
export interface ImageRecord {
  readonly name: string;
  readonly labels: Labels;
  /** An index or a manifest. */
  readonly target: Descriptor;
}

/** A finished blob, with the labels that the metadata store has for it. */
export interface Blob {
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  readonly labels: Labels;
}

/** An image as CRI lists it, for the kubelet. Its names are normalised: no pod can start from some of them. */
export interface CriImage {
  /** Digest of the image's config. */
  readonly id: string;
  readonly names: readonly string[];
  /** Compressed bytes. */
  readonly size: number;
  readonly pinned: boolean;
}

export interface Node {
  readonly platform: Platform;
  /** By name. */
  readonly records: ReadonlyMap<string, ImageRecord>;
  /** By digest. */
  readonly blobs: ReadonlyMap<string, Blob>;
  /** Where CRI keeps images, as far as it tells. */
  readonly imageDirectory?: string;
  /** The one that CRI uses. */
  readonly snapshotter: string;
  /** Chain ids of its committed snapshots. */
  readonly snapshots: ReadonlySet<string>;
  /** By digest; of the names that were asked for. */
  readonly configs: ReadonlyMap<string, ImageConfig>;
  /** By name. */
  readonly cri: ReadonlyMap<string, CriImage>;
}

export interface Usable {
  readonly is: "usable";
  readonly target: Descriptor;
  /** Digest of the config, which CRI calls the image's id. */
  readonly id: string;
}

export type Judgement =
  | Usable
  | { readonly is: "absent" }
  /** `missing` in words: `its config`, `2 of 3 layers`. */
  | { readonly is: "damaged"; readonly missing: string }
  | { readonly is: "foreign"; readonly platform: string }
  | { readonly is: "not-an-image" };

/** What a literal name is good for: whether a container can be created from it. */
export function judge(node: Node, name: string): Judgement {
  const target = node.records.get(name)?.target;
  return target === undefined ? { is: "absent" } : judgeTarget(node, target);
}

const damaged = (missing: string): Judgement => ({ is: "damaged", missing });

export function judgeTarget(node: Node, target: Descriptor): Judgement {
  const top = node.blobs.get(target.digest);
  if (top === undefined) return damaged("its manifest");
  const children = manifestsOf(top);
  if (children.length === 0) return judgeManifest(node, target, top);
  const manifests = children.flatMap((digest) => node.blobs.get(digest) ?? []);
  if (manifests.length === 0) return damaged("its manifest");
  const judged = manifests.map((manifest) => judgeManifest(node, target, manifest));
  return BY_WORTH.map((worth) => judged.find(({ is }) => is === worth)).find((best) => best !== undefined) ?? damaged("its manifest");
}

/** Of several manifests the best tells: an index may hold those of other platforms and attestations. */
const BY_WORTH: readonly Judgement["is"][] = ["usable", "damaged", "foreign", "not-an-image"];

function judgeManifest(node: Node, target: Descriptor, manifest: Blob): Judgement {
  const id = configOf(manifest);
  const blob = id === undefined ? undefined : node.blobs.get(id);
  const config = id === undefined ? undefined : node.configs.get(id);
  if (id === undefined || blob === undefined || config === undefined) return damaged("its config");
  const { platform } = config;
  if (platform === undefined) return { is: "not-an-image" };
  if (platform.os !== node.platform.os || platform.architecture !== node.platform.architecture)
    return { is: "foreign", platform: `${platform.os}/${platform.architecture}` };
  const chainId = chainIdOf(blob, node.snapshotter);
  if (chainId !== undefined && node.snapshots.has(chainId)) return { is: "usable", target, id };
  return judgeLayers(node, target, manifest, { id, count: config.layers });
}

/** Not unpacked, which CRI does when a container needs it, if all layers are here. */
function judgeLayers(
  node: Node,
  target: Descriptor,
  manifest: Blob,
  { id, count }: { readonly id: string; readonly count: number },
): Judgement {
  const layers = layersOf(manifest);
  const missing = layers.filter((digest) => !node.blobs.has(digest)).length;
  if (missing > 0) return damaged(`${missing} of ${layers.length} layers`);
  return layers.length === 0 && count > 0 ? damaged(`all ${count} layers`) : { is: "usable", target, id };
}

/** Digests of the configs that the names lead to, as far as the manifests are here. */
export function configsOf({ records, blobs }: Pick<Node, "records" | "blobs">, names: Iterable<string>): string[] {
  const targets = new Set([...names].flatMap((name) => records.get(name)?.target.digest ?? []));
  const documents = [...targets].flatMap((digest) => blobs.get(digest) ?? []);
  const manifests = documents.flatMap((top) => [top, ...manifestsOf(top).flatMap((digest) => blobs.get(digest) ?? [])]);
  return [...new Set(manifests.flatMap((manifest) => configOf(manifest) ?? []))];
}
