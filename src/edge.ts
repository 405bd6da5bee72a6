// What the program uses of its process. Created in main.ts, the only module that touches `process`.
import { printable } from "./core/plain-text.ts";
import type { Input } from "./config/load.ts";
import type { Machine } from "./run/context.ts";

export interface Output {
  /** Never blocks, and never throws. */
  write(text: string): void;
  /** Bytes that the reader has not taken yet. While there are any, optional output should be left out. */
  readonly pending?: number;
  /** Current columns of a terminal that can redraw a line; undefined if there is none. */
  readonly columns: number | undefined;
  readonly rows?: number | undefined;
}

/** Paths as BOSH lays them out. */
interface Paths {
  readonly config: string;
  /** Directory of import-images.log. */
  readonly log: string;
  /** Directory of status.json and the lock. */
  readonly state: string;
}

/** @param environment two of its variables serve tests and trials outside a BOSH VM */
export const paths = (environment: Readonly<Record<string, string | undefined>>): Paths => ({
  config: "/var/vcap/jobs/import-images/config/config.json",
  log: environment["IMPORT_IMAGES_LOG_DIR"] ?? "/var/vcap/sys/log/import-images",
  state: environment["IMPORT_IMAGES_STATE_DIR"] ?? "/var/vcap/data/import-images",
});

export interface Edge extends Pick<Machine, "platform"> {
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly paths: Paths;
  readonly pid: number;
  /** Aborted with a Failed by SIGTERM, SIGINT and SIGHUP. */
  readonly signal: AbortSignal;
  /** The signal that aborted it. */
  readonly stoppedBy: () => NodeJS.Signals | undefined;
}

/** @returns a function that writes a warning for people */
export const warnOn =
  ({ stderr }: Pick<Edge, "stderr">) =>
  (why: string): void =>
    stderr.write(`warning: ${printable(why)}\n`);
