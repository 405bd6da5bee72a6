import { digestOf, type LayerSpec, makeLayer } from "./layers.ts";
import { imageConfig } from "./push.ts";
import { tar } from "./tar.ts";

export interface ArchiveSpec {
  /** Names as `docker save` or an OCI layout writes them. */
  names: readonly string[];
  layers: readonly LayerSpec[];
  platform?: string;
}

/** What `docker save` makes: a tar with manifest.json. */
export function dockerArchive({ names, layers, platform = "linux/amd64" }: ArchiveSpec): Buffer {
  const made = layers.map(makeLayer);
  const config = Buffer.from(JSON.stringify(imageConfig(platform, made)));
  const files = made.map(({ blob }, index) => ({ name: `layer-${index}.tar`, content: blob }));
  const manifest = [{ Config: "config.json", RepoTags: names, Layers: files.map(({ name }) => name) }];
  return tar([
    { name: "manifest.json", content: Buffer.from(JSON.stringify(manifest)) },
    { name: "config.json", content: config },
    ...files,
  ]);
}

/** An OCI image layout in a tar, as `ctr images export` and `skopeo copy` make it. */
export function ociArchive({ names, layers, platform = "linux/amd64" }: ArchiveSpec): Buffer {
  const made = layers.map(makeLayer);
  const config = Buffer.from(JSON.stringify(imageConfig(platform, made)));
  const type = "application/vnd.oci.image";
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: `${type}.manifest.v1+json`,
      config: { mediaType: `${type}.config.v1+json`, digest: digestOf(config), size: config.length },
      layers: made.map(({ blob, digest }) => ({
        mediaType: `${type}.layer.v1.tar+gzip`,
        digest,
        size: blob.length,
      })),
    }),
  );
  const [os, architecture] = platform.split("/");
  const entry = { mediaType: `${type}.manifest.v1+json`, digest: digestOf(manifest), size: manifest.length };
  const manifests = names.map((name) => ({
    ...entry,
    platform: { os, architecture },
    annotations: { "io.containerd.image.name": name },
  }));
  const blobs = [config, manifest, ...made.map(({ blob }) => blob)];
  return tar([
    { name: "oci-layout", content: Buffer.from('{"imageLayoutVersion":"1.0.0"}') },
    { name: "index.json", content: Buffer.from(JSON.stringify({ schemaVersion: 2, manifests })) },
    ...blobs.map((content) => ({ name: `blobs/sha256/${digestOf(content).slice(7)}`, content })),
  ]);
}
