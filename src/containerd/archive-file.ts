// Archives and layers as files: their compression, the tar inside, and what an archive holds.
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { posix } from "node:path";
import { addAbortSignal, pipeline, type Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { Extract } from "tar-stream";
import {
  damagedArchive,
  namesInArchive,
  type Documents,
  type ArchivedName,
} from "../core/archive-content.ts";
import { Failed, type Failure } from "../core/failure.ts";
import { codeOf, messageOf } from "../core/plain-text.ts";

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
  if (!("unpack" in compression)) throw new Failed(unsupported(compression.name));
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
/** Bytes of zeros at the end of a tar. Whatever follows them is not part of it. */
const END = 2 * BLOCK;
/** tar-stream's message. */
const CUT_OFF = "Unexpected end of data";

/**
 * Entries of a tar, compressed or not. A compressed one is read to its end: only then is it known to be whole.
 * @throws the system's error if the file cannot be read; another if it is not a tar, is truncated or is not supported
 */
export async function* tarEntries(path: string, signal?: AbortSignal): AsyncGenerator<TarEntry> {
  // Loaded on demand, like zlib and crypto, because the program seldom needs it.
  const { extract } = await import("tar-stream");
  // Missing in the types. Without it, tar-stream rejects a tar of the old format.
  const options: object = { allowUnknownFormat: true };
  const reading = { tar: () => extract(options), ...(signal && { signal }) };
  const unpacked = await unpackedStream(path);
  if (unpacked !== undefined) return yield* entriesIn(unpacked, reading, (at) => endsIn(path, at));
  const { size } = await stat(path);
  for (let next: number | undefined = 0; next !== undefined;) {
    const start: number = next;
    if (start > size) throw new Error(CUT_OFF);
    next = undefined;
    const rest = createReadStream(path, { start, highWaterMark: CHUNK });
    const isEnd = (at: number): Promise<boolean> => endsIn(path, start + at);
    for await (const entry of entriesIn(rest, reading, isEnd)) {
      yield entry;
      if (!entry.isFile || entry.size < LARGE) continue;
      next = start + entry.end;
      break;
    }
  }
}

interface Reading {
  readonly tar: () => Extract;
  readonly signal?: AbortSignal;
}

/** @param isEnd whether the tar ends at this offset after an entry, because tar-stream reads beyond its end */
async function* entriesIn(
  archive: Readable,
  { tar, signal }: Reading,
  isEnd: (at: number) => Promise<boolean>,
): AsyncGenerator<TarEntry> {
  if (signal !== undefined) addAbortSignal(signal, archive);
  let last = 0;
  try {
    for await (const entry of entriesOf(archive, tar())) {
      last = entry.end;
      yield entry;
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (codeOf(error) !== undefined || !(await isEnd(last))) throw error;
  }
}

async function* entriesOf(archive: Readable, tar: Extract): AsyncGenerator<TarEntry> {
  // The loop throws the errors of both streams.
  pipeline(archive, tar, () => {});
  for await (const entry of tar) {
    const { name, size, type, pax } = entry.header;
    // tar-stream would wait for the end of such a file.
    if (!Number.isSafeInteger(size)) throw new Error("a size is no number");
    const isSparse = Object.keys(pax ?? {}).some((key) => key.startsWith("GNU.sparse."));
    yield {
      path: name,
      size,
      isFile: (type === "file" || type === "contiguous-file") && !isSparse,
      content: () => buffer(entry),
      end: entry.offset + BLOCK + Math.ceil(size / BLOCK) * BLOCK,
    };
    entry.resume();
  }
}

/** Whether the tar ends at this offset. A compressed file is read to its own end. */
async function endsIn(path: string, at: number): Promise<boolean> {
  const found = Buffer.alloc(END, 1);
  const unpacked = await unpackedStream(path);
  let passed = unpacked === undefined ? at : 0;
  for await (const chunk of unpacked ?? createReadStream(path, { start: at, end: at + END - 1 })) {
    if (!Buffer.isBuffer(chunk)) continue;
    const [from, to] = [Math.max(at, passed), Math.min(at + END, passed + chunk.length)];
    if (from < to) chunk.copy(found, from - at, from - passed, to - passed);
    passed += chunk.length;
  }
  return found.every((byte) => byte === 0);
}

/** Maximum bytes of a document to read: of any, and of the few that list what an archive holds. */
const SMALL = 2 ** 20;
const LISTS = new Set(["manifest.json", "index.json", "oci-layout"]);
const LARGEST_LIST = 64 * SMALL;
/** Maximum bytes of all documents, and number of top-level names; a root file system has more than we need. */
const MOST_TEXT = 128 * SMALL;
const MOST_NAMES = 1_000;

/** Reads the archive once, without containerd. @throws the system's error if the file cannot be read */
export async function readArchive(path: string, signal: AbortSignal): Promise<ArchivedName[] | Failure> {
  let found: Documents;
  try {
    found = await documentsIn(path, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Failed) return error.failure;
    if (error instanceof Error && "syscall" in error) throw error;
    const why = messageOf(error);
    return codeOf(error) === "ZSTD_error_frameParameter_windowTooLarge"
      ? WINDOW
      : damagedArchive(REASONS[why] ?? why);
  }
  const { createHash } = await import("node:crypto");
  return namesInArchive(found, (text) => `sha256:${createHash("sha256").update(text).digest("hex")}`);
}

async function documentsIn(path: string, signal: AbortSignal): Promise<Documents> {
  const documents = new Map<string, string>();
  const top = new Set<string>();
  let left = MOST_TEXT;
  for await (const entry of tarEntries(path, signal)) {
    const name = posix.normalize(entry.path);
    if (top.size < MOST_NAMES) top.add(name.split("/", 1)[0] ?? "");
    if (!entry.isFile || entry.size > (LISTS.has(name) ? LARGEST_LIST : Math.min(SMALL, left))) continue;
    const content = await entry.content();
    if (content[0] !== 0x7b && content[0] !== 0x5b) continue;
    left -= content.length;
    documents.set(name, content.toString("utf8"));
  }
  return { documents, top };
}

/** tar-stream's messages, reworded. */
const REASONS: Readonly<Record<string, string>> = {
  [CUT_OFF]: "it ends in the middle of a file",
  "Invalid tar header. Maybe the tar is corrupted or it needs to be gunzipped?":
    "it has an invalid tar header",
};

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
