// Reads an image's blobs: the links between them, which containerd keeps as labels, and a few fields of the documents.
import * as v from "valibot";
import type { Blob, Document, Layer, Node } from "./node.ts";
import type { Reference } from "./reference.ts";

/** containerd labels an index, manifest or config with its parts, so that garbage collection keeps them. */
const PART = "containerd.io/gc.ref.content.";
const SNAPSHOT = "containerd.io/gc.ref.snapshot.";

/** Sorted by number: labels arrive in any order. */
const partsNamed = ({ labels }: Blob, pattern: RegExp): string[] =>
  Object.entries(labels)
    .filter(([label]) => label.startsWith(PART) && pattern.test(label.slice(PART.length)))
    .toSorted(([a], [b]) => numberOf(a) - numberOf(b))
    .map(([, digest]) => digest);
const numberOf = (label: string): number => Number(label.split(".").at(-1));

/** Digests of the manifests and indexes in an index, on the node or not. Empty for a manifest. */
export const manifestsOf = (index: Blob): string[] =>
  configOf(index) === undefined ? partsNamed(index, /^(?:m\.)?\d+$/u) : [];
export const configOf = (manifest: Blob): string | undefined => manifest.labels[`${PART}config`];
/** Digests of a manifest's layers, in order. Empty if containerd is configured to discard layers. */
export const layersOf = (manifest: Blob): string[] => partsNamed(manifest, /^l\.\d+$/u);
/** Whether containerd does not know the type of a part, and so cannot unpack it. */
export const hasUnknownParts = (manifest: Blob): boolean => partsNamed(manifest, /^\d+$/u).length > 0;
export const isDocument = (blob: Blob): boolean => partsNamed(blob, /./u).length > 0;

export interface FoundDocument {
  readonly what: "index" | "manifest" | "config";
  readonly blob: Blob;
}

/** An index or manifest and all documents below it, as far as they are on the node. */
export function documentsAt(blobs: Node["blobs"], digest: string): FoundDocument[] {
  const blob = blobs.get(digest);
  if (blob === undefined) return [];
  const config = blobs.get(configOf(blob) ?? "");
  if (config !== undefined)
    return [
      { what: "manifest", blob },
      { what: "config", blob: config },
    ];
  return [{ what: "index", blob }, ...manifestsOf(blob).flatMap((part) => documentsAt(blobs, part))];
}

/** Layer digests of all manifests of an image, on the node or not. */
export const layersAt = (blobs: Node["blobs"], digest: string): string[] =>
  documentsAt(blobs, digest).flatMap(({ blob }) => layersOf(blob));

/** Label of a config that protects the image's snapshot from garbage collection. */
export const snapshotLabel = (snapshotter: string): string => `${SNAPSHOT}${snapshotter}`;
/** Chain id of the image's snapshot; undefined if this snapshotter has not unpacked it. */
export const chainIdOf = (config: Blob, snapshotter: string): string | undefined =>
  config.labels[snapshotLabel(snapshotter)];
/** Snapshotters that have unpacked the image of this config. */
export const snapshottersOf = (blob: Blob): string[] =>
  Object.keys(blob.labels).flatMap((label) =>
    label.startsWith(SNAPSHOT) ? [label.slice(SNAPSHOT.length)] : [],
  );

/** Like Go, reads null or a missing value as the empty string. */
const text = v.nullish(v.string(), "");
const platform = v.object({ os: text, architecture: text, variant: text });
const indexSchema = v.object({
  manifests: v.array(
    v.object({
      mediaType: text,
      digest: v.string(),
      platform: v.nullish(platform, () => undefined),
    }),
  ),
});
const isObject = v.check((value) => !Array.isArray(value));
const documentSchema = v.pipe(v.string(), v.parseJson(), isObject, v.record(v.string(), v.unknown()));
const configSchema = v.object({
  ...platform.entries,
  rootfs: v.nullish(v.object({ diff_ids: v.nullish(v.array(v.string()), []) })),
});

/** Parses an index or an image config. */
export function parseDocument(json: string | undefined): Document {
  const document = v.safeParse(documentSchema, json);
  if (!document.success) return { is: "other" };
  const index = v.safeParse(indexSchema, document.output);
  if (index.success) return { is: "index", ...index.output };
  const config = v.safeParse(configSchema, document.output);
  if (!config.success) return { is: "other" };
  const { rootfs, ...written } = config.output;
  return { is: "config", platform: written, layers: rootfs?.diff_ids.length ?? 0 };
}

const descriptor = v.object({ digest: v.string(), size: v.number() });
const manifestSchema = v.pipe(v.string(), v.parseJson(), v.object({ layers: v.array(descriptor) }));

/** Layers of an image manifest, each once. Empty for anything else. */
export function parseLayers(json: string | undefined): Layer[] {
  const manifest = v.safeParse(manifestSchema, json);
  if (!manifest.success) return [];
  return [...new Map(manifest.output.layers.map((layer) => [layer.digest, layer])).values()];
}

export type Repository = Pick<Reference, "domain" | "path">;

/** Label that lists the repositories from which a blob was fetched. containerd omits the port in its key. */
export const sourceLabel = ({ domain }: Repository): string =>
  `containerd.io/distribution.source.${domain.replace(/:\d+$/u, "").replaceAll(/[[\]]/gu, "")}`;

export const isFrom = (repository: Repository, { labels }: Blob): boolean =>
  labels[sourceLabel(repository)]?.split(",").includes(repository.path) ?? false;
