// ctr reads plain tar files only, so a compressed archive is unpacked on the way to its stdin.
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { pipeline, type Readable, type Transform } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";

const MAGIC: readonly { readonly bytes: readonly number[]; readonly unpack: () => Transform }[] = [
  { bytes: [0x1f, 0x8b], unpack: createGunzip },
  { bytes: [0x28, 0xb5, 0x2f, 0xfd], unpack: createZstdDecompress },
];

/** Known to those who make archives, and not to us. */
const UNSUPPORTED: readonly { readonly bytes: readonly number[]; readonly name: string }[] = [
  { bytes: [0xfd, 0x37, 0x7a, 0x58], name: "xz" },
  { bytes: [0x42, 0x5a, 0x68], name: "bzip2" },
];

/** Its message is the name of the compression. */
export class UnknownCompression extends Error {
  override readonly name = "UnknownCompression";
}

/** The tar inside a compressed archive; undefined for one that is a tar itself. */
export async function unpackedStream(path: string): Promise<Readable | undefined> {
  const begin = await firstBytes(path, 4);
  const begins = ({ bytes }: { readonly bytes: readonly number[] }): boolean =>
    bytes.every((byte, index) => begin[index] === byte);
  const unsupported = UNSUPPORTED.find(begins);
  if (unsupported !== undefined) throw new UnknownCompression(unsupported.name);
  const format = MAGIC.find(begins);
  if (format === undefined) return undefined;
  // An error of the unpacking ends the stream early, and ctr tells what it makes of that.
  return pipeline(createReadStream(path), format.unpack(), () => {});
}

async function firstBytes(path: string, count: number): Promise<Buffer> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(count), 0, count, 0);
  return buffer.subarray(0, bytesRead);
}
