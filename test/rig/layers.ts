import { createCipheriv, createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { tar, type TarEntry } from "./tar.ts";

/** What one layer holds: one incompressible file, many small ones, or a busybox that runs. */
export type LayerSpec =
  | { bytes: number; seed: string | number }
  | { files: number; fileBytes: number; seed: string | number }
  | { busybox: true }
  /** Bytes as they are, in place of a compressed archive. */
  | { raw: Buffer };

export interface Layer {
  /** Compressed, as it is stored and sent. */
  blob: Buffer;
  digest: string;
  /** Of the archive before compression. */
  diffId: string;
}

export function digestOf(bytes: Buffer | string): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

export function makeLayer(spec: LayerSpec): Layer {
  if ("raw" in spec) return { blob: spec.raw, digest: digestOf(spec.raw), diffId: digestOf(spec.raw) };
  const archive = tar(entriesOf(spec));
  // One random file does not get smaller: storing it is five times as fast as finding that out.
  const blob = gzipSync(archive, { level: "bytes" in spec ? 0 : 1, chunkSize: 2 ** 20 });
  return { blob, digest: digestOf(blob), diffId: digestOf(archive) };
}

function entriesOf(spec: Exclude<LayerSpec, { raw: Buffer }>): TarEntry[] {
  if ("busybox" in spec) return busyboxEntries();
  if ("bytes" in spec) return [{ name: `data-${spec.seed}`, content: randomBytes(spec.seed, spec.bytes) }];
  const content = randomBytes(spec.seed, spec.files * spec.fileBytes);
  const folder = `files-${spec.seed}`;
  const files = Array.from({ length: spec.files }, (_, index) => ({
    name: `${folder}/${index}`,
    content: content.subarray(index * spec.fileBytes, (index + 1) * spec.fileBytes),
  }));
  return [{ name: `${folder}/`, directory: true }, ...files];
}

function busyboxEntries(): TarEntry[] {
  const applets = ["sh", "sleep", "cat", "ls", "true"];
  return [
    { name: "bin/", directory: true },
    { name: "bin/busybox", mode: 0o755, content: readFileSync("/usr/bin/busybox") },
    ...applets.map((applet) => ({ name: `bin/${applet}`, linkTo: "busybox" })),
  ];
}

// The key stream of a cipher: the same bytes for the same seed on every machine, about as fast as memory.
function randomBytes(seed: string | number, size: number): Buffer {
  const key = createHash("sha256").update(String(seed)).digest();
  const stream = createCipheriv("aes-256-ctr", key, Buffer.alloc(16));
  const zeros = Buffer.alloc(2 ** 20);
  const result = Buffer.allocUnsafe(size);
  for (let at = 0; at < size; at += zeros.length)
    stream.update(zeros.subarray(0, size - at)).copy(result, at);
  return result;
}
