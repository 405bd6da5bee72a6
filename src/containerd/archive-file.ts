// The file of an archive: its compression, the tar inside it, and what that holds.
import { createReadStream } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { pipeline, type Readable } from "node:stream";
import { damagedArchive, heldBy, type Held } from "../core/archive-content.ts";
import type { Failure } from "../core/failure.ts";
import { codeOf, messageOf } from "../core/plain-text.ts";
import { TarReader } from "../core/tar.ts";

/** By the bytes that they begin with, in hexadecimal. Some are known to those who make archives, and not to us. */
const COMPRESSIONS = [
  { name: "gzip", magic: /^1f8b/u, unpack: "createGunzip" },
  // Also behind a frame that a reader skips, with which pzstd begins.
  { name: "zstd", magic: /^(?:28b52ffd|5.2a4d18)/u, unpack: "createZstdDecompress" },
  { name: "xz", magic: /^fd377a58/u },
  { name: "bzip2", magic: /^425a68/u },
  { name: "lz4", magic: /^0[24]2[12]4[dc]18/u },
  { name: "lzip", magic: /^4c5a4950/u },
] as const;

/** Bytes of one read. */
const CHUNK = 2 ** 18;

/** The tar inside a compressed archive or layer, for ctr reads no other; undefined for one that is a tar itself. */
export async function unpackedStream(path: string): Promise<Readable | undefined> {
  const compression = await compressionOf(path);
  if (compression === undefined) return undefined;
  if (!("unpack" in compression)) throw new Error(`compressed with ${compression.name}`);
  const zlib = await import("node:zlib");
  const input = createReadStream(path, { highWaterMark: CHUNK });
  // An error of the unpacking ends the stream early, and ctr tells what it makes of that.
  return pipeline(input, zlib[compression.unpack]({ chunkSize: CHUNK }), () => {});
}

async function compressionOf(path: string) {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
  const begin = buffer.toString("hex", 0, bytesRead);
  return COMPRESSIONS.find(({ magic }) => magic.test(begin));
}

/**
 * Reads through it once, without containerd.
 * @throws the system's error where the file cannot be read
 */
export async function readArchive(path: string, signal: AbortSignal): Promise<Held[] | Failure> {
  const compression = await compressionOf(path);
  if (compression !== undefined && !("unpack" in compression)) return unsupported(compression.name);
  const reader = new TarReader();
  try {
    const unpacked = await unpackedStream(path);
    await (unpacked === undefined ? readPlain(path, reader, signal) : readUnpacked(unpacked, reader, signal));
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Error && "syscall" in error) throw error;
    return codeOf(error) === "ZSTD_error_frameParameter_windowTooLarge"
      ? WINDOW
      : damagedArchive(messageOf(error));
  }
  if (!reader.isBetweenFiles) return damagedArchive("it ends in the middle of a file");
  // Not loaded at the start of a program that seldom needs it; nor is zlib.
  const { createHash } = await import("node:crypto");
  return heldBy(reader, (text) => `sha256:${createHash("sha256").update(text).digest("hex")}`);
}

/** From file to file: layers are passed over. */
async function readPlain(path: string, reader: TarReader, signal: AbortSignal): Promise<void> {
  await using file = await open(path);
  const { size } = await file.stat();
  let at = 0;
  while (at < size && !reader.ended) {
    signal.throwIfAborted();
    const chunk = await readAt(file, at);
    reader.push(chunk);
    at += chunk.length + reader.skip();
    if (chunk.length === 0) break;
  }
  if (at > size) throw new Error("it ends in the middle of a file");
}

async function readAt(file: FileHandle, at: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(CHUNK), 0, CHUNK, at);
  return buffer.subarray(0, bytesRead);
}

/** To its end, behind the tar's own: only then is it known to be whole. */
async function readUnpacked(unpacked: Readable, reader: TarReader, signal: AbortSignal): Promise<void> {
  for await (const chunk of unpacked) {
    signal.throwIfAborted();
    if (Buffer.isBuffer(chunk)) reader.push(chunk);
  }
}

const unsupported = (name: string): Failure => ({
  class: "transfer",
  message: `the archive is compressed with ${name}, which is not supported`,
  next: "save it uncompressed, or with gzip or zstd",
});

const WINDOW: Failure = {
  class: "transfer",
  message: "the archive is compressed with a zstd window of more than 128 MiB, which is not supported",
  next: "compress it without --long, or with --long=27 at most",
};
