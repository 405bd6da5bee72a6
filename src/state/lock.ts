// One run at a time on a node. SQLite takes the kernel's file lock in this process: it ends with the process, however
// that ends, and needs no helper. The file stays empty, and only root can read it: a user who can read a file can lock
// it, and so block every run.
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
  /** Milliseconds to wait. */
  readonly patience: number;
  /** Ends the wait early with its reason. */
  readonly signal: AbortSignal;
  /** Describes who holds the lock, for the message. */
  readonly holder: () => string;
  readonly onWait: (holder: string) => void;
}

/** @throws ExitError (locked, or usage if the lock cannot be used), or the signal's reason */
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
    // On the first try, `status` may hold the lock for a moment.
    if (tries === 2) onWait(holder());
    await clock.sleep(POLL, signal);
  }
  return database;
}

/** Whether a run is in progress. Also false for a user without permission to read the lock. */
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

/** Does not open an existing file, because closing it would release this process's locks on it. */
function prepare(file: string): void {
  try {
    closeSync(openSync(file, "wx", 0o600));
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
    requireRegular(file);
    // SQLite opens a file that it cannot write for reading only, and then takes a shared lock.
    chmodSync(file, 0o600);
  }
}

/** With the journal in memory, SQLite writes nothing, so a full disk does not prevent a run. */
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
