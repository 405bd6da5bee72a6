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

function judgeTarget(node: Node, target: Descriptor): Judgement {
  const manifests = manifestsAt(node, target);
  if (manifests.length === 0) return damaged("its manifest");
  // What is pinned was judged when it was: a digest never changes what it stands for.
  const known = manifests.length === 1 && isPinned(node, target);
  const judged = manifests.map((manifest) => judgeManifest(node, target, manifest, known));
  return (
    BY_WORTH.flatMap((worth) => judged.find(({ is }) => is === worth) ?? [])[0] ?? damaged("its manifest")
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

function judgeManifest(node: Node, target: Descriptor, manifest: Blob, known: boolean): Judgement {
  const id = configOf(manifest);
  const blob = id === undefined ? undefined : node.blobs.get(id);
  // containerd names a config as such by its media type, which a chart's is not.
  if (id === undefined) return isDocument(manifest) ? { is: "not-an-image" } : damaged("its config");
  if (blob === undefined) return damaged("its config");
  const unpacked = hasSnapshot(node, blob);
  if (known && unpacked) return { is: "usable", target, id };
  const config = node.configs.get(id);
  if (config === undefined) return damaged("its config");
  const { platform, layers } = config;
  const hasLayers = layers === 0 || layersOf(manifest).length > 0 || strangersOf(manifest).length === 0;
  if (platform === undefined || !hasLayers) return { is: "not-an-image" };
  if (platform.os !== node.platform.os || platform.architecture !== node.platform.architecture)
    return { is: "foreign", platform: `${platform.os}/${platform.architecture}` };
  const missing = unpacked ? undefined : missingLayers(node, manifest, layers);
  return missing === undefined ? { is: "usable", target, id } : damaged(missing);
}

type Unpacked = Pick<Node, "blobs" | "snapshotter" | "snapshots">;

const hasSnapshot = ({ snapshotter, snapshots }: Unpacked, config: Blob | undefined): boolean =>
  config !== undefined && snapshots.has(chainIdOf(config, snapshotter) ?? "");

/** Whether what a name leads to is unpacked: more than usable, because layers may be here and be broken. */
export const isUnpacked = (node: Node, name: string): boolean =>
  configsOf(node, [name]).some((digest) => hasSnapshot(node, node.blobs.get(digest)));

/** Of an image that is not unpacked, which CRI does when a container needs it, if all layers are here. */
function missingLayers({ blobs }: Node, manifest: Blob, count: number): string | undefined {
  const layers = layersOf(manifest);
  const missing = layers.filter((digest) => !blobs.has(digest)).length;
  if (missing > 0) return `${missing} of ${layers.length} layers`;
  return layers.length === 0 && count > 0 ? `all ${count} layers` : undefined;
}

type Graph = Pick<Node, "records" | "blobs">;

/** Digests of the configs that the names lead to, as far as the manifests are here. */
export const configsOf = (node: Graph, names: Iterable<string>): string[] => [
  ...new Set(
    targetsOf(node, names).flatMap((target) =>
      manifestsAt(node, target).flatMap((blob) => configOf(blob) ?? []),
    ),
  ),
];

/** Those of them that have to be read to judge the names. */
export const configsToRead = (node: Omit<Node, "configs" | "cri">, names: Iterable<string>): string[] => {
  const unknown = targetsOf(node, names).filter((target) => {
    const [manifest, ...others] = manifestsAt(node, target);
    const config = node.blobs.get((manifest && configOf(manifest)) ?? "");
    return others.length > 0 || !isPinned(node, target) || !hasSnapshot(node, config);
  });
  const manifests = unknown.flatMap((target) => manifestsAt(node, target));
  return [...new Set(manifests.flatMap((blob) => configOf(blob) ?? []))].filter((digest) =>
    node.blobs.has(digest),
  );
};

const targetsOf = ({ records }: Graph, names: Iterable<string>): Descriptor[] => [
  ...new Map(
    [...names].flatMap((name) => records.get(name)?.target ?? []).map((target) => [target.digest, target]),
  ).values(),
];
