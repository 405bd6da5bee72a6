// Records in the state directory for the next run. Losing one fails no run: without disk.json, the next run checks more
// files; without archives.json, it imports archives again, but cannot restore the names of an unfinished import.
import { readFileSync } from "node:fs";
import path from "node:path";
import * as v from "valibot";
import { archiveRecord, type ArchiveRecord } from "../core/archives.ts";
import { messageOf } from "../core/plain-text.ts";
import { NOTHING_KNOWN, type DiskRecord } from "../core/written.ts";
import { readRegular, replaceRegular } from "./regular-file.ts";

/** Called with the reason if a record cannot be read or written. */
type OnProblem = (why: string) => void;

interface RecordFile {
  readonly name: string;
  /** What its loss means, for the message. */
  readonly lost: string;
}

/** @returns undefined if there is no record, or if it is damaged or written by another version */
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

/** The file is on the disk on return. */
function write(directory: string, { name, lost }: RecordFile, text: string, onProblem: OnProblem): void {
  try {
    replaceRegular(path.join(directory, name), text, 0o640, "synced");
  } catch (error) {
    onProblem(`${lost}: ${messageOf(error)}`);
  }
}

const ARCHIVES: RecordFile = { name: "archives.json", lost: "the next run imports archives again" };

export const readArchiveRecord = (directory: string, onProblem: OnProblem): ArchiveRecord =>
  read(directory, ARCHIVES, archiveRecord, onProblem) ?? { imported: {} };

export const writeArchiveRecord = (directory: string, record: ArchiveRecord, onProblem: OnProblem): void =>
  write(directory, ARCHIVES, JSON.stringify(record, null, 1), onProblem);

const DISK: RecordFile = { name: "disk.json", lost: "the next run has to check every file again" };

const diskRecord = v.object({
  /** The boot in which the images in `sound` were examined. */
  boot: v.string(),
  sound: v.array(v.string()),
  written: v.record(v.string(), v.string()),
});

/** The ID of this boot. If it cannot be read, the value is unique to this process. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return String(performance.timeOrigin);
  }
}

/** `sound` is empty after a reboot, so that everything is examined again. */
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
