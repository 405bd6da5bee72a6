// Images as a registry serves them: documents, layers and the labels that a pull gives to their blobs.
import { createHash } from "node:crypto";
import type { Platform } from "../../../src/core/node.ts";
import type { Blob, Descriptor, IndexEntry, Layer } from "../../../src/core/node.ts";

export interface ServedBlob extends Blob {
  /** Of a document; nobody reads a layer. */
  readonly text: string;
}

export interface ServedImage {
  /** The index where there is one, else the manifest. */
  readonly target: Descriptor;
  /** Digest of the config. */
  readonly id: string;
  readonly manifest: ServedBlob;
  readonly config: ServedBlob;
  readonly layers: readonly Layer[];
  /** All of it. */
  readonly blobs: readonly ServedBlob[];
  /** Of its snapshot, once it is unpacked. */
  readonly chainId: string;
}

export interface Recipe {
  /** Bytes of each layer. */
  readonly layers?: readonly number[];
  readonly platform?: Platform;
  /** An index in front, which lists a manifest of another platform too; that one is never fetched. Or an index of such an index. */
  readonly index?: boolean | "nested";
  /** Instead of the usual config of the platform. */
  readonly config?: object;
  /** Its config is that of no container image. */
  readonly artifact?: boolean;
}

export const LINUX: Platform = { os: "linux", architecture: "amd64" };
export const ARM: Platform = { os: "linux", architecture: "arm64" };

const REF = "containerd.io/gc.ref.content";

/** @param seed the same seed and recipe make the same digests */
export function served(seed: string, recipe: Recipe = {}): ServedImage {
  const { platform = LINUX, index = false, artifact = false } = recipe;
  const layers = (recipe.layers ?? [100, 50]).map((size, nth) => ({ digest: sha(`${seed} ${nth}`), size }));
  const rootfs = { diff_ids: layers.map(({ digest }) => digest) };
  const config = document(recipe.config ?? (artifact ? { seed } : { ...platform, rootfs, seed }), {});
  const edges = layers.map(({ digest }, nth) => [`${REF}.l.${nth}`, digest] as const);
  const manifest = document(
    { config: { digest: config.digest, size: config.size }, layers },
    { [`${REF}.${artifact ? "0" : "config"}`]: config.digest, ...Object.fromEntries(edges) },
  );
  const other = { ...descriptorOf(manifest, "manifest"), digest: sha(`${seed} other`), platform: ARM };
  const inner = indexOf([other, { ...descriptorOf(manifest, "manifest"), platform }]);
  const outer = indexOf([{ ...descriptorOf(inner, "index"), platform }]);
  const tops = index === "nested" ? [outer, inner] : index ? [inner] : [];
  const contents = layers.map((layer) => ({ ...layer, labels: {}, text: "" }));
  return {
    target: descriptorOf(tops[0] ?? manifest, tops.length > 0 ? "index" : "manifest"),
    id: config.digest,
    manifest,
    config,
    layers,
    blobs: [...tops, manifest, config, ...contents],
    chainId: sha(`${seed} chain`),
  };
}

const sha = (text: string): string => `sha256:${createHash("sha256").update(text).digest("hex")}`;

function document(content: object, labels: Blob["labels"]): ServedBlob {
  const text = JSON.stringify(content);
  return { digest: sha(text), size: text.length, labels, text };
}

/** containerd labels an index in an index without a letter. */
export const indexOf = (manifests: readonly IndexEntry[]): ServedBlob =>
  document(
    { manifests },
    Object.fromEntries(
      manifests.map(({ digest, mediaType }, nth) => [
        `${REF}.${mediaType.includes("index") ? "" : "m."}${nth}`,
        digest,
      ]),
    ),
  );

export const descriptorOf = ({ digest, size }: Blob, what: string): Descriptor => ({
  mediaType: `application/vnd.oci.image.${what}.v1+json`,
  digest,
  size,
});
