// Archives as files, with what an import needs to know of them; their layers are empty.
import { tar } from "../../rig/tar.ts";
import type { ServedImage } from "./served-image.ts";

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** An OCI archive. @param annotation of a name */
export function packed(
  images: Readonly<Record<string, ServedImage>>,
  annotation = "io.containerd.image.name",
): Buffer {
  const manifests = Object.entries(images).map(([name, { target }]) => ({
    ...target,
    annotations: { [annotation]: name },
  }));
  const documents = Object.values(images)
    .flatMap(({ blobs }) => blobs)
    .filter(({ text }) => text !== "");
  const files = new Map(documents.map(({ digest, text }) => [`blobs/${digest.replace(":", "/")}`, text]));
  return tar([
    { name: "oci-layout", content: json({ imageLayoutVersion: "1.0.0" }) },
    { name: "index.json", content: json({ schemaVersion: 2, manifests }) },
    ...[...files].map(([name, text]) => ({ name, content: Buffer.from(text) })),
  ]);
}

/** What `docker save` makes. */
export function saved(images: Readonly<Record<string, ServedImage>>): Buffer {
  const entries = Object.entries(images);
  const list = entries.map(([name, { id }]) => ({
    Config: `${id.slice(7)}.json`,
    RepoTags: [name],
    Layers: [],
  }));
  const configs = new Map(entries.map(([, { id, config }]) => [`${id.slice(7)}.json`, config.text]));
  return tar([
    ...[...configs].map(([name, text]) => ({ name, content: Buffer.from(text) })),
    { name: "manifest.json", content: json(list) },
  ]);
}

/** The header of an entry whose size is written in these bytes. */
export function sized(size: string, type = "0"): Buffer {
  const header = tar([{ name: "index.json", type }]).subarray(0, 512);
  header.write(size, 124, "hex");
  header.fill(" ", 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0`, 148);
  return header;
}
