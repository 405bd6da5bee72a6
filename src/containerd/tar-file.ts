// Archives and layers as files: their compression, and the tar inside.
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { addAbortSignal, pipeline, type Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { Extract } from "tar-stream";
import { Failed } from "../core/failure.ts";
import { messageOf } from "../core/plain-text.ts";

/** Recognized by the first bytes, in hexadecimal. Those without `unpack` occur in archives, but are not supported. */
const COMPRESSIONS = [
  { name: "gzip", magic: /^1f8b/u, unpack: "createGunzip" },
  // Also a skippable frame, with which the output of pzstd starts.
  { name: "zstd", magic: /^(?:28b52ffd|5.2a4d18)/u, unpack: "createZstdDecompress" },
  { name: "xz", magic: /^fd377a58/u },
  { name: "bzip2", magic: /^425a68/u },
  { name: "lz4", magic: /^0[24]2[12]4[dc]18/u },
  { name: "lzip", magic: /^4c5a4950/u },
] as const;

/** Bytes per read. */
const CHUNK = 2 ** 18;

/** The tar in a compressed file, as ctr reads only a tar; undefined for a plain tar. @throws Failed if unsupported */
export async function unpackedStream(path: string): Promise<Readable | undefined> {
  const compression = await compressionOf(path);
  if (compression === undefined) return undefined;
  if (!("unpack" in compression))
    throw new Failed({
      class: "transfer",
      message: `the archive is compressed with ${compression.name}, which is not supported`,
      next: "save it uncompressed, or with gzip or zstd",
    });
  const zlib = await import("node:zlib");
  const input = createReadStream(path, { highWaterMark: CHUNK });
  // A decompression error ends the stream early, and ctr reports what results from it.
  return pipeline(input, zlib[compression.unpack]({ chunkSize: CHUNK }), () => {});
}

async function compressionOf(path: string) {
  await using file = await open(path);
  const begin = await file.read(Buffer.alloc(4), 0, 4, 0);
  const digits = begin.buffer.toString("hex", 0, begin.bytesRead);
  return COMPRESSIONS.find(({ magic }) => magic.test(digits));
}

interface TarEntry {
  readonly path: string;
  readonly size: number;
  /** A regular file with all of its content: a tar contains only parts of a sparse file. */
  readonly isFile: boolean;
  /** Call it only for a file, before requesting the next entry. */
  readonly content: () => Promise<Buffer>;
  /** Offset of the next entry. */
  readonly end: number;
}

/** Files of at least this many bytes are skipped by seeking if the tar is not compressed. */
const LARGE = 2 ** 20;
const BLOCK = 512;
/** tar-stream's messages. */
export const CUT_OFF = "Unexpected end of data";
export const NO_HEADER = "Invalid tar header. Maybe the tar is corrupted or it needs to be gunzipped?";

/**
 * Entries of a tar, compressed or not. A compressed one is read to its end: only then is it known to be whole.
 * @throws the system's error if the file cannot be read; another if it is not a tar, is truncated or is not supported
 */
export async function* tarEntries(path: string, signal?: AbortSignal): AsyncGenerator<TarEntry> {
  // Loaded on demand, like zlib and crypto, because the program seldom needs it.
  const { extract } = await import("tar-stream");
  // Missing in the types. Without it, tar-stream rejects a tar of the old format.
  const options: object = { allowUnknownFormat: true };
  const unpacked = await unpackedStream(path);
  if (unpacked !== undefined) return yield* entriesIn(unpacked, extract(options), { start: 0, signal });
  const { size } = await stat(path);
  for (let next: number | undefined = 0; next !== undefined;) {
    const start: number = next;
    if (start > size) throw new Error(CUT_OFF);
    next = undefined;
    const rest = createReadStream(path, { start, highWaterMark: CHUNK });
    for await (const entry of entriesIn(rest, extract(options), { start, signal })) {
      yield entry;
      if (!entry.isFile || entry.size < LARGE) continue;
      next = entry.end;
      break;
    }
  }
}

interface Reading {
  /** Offset in the file at which the stream starts. */
  readonly start: number;
  readonly signal: AbortSignal | undefined;
}

async function* entriesIn(
  archive: Readable,
  tar: Extract,
  { start, signal }: Reading,
): AsyncGenerator<TarEntry> {
  let [end, read] = [start, start];
  archive.on("data", (part: Buffer) => void (read += part.length));
  if (signal !== undefined) addAbortSignal(signal, archive);
  // The loop throws the errors of both streams.
  pipeline(archive, tar, () => {});
  try {
    for await (const entry of tar) {
      const { name, size, type, pax } = entry.header;
      // tar-stream would wait for the end of such a file.
      if (!Number.isSafeInteger(size)) throw new Error("a size is no number");
      const isSparse = Object.keys(pax ?? {}).some((key) => key.startsWith("GNU.sparse."));
      end = start + entry.offset + BLOCK + Math.ceil(size / BLOCK) * BLOCK;
      yield { path: name, size, isFile: type === "file" && !isSparse, content: () => buffer(entry), end };
      entry.resume();
    }
  } catch (error) {
    // tar-stream reads beyond the end of a tar, where anything may follow. If the tar is damaged there, ctr reports it.
    const why = messageOf(error);
    if (end === 0 || !(why === NO_HEADER || (why === CUT_OFF && read >= end))) throw error;
  }
}
