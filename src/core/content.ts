// What the blobs of an image say: the edges that containerd keeps as labels, and the few fields of a document that matter.
import * as v from "valibot";
import type { Blob, ImageConfig } from "./node.ts";
import type { Reference } from "./reference.ts";
import type { Layer } from "./transfer.ts";

/** containerd's labels on an index, manifest or config name its parts, so that its garbage collector keeps them. */
const PART = "containerd.io/gc.ref.content.";
const SNAPSHOT = "containerd.io/gc.ref.snapshot.";

const partsNamed = ({ labels }: Blob, pattern: RegExp): string[] =>
  Object.entries(labels)
    .filter(([label]) => label.startsWith(PART) && pattern.test(label.slice(PART.length)))
    .map(([, digest]) => digest);

/** Manifests of an index, whether they are here or not. */
export const manifestsOf = (index: Blob): string[] => partsNamed(index, /^m\.\d+$/u);
export const configOf = (manifest: Blob): string | undefined => partsNamed(manifest, /^config$/u)[0];
/** Digests of a manifest's layers, each once; none where containerd was told to discard them. */
export const layersOf = (manifest: Blob): string[] => [...new Set(partsNamed(manifest, /^l\.\d+$/u))];
/** Parts of a manifest of which containerd does not know what they are, so that it cannot unpack them. */
export const strangersOf = (manifest: Blob): string[] => partsNamed(manifest, /^\d+$/u);
export const isDocument = (blob: Blob): boolean => partsNamed(blob, /./u).length > 0;

/** The snapshot of an image that is unpacked with this snapshotter. */
export const chainIdOf = (config: Blob, snapshotter: string): string | undefined =>
  config.labels[`${SNAPSHOT}${snapshotter}`];
/** Every snapshotter with which something was unpacked. */
export const snapshottersOf = (blob: Blob): string[] =>
  Object.keys(blob.labels).flatMap((label) =>
    label.startsWith(SNAPSHOT) ? [label.slice(SNAPSHOT.length)] : [],
  );

const word = v.pipe(v.string(), v.nonEmpty());
const configSchema = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ os: word, architecture: word, rootfs: v.object({ diff_ids: v.array(v.string()) }) }),
);

export function parseConfig(json: string): ImageConfig {
  const config = v.safeParse(configSchema, json);
  if (!config.success) return { layers: 0 };
  const { os, architecture, rootfs } = config.output;
  return { platform: { os, architecture }, layers: rootfs.diff_ids.length };
}

const descriptor = v.object({ digest: v.string(), size: v.number() });
const manifestSchema = v.pipe(v.string(), v.parseJson(), v.object({ layers: v.array(descriptor) }));

/** The layers of an image manifest with their sizes, each once; none for an index and anything else. */
export function parseLayers(json: string): Layer[] {
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
