// One run at a time on a node. SQLite's file lock is the kernel's, taken in this process: it dies with its holder,
// however that ends, needs no helper process, and cannot be held by anyone who may not write the state directory.
import { mkdirSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { formatDuration } from "../core/units.ts";
import { EXIT, ExitError } from "../exit.ts";

const POLL = 200;
const LOCK = "lock";

/**
 * @param patience milliseconds
 * @param signal ends the wait early with its reason
 * @param holder who seems to hold it, for the message
 * @throws ExitError (locked, or usage when the directory cannot be written)
 */
export async function takeLock(
  directory: string,
  patience: number,
  signal: AbortSignal,
  holder: () => Promise<string>,
  onWait: (holder: string) => void,
): Promise<Disposable> {
  const database = open(directory);
  const start = performance.now();
  for (let first = true; !tryLock(database, path.join(directory, LOCK)); first = false) {
    if (first) onWait(await holder());
    if (performance.now() - start >= patience) {
      database.close();
      throw await held(performance.now() - start, holder);
    }
    await sleep(POLL, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
  return { [Symbol.dispose]: () => database.close() };
}

function open(directory: string): DatabaseSync {
  try {
    mkdirSync(directory, { recursive: true });
    return new DatabaseSync(path.join(directory, LOCK), { timeout: 0 });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ExitError(
      EXIT.usage,
      `the state directory ${directory} cannot be written (${why}): run as root`,
    );
  }
}

function tryLock(database: DatabaseSync, file: string): boolean {
  try {
    database.exec("BEGIN EXCLUSIVE");
    return true;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    if (/locked|busy/iu.test(why)) return false;
    throw new ExitError(EXIT.usage, `the lock ${file} cannot be used (${why}): delete it, and run as root`);
  }
}

async function held(waited: number, holder: () => Promise<string>): Promise<ExitError> {
  return new ExitError(
    EXIT.locked,
    `another run holds the lock (${await holder()}); waited ${formatDuration(waited)}. ` +
      "See what it does with: import-images status",
  );
}
