// Access to the files that we keep. Only regular files are opened or replaced: a FIFO would block forever, a device
// would swallow what is written, and a link points elsewhere. Error messages are for people, and name the file.
import {
  closeSync,
  fchmodSync,
  fsyncSync,
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

/** @returns undefined if there is no such file */
export const readRegular = (file: string): string | undefined =>
  inWords(file, () => {
    try {
      requireRegular(file);
      return readFileSync(file, "utf8");
    } catch (error) {
      if (codeOf(error) === "ENOENT") return undefined;
      throw error;
    }
  });

/** Creates the file and its directory if needed. Appending works with logrotate's copytruncate. */
export function appendRegular(file: string, mode: number) {
  const descriptor = inWords(file, () => {
    mkdirSync(path.dirname(file), { recursive: true });
    requireRegular(file);
    return openSync(file, "a", mode);
  });
  return {
    append: (text: string): void => inWords(file, () => writeFileSync(descriptor, text)),
    [Symbol.dispose]: () => closeSync(descriptor),
  };
}

/**
 * Replaces the file atomically: no reader sees a part of the text, and a crash leaves the old or the new one. Without
 * `synced`, a power loss may lose the text. Most states allow that, because an older one is still true.
 * @param mode applied whatever the umask is
 */
export function replaceRegular(file: string, text: string, mode: number, synced?: "synced"): void {
  const temporary = `${file}.new`;
  inWords(file, () => {
    requireRegular(file);
    // A leftover may be anything, such as a partial file from when the disk was full.
    rmSync(temporary, { force: true });
    writeAnew(temporary, text, mode, synced !== undefined);
    renameSync(temporary, file);
    if (synced !== undefined) syncDirectory(path.dirname(file));
  });
}

/** Opens exclusively, so that it never writes to another's link or file, even one that was created a moment ago. */
function writeAnew(file: string, text: string, mode: number, flush: boolean): void {
  const descriptor = openSync(file, "wx", mode);
  try {
    fchmodSync(descriptor, mode);
    writeFileSync(descriptor, text, { flush });
  } finally {
    closeSync(descriptor);
  }
}

function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** @throws Error if something other than a regular file is there; a missing file is accepted */
export function requireRegular(file: string): void {
  if (lstatSync(file, { throwIfNoEntry: false })?.isFile() === false)
    throw new Error("not a regular file: remove it");
}

/** `/x/status.json: ENOSPC: no space left on device`. */
export const fileProblem = (file: string, error: unknown): string =>
  // Node appends the call and the path, which are cut off.
  `${file}: ${messageOf(error).split(", ", 1).join("")}`;

/** @throws the error of `act`, with a message that names the file */
function inWords<T>(file: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw new Error(fileProblem(file, error), { cause: error });
  }
}
