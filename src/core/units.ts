// Parses durations as operators write them ("90s", "1h30m"), and formats durations and sizes for people.

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const WHOLE = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/u;
const PART = /(?<amount>\d+(?:\.\d+)?)(?<unit>ms|s|m|h)/gu;
/** Node fires longer timers at once, which would turn a long timeout into none. */
export const LONGEST_MS = 2 ** 31 - 1;

/** Milliseconds of a text such as `500ms`, `60s`, `1h30m`; undefined if it is no duration or more than 24 days. */
export function parseDuration(text: string): number | undefined {
  if (!WHOLE.test(text)) return undefined;
  const total = [...text.matchAll(PART)].reduce(
    (sum, { groups }) => sum + Number(groups?.["amount"]) * (UNITS[groups?.["unit"] ?? ""] ?? Number.NaN),
    0,
  );
  return total <= LONGEST_MS ? Math.round(total) : undefined;
}

/** `850ms`, `4.2s`, `3m05s`, `1h02m`. */
export function formatDuration(ms: number): string {
  if (Math.round(ms) < 1_000) return `${Math.round(ms)}ms`;
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1)}s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m${String(seconds % 60).padStart(2, "0")}s`;
  return `${Math.floor(seconds / 3_600)}h${String(Math.floor((seconds % 3_600) / 60)).padStart(2, "0")}m`;
}

const SIZES = ["B", "kB", "MB", "GB", "TB"];

/** Decimal units, as crictl prints them: `950B`, `12.3MB`. */
export function formatBytes(bytes: number): string {
  // Round before choosing the unit: 999,999 is 1.00MB, not the "1.00e+3kB" that toPrecision makes of it.
  const shown = Number(bytes.toPrecision(3));
  const power = Math.min(Math.floor(Math.log10(Math.max(shown, 1)) / 3), SIZES.length - 1);
  const value = shown / 1_000 ** power;
  return `${power === 0 || value >= 1_000 ? value.toFixed(0) : value.toPrecision(3)}${SIZES[power] ?? "B"}`;
}

/** `1 image`, `2 images`. */
export const counted = (number: number, noun: string): string =>
  `${number} ${noun}${number === 1 ? "" : "s"}`;
