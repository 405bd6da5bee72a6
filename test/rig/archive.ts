import { digestOf, type LayerSpec, makeLayer } from "./layers.ts";
import { imageConfig } from "./push.ts";
import { tar } from "./tar.ts";

export interface ArchiveSpec {
  /** Names as `docker save` or an OCI layout writes them. */
  names: readonly string[];
  layers: readonly LayerSpec[];
  platform?: string;
  /** In an OCI layout: of the name. skopeo writes a tag alone, as `org.opencontainers.image.ref.name`. */
  annotation?: string;
  /** In an OCI layout: makes each name an index, which lists these as well and of which no more is in the archive. */
  absent?: readonly string[];
}

/** What `docker save` makes: a tar with manifest.json, here of one image or of several. */
export function dockerArchive(...images: readonly ArchiveSpec[]): Buffer {
  const saved = images.map(({ names, layers, platform = "linux/amd64" }, nth) => {
    const made = layers.map(makeLayer);
    const place = nth === 0 ? "" : `${nth}-`;
    const config = {
      name: `${place}config.json`,
      content: Buffer.from(JSON.stringify(imageConfig(platform, made))),
    };
    const files = made.map(({ blob }, index) => ({ name: `${place}layer-${index}.tar`, content: blob }));
    const entry = { Config: config.name, RepoTags: names, Layers: files.map(({ name }) => name) };
    return { entry, files: [config, ...files] };
  });
  return tar([
    { name: "manifest.json", content: Buffer.from(JSON.stringify(saved.map(({ entry }) => entry))) },
    ...saved.flatMap(({ files }) => files),
  ]);
}

/** Of an image in either kind of archive: what CRI calls its id. */
export const configDigest = (platform: string, layers: readonly LayerSpec[]): string =>
  digestOf(Buffer.from(JSON.stringify(imageConfig(platform, layers.map(makeLayer)))));

/** An OCI image layout in a tar, as `ctr images export` and `skopeo copy` make it. Without names it has one image without. */
export function ociArchive(spec: ArchiveSpec): Buffer {
  const { layers, platform = "linux/amd64", absent, annotation = "io.containerd.image.name" } = spec;
  const made = layers.map(makeLayer);
  const config = Buffer.from(JSON.stringify(imageConfig(platform, made)));
  const manifest = document("manifest", {
    config: { mediaType: `${type}.config.v1+json`, digest: digestOf(config), size: config.length },
    layers: made.map(({ blob, digest }) => ({
      mediaType: `${type}.layer.v1.tar+gzip`,
      digest,
      size: blob.length,
    })),
  });
  const ours = { ...describe("manifest", manifest), platform: platformOf(platform) };
  const index =
    absent === undefined ? undefined : document("index", { manifests: [ours, ...absent.map(elsewhere)] });
  const top = index === undefined ? ours : describe("index", index);
  const names =
    spec.names.length === 0 ? [{}] : spec.names.map((name) => ({ annotations: { [annotation]: name } }));
  const manifests = names.map((annotated) => ({ ...top, ...annotated }));
  const blobs = [config, manifest, ...(index === undefined ? [] : [index]), ...made.map(({ blob }) => blob)];
  return tar([
    { name: "oci-layout", content: Buffer.from('{"imageLayoutVersion":"1.0.0"}') },
    { name: "index.json", content: Buffer.from(JSON.stringify({ schemaVersion: 2, manifests })) },
    ...blobs.map((content) => ({ name: `blobs/sha256/${digestOf(content).slice(7)}`, content })),
  ]);
}

const type = "application/vnd.oci.image";
type Kind = "manifest" | "index";

const document = (kind: Kind, fields: object): Buffer =>
  Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: `${type}.${kind}.v1+json`, ...fields }));

const describe = (kind: Kind, content: Buffer): object => ({
  mediaType: `${type}.${kind}.v1+json`,
  digest: digestOf(content),
  size: content.length,
});

function platformOf(platform: string): object {
  const [os, architecture] = platform.split("/");
  return { os, architecture };
}

/** A manifest for another platform, which was left out. */
const elsewhere = (platform: string): object => ({
  ...describe("manifest", Buffer.from(`the manifest for ${platform}`)),
  platform: platformOf(platform),
});
