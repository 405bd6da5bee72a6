// What the blobs of an image say: the edges that containerd keeps as labels, and the few fields of a document that matter.
import * as v from "valibot";
import type { Blob, Document, Layer, Node } from "./node.ts";
import type { Reference } from "./reference.ts";

/** containerd's labels on an index, manifest or config name its parts, so that its garbage collector keeps them. */
const PART = "containerd.io/gc.ref.content.";
const SNAPSHOT = "containerd.io/gc.ref.snapshot.";

/** By their numbers: labels come in any order. */
const partsNamed = ({ labels }: Blob, pattern: RegExp): string[] =>
  Object.entries(labels)
    .filter(([label]) => label.startsWith(PART) && pattern.test(label.slice(PART.length)))
    .toSorted(([a], [b]) => numberOf(a) - numberOf(b))
    .map(([, digest]) => digest);
const numberOf = (label: string): number => Number(/\d*$/u.exec(label)?.[0]);

/** What an index lists, indexes too, whether it is here or not. */
export const manifestsOf = (index: Blob): string[] =>
  configOf(index) === undefined ? partsNamed(index, /^(?:m\.)?\d+$/u) : [];
export const configOf = (manifest: Blob): string | undefined => partsNamed(manifest, /^config$/u)[0];
/** Digests of a manifest's layers, in their order; none where containerd was told to discard them. */
export const layersOf = (manifest: Blob): string[] => partsNamed(manifest, /^l\.\d+$/u);
/** Whether a manifest has parts that containerd cannot unpack, because it does not know what they are. */
export const hasUnknownParts = (manifest: Blob): boolean => partsNamed(manifest, /^\d+$/u).length > 0;
export const isDocument = (blob: Blob): boolean => partsNamed(blob, /./u).length > 0;

export interface FoundDocument {
  readonly what: "index" | "manifest" | "config";
  readonly blob: Blob;
}

/** An index or manifest, and all documents below it, as far as they are here. */
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

/** Digests of the layers of all manifests of an image, whether they are here or not. */
export const layersAt = (blobs: Node["blobs"], digest: string): string[] =>
  documentsAt(blobs, digest).flatMap(({ blob }) => layersOf(blob));

/** The label of a config that keeps what is unpacked with this snapshotter. */
export const snapshotLabel = (snapshotter: string): string => `${SNAPSHOT}${snapshotter}`;
/** The snapshot of an image that is unpacked with this snapshotter. */
export const chainIdOf = (config: Blob, snapshotter: string): string | undefined =>
  config.labels[snapshotLabel(snapshotter)];
/** Every snapshotter with which something was unpacked. */
export const snapshottersOf = (blob: Blob): string[] =>
  Object.keys(blob.labels).flatMap((label) =>
    label.startsWith(SNAPSHOT) ? [label.slice(SNAPSHOT.length)] : [],
  );

/** As Go reads it: what is null or missing is empty. */
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

/** An index, or the config of an image. */
export function parseDocument(json: string): Document {
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

/** The layers of an image manifest with their sizes, each once; none for an index and anything else. */
export function parseLayers(json: string | undefined): Layer[] {
  const manifest = v.safeParse(manifestSchema, json);
  if (!manifest.success) return [];
  return [...new Map(manifest.output.layers.map((layer) => [layer.digest, layer])).values()];
}

/** A repository as containerd labels the blobs that it fetched from there. */
export type Repository = Pick<Reference, "domain" | "path">;

/** The label that tells where a blob came from; containerd leaves the port out of its key. */
export const sourceLabel = ({ domain }: Repository): string =>
  `containerd.io/distribution.source.${domain.replace(/:\d+$/u, "").replace(/^\[(?<address>.*)\]$/u, "$<address>")}`;

/** Whether a blob was fetched from the repository. */
export const isFrom = (repository: Repository, { labels }: Blob): boolean =>
  labels[sourceLabel(repository)]?.split(",").includes(repository.path) ?? false;
