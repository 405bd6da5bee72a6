// What was imported from which archive file: archives.json in the state directory. Losing it costs an import, no more.
import path from "node:path";
import * as v from "valibot";
import type { Listing } from "../core/plan.ts";
import { readRegular, replaceRegular } from "./regular-file.ts";

export interface RecordedArchive {
  /** Bytes and modification time of the file that was imported. */
  readonly size: number;
  readonly mtimeMs: number;
  /** Image ids by the names that the import gave them. */
  readonly names: ReadonlyMap<string, string>;
}

export interface ArchiveRecord {
  readonly read: (archive: string) => Promise<RecordedArchive | undefined>;
  readonly imported: (
    archive: string,
    file: { size: number; mtimeMs: number },
    names: readonly string[],
  ) => void;
  /** Writes down what was imported, with the ids that the names have on the node. */
  readonly confirm: (present: Listing) => Promise<void>;
}

const fileSchema = v.record(
  v.string(),
  v.object({ size: v.number(), mtimeMs: v.number(), names: v.record(v.string(), v.string()) }),
);
type Recorded = v.InferOutput<typeof fileSchema>;

/** @param onProblem told once why the record cannot be read or written, which never fails a run */
export function archiveRecord(directory: string, onProblem: (why: string) => void): ArchiveRecord {
  const file = path.join(directory, "archives.json");
  const fresh = new Map<string, { size: number; mtimeMs: number; names: readonly string[] }>();
  let tell = onProblem;
  const attempt = <T>(act: () => T, otherwise: T): T => {
    try {
      return act();
    } catch (error) {
      tell(`the next run imports archives again: ${error instanceof Error ? error.message : String(error)}`);
      tell = () => {};
      return otherwise;
    }
  };
  return {
    read: async (archive) => {
      const entry = attempt(() => load(file), {})[archive];
      return entry === undefined ? undefined : { ...entry, names: new Map(Object.entries(entry.names)) };
    },
    imported: (archive, { size, mtimeMs }, names) => void fresh.set(archive, { size, mtimeMs, names }),
    confirm: async (present) => {
      const known = attempt(() => load(file), {});
      for (const [archive, { names, ...facts }] of fresh) {
        known[archive] = {
          ...facts,
          names: Object.fromEntries(names.map((name) => [name, present.get(name)?.id ?? ""])),
        };
      }
      attempt(() => replaceRegular(file, JSON.stringify(known, null, 1), 0o640), undefined);
    },
  };
}

/** Nothing where it is damaged. @throws Error where no file may be read */
function load(file: string): Recorded {
  const text = readRegular(file);
  try {
    return v.parse(fileSchema, JSON.parse(text ?? "{}"));
  } catch {
    return {};
  }
}
