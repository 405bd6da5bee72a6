// The door to the files that we keep. Only a regular file is opened or replaced: a FIFO would block for ever, a device
// would swallow what is written, and a link leads elsewhere. What is thrown is for a person, and names the file.
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

/** Undefined when there is no such file. */
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

/** Makes file and directory if need be. What is appended suits logrotate's copytruncate. */
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
 * The text appears whole or not at all: a reader never sees half of it, and a crash leaves the last true one. Unless
 * `synced` it may be lost with the power: most states are as true when they are older.
 * @param mode whatever the umask is
 */
export function replaceRegular(file: string, text: string, mode: number, synced?: "synced"): void {
  const temporary = `${file}.new`;
  inWords(file, () => {
    requireRegular(file);
    // A full disk may have left half of one, and anybody anything.
    rmSync(temporary, { force: true });
    writeAnew(temporary, text, mode, synced !== undefined);
    renameSync(temporary, file);
    if (synced !== undefined) syncDirectory(path.dirname(file));
  });
}

/** Exclusively: nobody's link or file is written to, even if it came a moment ago. */
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

/** @throws Error when something else stands there; not when nothing does */
export function requireRegular(file: string): void {
  if (lstatSync(file, { throwIfNoEntry: false })?.isFile() === false)
    throw new Error("not a regular file: remove it");
}

/** `/x/status.json: ENOSPC: no space left on device`. */
export const fileProblem = (file: string, error: unknown): string =>
  // Node adds call and path.
  `${file}: ${messageOf(error).split(", ", 1).join("")}`;

/** @throws the error that `act` throws, in words */
function inWords<T>(file: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw new Error(fileProblem(file, error), { cause: error });
  }
}
