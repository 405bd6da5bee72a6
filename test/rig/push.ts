import { digestOf, type Layer, type LayerSpec, makeLayer } from "./layers.ts";
import { ask, askFor } from "./registry-client.ts";
import type { Endpoint } from "./registry.ts";

export interface ImageSpec {
  layers: readonly LayerSpec[];
  /** os/architecture or os/architecture/variant; by default that of amd64 Linux. */
  platform?: string;
  /** Of the manifest. */
  annotations?: Record<string, string>;
  /** What it runs unless told otherwise; a shell by default. */
  command?: readonly string[];
  mediaTypes?: "oci" | "docker";
  /** For what is no image, or a broken one. */
  types?: { config: string; layer: string };
  /** Instead of the config that fits the layers. */
  config?: object;
}

export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
}

export interface PushedImage extends Descriptor {
  /** With the host it was pushed to. */
  reference: string;
  repository: string;
  tag: string;
  configDigest: string;
  platform: string;
  layers: Descriptor[];
}

const types = {
  oci: {
    manifest: "application/vnd.oci.image.manifest.v1+json",
    index: "application/vnd.oci.image.index.v1+json",
    config: "application/vnd.oci.image.config.v1+json",
    layer: "application/vnd.oci.image.layer.v1.tar+gzip",
  },
  docker: {
    manifest: "application/vnd.docker.distribution.manifest.v2+json",
    index: "application/vnd.docker.distribution.manifest.list.v2+json",
    config: "application/vnd.docker.container.image.v1+json",
    layer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  },
};

/** Makes an image on the spot and pushes it; the same spec gives the same digests. */
export async function pushImage(endpoint: Endpoint, name: string, spec: ImageSpec): Promise<PushedImage> {
  const { repository, tag } = splitName(name);
  const type = { ...types[spec.mediaTypes ?? "oci"], ...spec.types };
  const platform = spec.platform ?? "linux/amd64";
  const layers = spec.layers.map(makeLayer);
  for (const { blob, digest } of layers) await pushBlob(endpoint, repository, digest, blob);
  const config = Buffer.from(JSON.stringify(spec.config ?? imageConfig(platform, layers, spec.command)));
  const configDigest = digestOf(config);
  await pushBlob(endpoint, repository, configDigest, config);
  const descriptors = layers.map(({ blob, digest }) => ({
    mediaType: type.layer,
    digest,
    size: blob.length,
  }));
  const manifest = {
    schemaVersion: 2,
    mediaType: type.manifest,
    config: { mediaType: type.config, digest: configDigest, size: config.length },
    layers: descriptors,
    ...(spec.annotations && { annotations: spec.annotations }),
  };
  const pushed = await pushManifest(endpoint, repository, tag, manifest);
  const reference = `${endpoint.host}/${repository}:${tag}`;
  return { ...pushed, reference, repository, tag, configDigest, platform, layers: descriptors };
}

const fieldsOf = (platform: string | undefined): object =>
  platform === undefined ? {} : { platform: platformFields(platform) };

/** An index over images and indexes that are in the same repository already; one without a platform is listed without one. */
export async function pushIndex(
  endpoint: Endpoint,
  name: string,
  entries: readonly { platform?: string; image: Descriptor & { platform?: string } }[],
  mediaTypes: "oci" | "docker" = "oci",
): Promise<Descriptor & { reference: string }> {
  const { repository, tag } = splitName(name);
  const manifests = entries.map(({ platform, image: { mediaType, digest, size, ...image } }) => ({
    mediaType,
    digest,
    size,
    ...fieldsOf(platform ?? image.platform),
  }));
  const index = { schemaVersion: 2, mediaType: types[mediaTypes].index, manifests };
  const pushed = await pushManifest(endpoint, repository, tag, index);
  return { ...pushed, reference: `${endpoint.host}/${repository}:${tag}` };
}

/** Makes a further tag of the repository name the same manifest, or moves one to it. */
export async function tagImage(endpoint: Endpoint, image: PushedImage, tag: string): Promise<void> {
  const path = `/v2/${image.repository}/manifests`;
  const { body } = await askFor(
    endpoint,
    { method: "GET", path: `${path}/${image.digest}`, headers: { accept: image.mediaType } },
    [200],
  );
  const headers = { "content-type": image.mediaType };
  await askFor(endpoint, { method: "PUT", path: `${path}/${tag}`, headers, body }, [201]);
}

export async function deleteBlob(endpoint: Endpoint, repository: string, digest: string): Promise<void> {
  await askFor(endpoint, { method: "DELETE", path: `/v2/${repository}/blobs/${digest}` }, [202]);
}

/** Deletes a tag, or a manifest when the name ends in a digest. */
export async function deleteManifest(endpoint: Endpoint, repository: string, tag: string): Promise<void> {
  await askFor(endpoint, { method: "DELETE", path: `/v2/${repository}/manifests/${tag}` }, [202]);
}

function splitName(name: string): { repository: string; tag: string } {
  const colon = name.lastIndexOf(":");
  if (colon < 0) return { repository: name, tag: "latest" };
  return { repository: name.slice(0, colon), tag: name.slice(colon + 1) };
}

/** Also for archives, which need no registry. */
export function imageConfig(
  platform: string,
  layers: readonly Layer[],
  command: readonly string[] = ["/bin/sh"],
): object {
  return {
    created: "1970-01-01T00:00:00Z",
    ...platformFields(platform),
    config: { Cmd: command, Env: ["PATH=/bin"] },
    rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.diffId) },
    history: layers.map(() => ({ created: "1970-01-01T00:00:00Z", created_by: "rig" })),
  };
}

function platformFields(platform: string): object {
  const [os, architecture, variant] = platform.split("/");
  return { os, architecture, ...(variant !== undefined && { variant }) };
}

async function pushManifest(
  endpoint: Endpoint,
  repository: string,
  tag: string,
  manifest: { mediaType: string },
): Promise<Descriptor> {
  const body = Buffer.from(JSON.stringify(manifest));
  const { mediaType } = manifest;
  const headers = { "content-type": mediaType };
  await askFor(endpoint, { method: "PUT", path: `/v2/${repository}/manifests/${tag}`, headers, body }, [201]);
  return { mediaType, digest: digestOf(body), size: body.length };
}

async function pushBlob(endpoint: Endpoint, repository: string, digest: string, blob: Buffer): Promise<void> {
  const blobs = `/v2/${repository}/blobs`;
  const known = await ask(endpoint, { method: "HEAD", path: `${blobs}/${digest}` });
  if (known.status === 200) return;
  const begun = await askFor(endpoint, { method: "POST", path: `${blobs}/uploads/` }, [202]);
  const location = new URL(begun.headers.location ?? "", `${endpoint.scheme}://${endpoint.host}`);
  location.searchParams.set("digest", digest);
  const headers = { "content-type": "application/octet-stream" };
  await askFor(endpoint, { method: "PUT", path: location.href, headers, body: blob }, [201]);
}
