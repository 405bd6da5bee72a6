// What a line of the log holds, made harmless and short: what a registry says may be anything, and syslog cuts lines.
import { printable } from "../core/plain-text.ts";

/** Bytes of JSON: with the time, the run and the message a line stays below 4 kB. */
const MOST = 3_600;
const SMALLEST = 64;

/** @param limit characters of each text and each list, halved until all fits */
export function bounded(fields: object, limit = 2_048): unknown {
  const short = shortened(fields, limit);
  const fits = Buffer.byteLength(JSON.stringify(short)) <= MOST;
  return fits || limit <= SMALLEST ? short : bounded(fields, limit / 2);
}

function shortened(value: unknown, limit: number): unknown {
  if (typeof value === "string") return cut(value, limit);
  if (Array.isArray(value)) return firstOf(value, limit);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, shortened(part, limit)]));
}

/** Line breaks stay: JSON escapes them. */
function cut(text: string, limit: number): string {
  const short = text.slice(0, limit).split("\n").map(printable).join("\n");
  return text.length <= limit ? short : `${short}… and ${text.length - limit} more characters`;
}

/** As many as have room, and the number of the others. */
function firstOf(list: readonly unknown[], limit: number): unknown[] {
  let room = limit;
  const left = list.findIndex((item) => (room -= JSON.stringify(item).length) < 0);
  const shown = (left === -1 ? list : list.slice(0, left)).map((item) => shortened(item, limit));
  return left === -1 ? shown : [...shown, `… and ${list.length - left} more`];
}
