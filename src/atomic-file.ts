// Files of the state directory, written so that a reader never sees half of one and a crash leaves the last true one.
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";

/** Makes the directory if need be. It is not synced: after a power failure an older state is as true as any. */
export function writeAtomically(file: string, text: string): void {
  mkdirSync(path.dirname(file), { recursive: true });
  const temporary = `${file}.new`;
  writeFileSync(temporary, text, { mode: 0o640 });
  renameSync(temporary, file);
}
