export interface TarEntry {
  name: string;
  content?: Buffer;
  mode?: number;
  /** Makes it a symbolic link. */
  linkTo?: string;
  directory?: boolean;
  /** Any other kind: `x` and `L` tell of the entry that follows. */
  type?: string;
}

const block = 512;

/** A reproducible ustar archive: no owner but root, no time but the epoch. Names have at most 100 bytes. */
export function tar(entries: readonly TarEntry[]): Buffer {
  const parts = entries.flatMap((entry) => {
    const content = entry.content ?? Buffer.alloc(0);
    return [header(entry, content.length), content, Buffer.alloc(-content.length & (block - 1))];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * block)]);
}

function header(entry: TarEntry, size: number): Buffer {
  const result = Buffer.alloc(block);
  if (Buffer.byteLength(entry.name) > 100) throw new Error(`too long for ustar: ${entry.name}`);
  result.write(entry.name, 0);
  result.write(octal(entry.mode ?? (entry.directory === true ? 0o755 : 0o644), 8), 100);
  result.write(octal(0, 8), 108);
  result.write(octal(0, 8), 116);
  result.write(octal(size, 12), 124);
  result.write(octal(0, 12), 136);
  result.write(" ".repeat(8), 148);
  result.write(typeFlag(entry), 156);
  result.write(entry.linkTo ?? "", 157);
  result.write("ustar\u000000", 257);
  const sum = result.reduce((total, byte) => total + byte, 0);
  result.write(`${sum.toString(8).padStart(6, "0")}\u0000 `, 148);
  return result;
}

function typeFlag(entry: TarEntry): string {
  if (entry.type !== undefined) return entry.type;
  if (entry.linkTo !== undefined) return "2";
  return entry.directory === true ? "5" : "0";
}

function octal(value: number, width: number): string {
  return `${value.toString(8).padStart(width - 1, "0")}\u0000`;
}
