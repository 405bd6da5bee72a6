// Reads a tar as its bytes pass: the names at its top, and the text of the small documents in it.

const BLOCK = 512;
/** Bytes of a document that is read: of any, and of the few that list what an archive holds. */
const SMALL = 2 ** 20;
const LISTS = new Set(["manifest.json", "index.json", "oci-layout"]);
const LARGEST_LIST = 64 * SMALL;
/** Bytes of all documents, and how many names are kept; a root file system has more than anybody needs. */
const MOST_TEXT = 128 * SMALL;
const MOST_NAMES = 1_000;

interface Entry {
  readonly name: string;
  /** `0` is a file, `x` and `L` tell of the entry that follows. */
  readonly type: string;
  readonly size: number;
}

export class TarReader {
  /** Texts of what may be JSON, by the path in the tar, without `./`. */
  readonly documents = new Map<string, string>();
  /** The first part of each path. */
  readonly top = new Set<string>();
  /** Its end mark was seen, or what is no tar. */
  ended = false;
  #entry: Entry | undefined;
  #left = BLOCK;
  #wanted = true;
  #parts: Buffer[] = [];
  #textLeft = MOST_TEXT;
  #next: { name?: string; size?: number } = {};

  /** Whether the tar may end here. */
  get isBetweenFiles(): boolean {
    return this.ended || (this.#entry === undefined && this.#parts.length === 0);
  }

  push(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && !this.ended;) {
      const end = Math.min(chunk.length, at + this.#left);
      if (this.#wanted) this.#parts.push(chunk.subarray(at, end));
      this.#left -= end - at;
      at = end;
      if (this.#left === 0) this.#complete();
    }
  }

  /** Bytes to come that need not be pushed; they count as pushed. */
  skip(): number {
    if (this.ended || this.#wanted) return 0;
    const skipped = this.#left;
    this.#complete();
    return skipped;
  }

  #complete(): void {
    const bytes = Buffer.concat(this.#parts);
    this.#parts = [];
    if (this.#entry === undefined) this.#begin(bytes);
    else this.#end(this.#entry, bytes.subarray(0, this.#entry.size));
  }

  #begin(header: Buffer): void {
    const size = this.#next.size ?? numberIn(header, 124, 12);
    if (!Number.isSafeInteger(size) || size < 0 || header.every((byte) => byte === 0)) {
      this.ended = true;
      return;
    }
    const name = plainPath(this.#next.name ?? nameIn(header));
    const entry = { name, type: String.fromCharCode(header[156] ?? 0), size };
    this.#entry = entry;
    this.#left = Math.ceil(size / BLOCK) * BLOCK;
    const most = LISTS.has(name) ? LARGEST_LIST : Math.min(SMALL, this.#textLeft);
    this.#wanted = size <= most;
    if (this.#left === 0) this.#complete();
  }

  #end({ name, type }: Entry, content: Buffer): void {
    this.#entry = undefined;
    this.#left = BLOCK;
    const wanted = this.#wanted;
    this.#wanted = true;
    if (type === "L") this.#next = { ...this.#next, name: textIn(content, 0, content.length) };
    else if (type === "x") this.#next = { ...this.#next, ...extended(content.toString("utf8")) };
    if ("LKxg".includes(type)) return;
    this.#next = {};
    if (this.top.size < MOST_NAMES) this.top.add(name.split("/", 1)[0] ?? "");
    if (!wanted || !(content[0] === 0x7b || content[0] === 0x5b)) return;
    this.#textLeft -= content.length;
    this.documents.set(name, content.toString("utf8"));
  }
}

/** As containerd compares them. */
const plainPath = (name: string): string =>
  name
    .split("/")
    .filter((part, nth) => part !== "." && (part !== "" || nth === 0))
    .join("/");

function textIn(bytes: Buffer, at: number, length: number): string {
  const field = bytes.subarray(at, at + length);
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end === -1 ? field.length : end);
}

function nameIn(header: Buffer): string {
  const prefix = textIn(header, 257, 6).startsWith("ustar") ? textIn(header, 345, 155) : "";
  const name = textIn(header, 0, 100);
  return prefix === "" ? name : `${prefix}/${name}`;
}

/** Octal digits, or with the top bit set a number of base 256. */
function numberIn(header: Buffer, at: number, length: number): number {
  const first = header[at] ?? 0;
  if (first < 0x80) return Number.parseInt(textIn(header, at, length).trim() || "0", 8);
  return header.subarray(at + 1, at + length).reduce((sum, byte) => sum * 256 + byte, first & 0x7f);
}

/** Records of the form `LENGTH KEY=VALUE`, each with a line break. */
function extended(text: string): { name?: string; size?: number } {
  const value = (key: string): string | undefined =>
    new RegExp(`^\\d+ ${key}=(?<value>.*)$`, "mu").exec(text)?.groups?.["value"];
  const [name, size] = [value("path"), value("size")];
  return { ...(name !== undefined && { name }), ...(size !== undefined && { size: Number(size) }) };
}
