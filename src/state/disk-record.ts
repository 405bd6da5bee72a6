// What is known of what is on the disk: disk.json in the state directory. Losing it costs a longer look at the next start.
import { readFileSync } from "node:fs";
import path from "node:path";
import * as v from "valibot";
import { NOTHING_KNOWN, type DiskRecord } from "../core/written.ts";
import { messageOf } from "../core/plain-text.ts";
import { readRegular, replaceRegular } from "./regular-file.ts";

const fileIn = (directory: string): string => path.join(directory, "disk.json");

const schema = v.object({
  /** The boot in which `sound` was looked at. */
  boot: v.string(),
  sound: v.array(v.string()),
  written: v.record(v.string(), v.string()),
});

/** Of this boot; nothing where it cannot be told. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}

/**
 * What was looked at in an earlier boot is to be looked at again. Nothing where there is no record, or one that is damaged or
 * written by another version.
 * @param onProblem told why it cannot be read, which never fails a run
 */
export function readDiskRecord(directory: string, onProblem: (why: string) => void): DiskRecord {
  try {
    const text = readRegular(fileIn(directory));
    const found = v.safeParse(schema, JSON.parse(text ?? "{}"));
    if (!found.success) return NOTHING_KNOWN;
    const { boot, sound, written } = found.output;
    const isThis = boot !== "" && boot === bootId();
    return { sound: new Set(isThis ? sound : []), written: new Map(Object.entries(written)) };
  } catch (error) {
    if (!(error instanceof SyntaxError)) onProblem(forgotten(error));
    return NOTHING_KNOWN;
  }
}

/** On the disk on return. */
export function writeDiskRecord(
  directory: string,
  { sound, written }: DiskRecord,
  onProblem: (why: string) => void,
): void {
  const record: v.InferOutput<typeof schema> = {
    boot: bootId(),
    sound: [...sound],
    written: Object.fromEntries(written),
  };
  try {
    replaceRegular(fileIn(directory), JSON.stringify(record), 0o640, "synced");
  } catch (error) {
    onProblem(forgotten(error));
  }
}

const forgotten = (error: unknown): string =>
  `the next run has to check every file again: ${messageOf(error)}`;
