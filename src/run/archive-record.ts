// What was imported from which archive file: archives.json in the state directory. Losing it costs an import, no more.
import { readFile } from "node:fs/promises";
import path from "node:path";
import * as v from "valibot";
import { writeAtomically } from "../atomic-file.ts";
import type { Listing } from "../core/plan.ts";

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

export function archiveRecord(directory: string): ArchiveRecord {
  const file = path.join(directory, "archives.json");
  const fresh = new Map<string, { size: number; mtimeMs: number; names: readonly string[] }>();
  return {
    read: async (archive) => {
      const entry = (await load(file))[archive];
      return entry === undefined ? undefined : { ...entry, names: new Map(Object.entries(entry.names)) };
    },
    imported: (archive, { size, mtimeMs }, names) => void fresh.set(archive, { size, mtimeMs, names }),
    confirm: async (present) => {
      const known = await load(file);
      for (const [archive, { names, ...facts }] of fresh) {
        known[archive] = {
          ...facts,
          names: Object.fromEntries(names.map((name) => [name, present.get(name)?.id ?? ""])),
        };
      }
      save(file, known);
    },
  };
}

async function load(file: string): Promise<Recorded> {
  try {
    return v.parse(fileSchema, JSON.parse(await readFile(file, "utf8")));
  } catch {
    return {};
  }
}

function save(file: string, recorded: Recorded): void {
  try {
    writeAtomically(file, JSON.stringify(recorded, null, 1));
  } catch {
    // The next run imports again.
  }
}
