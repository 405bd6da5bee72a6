// What was imported from which archive file: archives.json in the state directory. Losing it costs an import; but not while one
// is under way, whose names only it can put back.
import path from "node:path";
import * as v from "valibot";
import { archiveRecord, type ArchiveRecord } from "../core/archives.ts";
import { messageOf } from "../core/plain-text.ts";
import { readRegular, replaceRegular } from "./regular-file.ts";

const NOTHING: ArchiveRecord = { imported: {} };

const fileIn = (directory: string): string => path.join(directory, "archives.json");

/**
 * Nothing where there is none, or one that is damaged or written by another version.
 * @param onProblem told why it cannot be read, which never fails a run
 */
export function readArchiveRecord(directory: string, onProblem: (why: string) => void): ArchiveRecord {
  try {
    const text = readRegular(fileIn(directory));
    return v.parse(v.fallback(archiveRecord, NOTHING), JSON.parse(text ?? "null"));
  } catch (error) {
    if (!(error instanceof SyntaxError)) onProblem(forgotten(error));
    return NOTHING;
  }
}

/** On the disk on return. */
export function writeArchiveRecord(
  directory: string,
  record: ArchiveRecord,
  onProblem: (why: string) => void,
): void {
  try {
    replaceRegular(fileIn(directory), JSON.stringify(record, null, 1), 0o640, "synced");
  } catch (error) {
    onProblem(forgotten(error));
  }
}

const forgotten = (error: unknown): string => `the next run imports archives again: ${messageOf(error)}`;
