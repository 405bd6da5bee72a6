// One run at a time on a node. SQLite's file lock is the kernel's, taken in this process: it dies with its holder,
// however that ends, and needs no helper process. The file stays empty and is root's alone: whoever may read a file may
// lock it, and so hold up every run.
import { chmodSync, closeSync, mkdirSync, openSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { codeOf, messageOf } from "../core/plain-text.ts";
import { formatDuration } from "../core/units.ts";
import { EXIT, ExitError } from "../exit.ts";
import { fileProblem, requireRegular } from "./regular-file.ts";

const POLL = 200;
const fileIn = (directory: string): string => path.join(directory, "lock");

export interface LockWish {
  readonly clock: {
    readonly now: () => number;
    readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  };
  readonly directory: string;
  /** Milliseconds. */
  readonly patience: number;
  /** Ends the wait early with its reason. */
  readonly signal: AbortSignal;
  /** Who holds it, for the message. */
  readonly holder: () => string;
  readonly onWait: (holder: string) => void;
}

/** @throws ExitError (locked, or usage when the lock cannot be used) */
export async function takeLock(wish: LockWish): Promise<Disposable> {
  const { clock, directory, patience, signal, holder, onWait } = wish;
  const database = open(directory);
  const start = clock.now();
  for (let tries = 1; !tryLock(database, fileIn(directory)); tries += 1) {
    const waited = clock.now() - start;
    if (waited >= patience) {
      database.close();
      throw new ExitError(
        EXIT.locked,
        `another run holds the lock (${holder()}); waited ${formatDuration(waited)}. ` +
          "See what it does with: import-images status",
      );
    }
    // The first time it may be held by `status`, for a moment.
    if (tries === 2) onWait(holder());
    await clock.sleep(POLL, signal);
  }
  return database;
}

/** Whether a run is in progress; false as well for a user who has no right to ask. */
export function lockIsHeld(directory: string): boolean {
  const file = fileIn(directory);
  try {
    requireRegular(file);
    using database = new DatabaseSync(file, { readOnly: true });
    database.exec("BEGIN; SELECT 1 FROM sqlite_schema");
    return false;
  } catch (error) {
    return isBusy(error);
  }
}

function open(directory: string): DatabaseSync {
  const file = fileIn(directory);
  try {
    mkdirSync(directory, { recursive: true });
    prepare(file);
    return new DatabaseSync(file);
  } catch (error) {
    throw unusable(fileProblem(file, error));
  }
}

/** Looks at the path and opens nothing that is there: to close a file gives up this process's locks on it. */
function prepare(file: string): void {
  try {
    closeSync(openSync(file, "wx", 0o600));
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
    requireRegular(file);
    // What it may not write SQLite would open for reading, and share.
    chmodSync(file, 0o600);
  }
}

/** The journal in memory: nothing is ever written, and so a full disk stops no run. */
function tryLock(database: DatabaseSync, file: string): boolean {
  try {
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    return true;
  } catch (error) {
    if (isBusy(error)) return false;
    throw unusable(`${file}: ${messageOf(error)}: remove it`);
  }
}

const isBusy = (error: unknown): boolean => error instanceof Error && /locked|busy/iu.test(error.message);

const unusable = (why: string): ExitError =>
  new ExitError(EXIT.usage, `the lock cannot be used, so nothing was done: ${why}`);
