// The door to the files that we keep. Only a regular file is read or replaced: by the time that root opens a path, a
// FIFO there would block for ever, a device would swallow what is written, and a link would lead elsewhere.
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { codeOf, messageOf } from "../core/plain-text.ts";

/** Bytes; the state of 5,000 images is a tenth of it. */
const MOST = 64 * 1024 * 1024;

/** Undefined when there is no such file. @throws Error with a sentence for a person, which names the path */
export function readRegular(file: string): string | undefined {
  return inWords(file, () => {
    try {
      const descriptor = openRegular(file, constants.O_RDONLY);
      using _closing = closing(descriptor);
      const { size } = fstatSync(descriptor);
      if (size > MOST) throw new Error(`it has ${size} bytes, which is too much`);
      return readFileSync(descriptor, "utf8");
    } catch (error) {
      if (codeOf(error) === "ENOENT") return undefined;
      throw error;
    }
  });
}

const closing = (descriptor: number): Disposable => ({ [Symbol.dispose]: () => closeSync(descriptor) });

/**
 * Makes file and directory if need be. What is appended suits logrotate's copytruncate.
 * @throws Error with a sentence for a person, which names the path; so does `append`
 */
export function appendRegular(file: string, mode: number) {
  const descriptor = inWords(file, () => {
    mkdirSync(path.dirname(file), { recursive: true });
    return openRegular(file, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT, mode);
  });
  const append = (text: string): void => inWords(file, () => writeFileSync(descriptor, text));
  return { append, ...closing(descriptor) };
}

/** Never waits for what is opened, and follows no link. */
function openRegular(file: string, flags: number, mode?: number): number {
  const descriptor = openSync(file, flags | constants.O_NONBLOCK | constants.O_NOFOLLOW, mode);
  if (fstatSync(descriptor).isFile()) return descriptor;
  closeSync(descriptor);
  throw new Error("not a regular file");
}

/**
 * The text appears whole or not at all: a reader never sees half of it, and a crash leaves the last true one. It is
 * not synced: after a power failure an older state is as true as any.
 * @param mode whatever the umask is
 * @throws Error with a sentence for a person, which names the path
 */
export function replaceRegular(file: string, text: string, mode: number): void {
  const temporary = `${file}.new`;
  requireRegular(file);
  // Whatever it is, except a directory.
  const remove = (): void => inWords(temporary, () => rmSync(temporary, { force: true }));
  remove();
  try {
    inWords(file, () => {
      writeAnew(temporary, text, mode);
      renameSync(temporary, file);
    });
  } catch (error) {
    remove();
    throw error;
  }
}

/** @throws the error that `act` throws, in words */
function inWords<T>(file: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw new Error(fileProblem(file, error), { cause: error });
  }
}

/** O_EXCL: nobody's link or file is written to, even if it came a moment ago. */
function writeAnew(file: string, text: string, mode: number): void {
  const descriptor = openSync(file, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode);
  using _closing = closing(descriptor);
  fchmodSync(descriptor, mode);
  writeFileSync(descriptor, text);
}

/** @throws Error that says what stands there instead of a file */
export function requireRegular(file: string): void {
  if (kindAt(file) !== undefined) throw new Error(fileProblem(file, undefined));
}

/** What failed with this file, for a person: what stands there instead of a file, or what the system says. */
export function fileProblem(file: string, error: unknown): string {
  const kind = kindAt(file);
  if (kind !== undefined) return `${file} is a ${kind}, not a regular file: remove it`;
  return `${file}: ${CODES[codeOf(error) ?? ""] ?? messageOf(error)}`;
}

const CODES: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full (df -h and df -i show it)",
  EDQUOT: "the disk quota is used up",
  EROFS: "the file system is read-only (dmesg may say why)",
  EACCES: "this user has no access to it: run as root",
  EPERM: "this user has no access to it: run as root",
  ENOENT: "its directory does not exist",
  ENOTDIR: "a part of the path is not a directory",
  EEXIST: "something else stands there",
  EIO: "the disk cannot be read or written (dmesg may say why)",
};

/** Undefined for a regular file, and where nothing can be seen. */
function kindAt(file: string): string | undefined {
  try {
    const found = lstatSync(file);
    if (found.isFile()) return undefined;
    if (found.isSymbolicLink()) return "symbolic link";
    if (found.isDirectory()) return "directory";
    if (found.isFIFO()) return "FIFO";
    return found.isSocket() ? "socket" : "device";
  } catch {
    return undefined;
  }
}
