// A temporary folder for the tests of one file, and what to write into it.
import { chmodSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll } from "vitest";

export interface Folder {
  readonly path: string;
  /** @returns the path of the new file */
  readonly write: (name: string, text: string | Buffer, mode?: number) => string;
  /** @returns the path of a new folder in it */
  readonly make: () => string;
}

/** Removed after the file's last test. */
export function temporaryFolder(): Folder {
  const folder = mkdtempSync(path.join(tmpdir(), "import-images-unit-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return {
    path: folder,
    write: (name, text, mode = 0o644) => {
      const file = path.join(folder, name);
      writeFileSync(file, text);
      chmodSync(file, mode);
      return file;
    },
    make: () => mkdtempSync(path.join(folder, "made-")),
  };
}

/** How often this process has a file open. */
export const timesOpen = (file: string): number =>
  readdirSync("/proc/self/fd").filter((descriptor) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`) === file;
    } catch {
      // That of the folder itself, which is over.
      return false;
    }
  }).length;
