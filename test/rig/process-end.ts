import process from "node:process";

const cleanups = new Set<() => void>();
const endingSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
let watching = false;

/** Runs a synchronous cleanup when this process ends or is ended; returns how to call that off. */
export function onProcessEnd(cleanup: () => void): () => void {
  cleanups.add(cleanup);
  watch();
  return () => cleanups.delete(cleanup);
}

function watch(): void {
  if (watching) return;
  watching = true;
  process.once("exit", runAll);
  for (const signal of endingSignals) process.once(signal, () => endBy(signal));
}

function endBy(signal: NodeJS.Signals): void {
  runAll();
  // Our handler is gone by now (once): unless somebody else handles the signal, it ends the process as it would have.
  if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
}

// The latest first: processes before the folders they use.
function runAll(): void {
  for (const cleanup of [...cleanups].toReversed()) {
    cleanups.delete(cleanup);
    cleanup();
  }
}
