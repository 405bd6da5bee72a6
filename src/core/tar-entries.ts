// What a tar says of its entries, as far as a layer's files are held against it: where each is, and how long.

export interface TarEntry {
  readonly path: string;
  /** Bytes of a regular file; undefined for everything else, and for a sparse file, of which the archive has only parts. */
  readonly size?: number;
}

const BLOCK = 512;
/** Types that have content which describes the next entry, or all that follow. */
const [LONG_NAME, LONG_LINK, NEXT, ALL, OLD_SPARSE] = ["L", "K", "x", "g", "S"];
const FILES = new Set(["0", "\0", "7"]);
/** Links, devices and directories: whatever their size says, no content follows. */
const BARE = /^[1-6]$/u;
/** Bytes of such a description. */
const MOST = 2 ** 20;

/** @throws Error for what is no tar archive, or one that is cut off */
export async function* tarEntries(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry> {
  const bytes = reader(chunks);
  let about: Readonly<Record<string, string>> = {};
  for (;;) {
    const header = await bytes.take(BLOCK);
    if (header === undefined || header.every((byte) => byte === 0)) return;
    const type = header.toString("latin1", 156, 157);
    const length = numberIn(about["size"] ?? header.subarray(124, 136));
    if (type === LONG_NAME || type === LONG_LINK || type === NEXT || type === ALL) {
      const told = await described(bytes, length);
      if (type === LONG_NAME) about = { ...about, path: textIn(told) };
      if (type === NEXT) about = { ...about, ...recordsIn(told) };
      continue;
    }
    if (type === OLD_SPARSE) await skipMap(bytes, header);
    const path = about["path"] ?? nameIn(header);
    const isSparse = Object.keys(about).some((key) => key.startsWith("GNU.sparse."));
    const isFile = FILES.has(type) && !isSparse && !path.endsWith("/");
    await bytes.skip(BARE.test(type) ? 0 : padded(length));
    about = {};
    yield isFile ? { path, size: length } : { path };
  }
}

const padded = (length: number): number => Math.ceil(length / BLOCK) * BLOCK;

async function described(bytes: ReturnType<typeof reader>, length: number): Promise<Buffer> {
  if (length > MOST) throw new Error("no tar archive");
  const all = await bytes.take(padded(length));
  if (all === undefined) throw new Error("the archive is cut off");
  return all.subarray(0, length);
}

/** GNU's oldest form goes on in blocks of its own, each of which says whether another follows. */
async function skipMap(bytes: ReturnType<typeof reader>, header: Buffer): Promise<void> {
  for (let more = header[482] === 1; more;) more = (await bytes.take(BLOCK))?.[504] === 1;
}

function nameIn(header: Buffer): string {
  const name = textIn(header.subarray(0, 100));
  const prefix = header.toString("latin1", 257, 263) === "ustar\0" ? textIn(header.subarray(345, 500)) : "";
  return prefix === "" ? name : `${prefix}/${name}`;
}

/** Up to the first zero byte. */
function textIn(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end === -1 ? field.length : end);
}

/** Octal, or binary where the first bit is set; decimal in a description. */
function numberIn(field: string | Buffer): number {
  if (typeof field !== "string" && ((field[0] ?? 0) & 0x80) !== 0)
    return field.readUIntBE(field.length - 6, 6);
  const text = typeof field === "string" ? field : textIn(field).trim();
  const number = Number.parseInt(text === "" ? "0" : text, typeof field === "string" ? 10 : 8);
  if (Number.isNaN(number)) throw new Error("no tar archive");
  return number;
}

/** `30 path=some/long/name\n`, each with its own length in front. */
function recordsIn(text: Buffer): Record<string, string> {
  const records: Record<string, string> = {};
  for (let at = 0; at < text.length;) {
    const length = Number.parseInt(text.toString("latin1", at, at + 20), 10);
    if (!(length > 0)) throw new Error("no tar archive");
    const record = text.toString("utf8", text.indexOf(" ", at) + 1, at + length - 1);
    const split = record.indexOf("=");
    records[record.slice(0, split)] = record.slice(split + 1);
    at += length;
  }
  return records;
}

/** Takes and skips bytes of a stream that comes in pieces of any length. */
function reader(chunks: AsyncIterable<Uint8Array>) {
  const iterator = chunks[Symbol.asyncIterator]();
  let rest: Buffer = Buffer.alloc(0);
  const more = async (): Promise<boolean> => {
    const { value, done } = await iterator.next();
    if (done === true) return false;
    rest =
      rest.length === 0
        ? Buffer.from(value.buffer, value.byteOffset, value.length)
        : Buffer.concat([rest, value]);
    return true;
  };
  return {
    /** Undefined at the end of the stream. */
    take: async (length: number): Promise<Buffer | undefined> => {
      while (rest.length < length) if (!(await more())) return undefined;
      const taken = rest.subarray(0, length);
      rest = rest.subarray(length);
      return taken;
    },
    skip: async (length: number): Promise<void> => {
      let left = length;
      while (rest.length < left) {
        left -= rest.length;
        rest = Buffer.alloc(0);
        if (!(await more())) throw new Error("the archive is cut off");
      }
      rest = rest.subarray(left);
    },
  };
}
