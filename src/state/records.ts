// What a run leaves for the next one in the state directory. Losing it costs work, and fails no run: archives.json costs an
// import, but not while one is under way, whose names only it can put back; disk.json costs a longer look at the next start.
import { readFileSync } from "node:fs";
import path from "node:path";
import * as v from "valibot";
import { archiveRecord, type ArchiveRecord } from "../core/archives.ts";
import { messageOf } from "../core/plain-text.ts";
import { NOTHING_KNOWN, type DiskRecord } from "../core/written.ts";
import { readRegular, replaceRegular } from "./regular-file.ts";

/** Told why a record cannot be read or kept. */
type OnProblem = (why: string) => void;

interface RecordFile {
  readonly name: string;
  /** What it means that there is none. */
  readonly lost: string;
}

/** Undefined where there is none, or one that is damaged or written by another version. */
function read<Schema extends v.GenericSchema>(
  directory: string,
  { name, lost }: RecordFile,
  schema: Schema,
  onProblem: OnProblem,
): v.InferOutput<Schema> | undefined {
  try {
    const found = v.safeParse(
      v.pipe(v.string(), v.parseJson(), schema),
      readRegular(path.join(directory, name)),
    );
    return found.success ? found.output : undefined;
  } catch (error) {
    onProblem(`${lost}: ${messageOf(error)}`);
    return undefined;
  }
}

/** On the disk on return. */
function write(directory: string, { name, lost }: RecordFile, text: string, onProblem: OnProblem): void {
  try {
    replaceRegular(path.join(directory, name), text, 0o640, "synced");
  } catch (error) {
    onProblem(`${lost}: ${messageOf(error)}`);
  }
}

/** What was imported from which archive file. */
const ARCHIVES: RecordFile = { name: "archives.json", lost: "the next run imports archives again" };

export const readArchiveRecord = (directory: string, onProblem: OnProblem): ArchiveRecord =>
  read(directory, ARCHIVES, archiveRecord, onProblem) ?? { imported: {} };

export const writeArchiveRecord = (directory: string, record: ArchiveRecord, onProblem: OnProblem): void =>
  write(directory, ARCHIVES, JSON.stringify(record, null, 1), onProblem);

/** What is known of what is on the disk. */
const DISK: RecordFile = { name: "disk.json", lost: "the next run has to check every file again" };

const diskRecord = v.object({
  /** The boot in which `sound` was looked at. */
  boot: v.string(),
  sound: v.array(v.string()),
  written: v.record(v.string(), v.string()),
});

/** Of this boot; where that cannot be told, of this process alone. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return String(performance.timeOrigin);
  }
}

/** What was looked at in an earlier boot is to be looked at again. */
export function readDiskRecord(directory: string, onProblem: OnProblem): DiskRecord {
  const found = read(directory, DISK, diskRecord, onProblem);
  if (found === undefined) return NOTHING_KNOWN;
  return {
    sound: new Set(found.boot === bootId() ? found.sound : []),
    written: new Map(Object.entries(found.written)),
  };
}

export function writeDiskRecord(
  directory: string,
  { sound, written }: DiskRecord,
  onProblem: OnProblem,
): void {
  const record: v.InferOutput<typeof diskRecord> = {
    boot: bootId(),
    sound: [...sound],
    written: Object.fromEntries(written),
  };
  write(directory, DISK, JSON.stringify(record), onProblem);
}
