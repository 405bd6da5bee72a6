// What the program has of the process it runs in. Made in main.ts, the only module that touches `process`.
import { printable } from "./core/plain-text.ts";
import type { Input } from "./config/load.ts";
import type { Machine } from "./run/context.ts";

export interface Output {
  /** Never waits, and never throws. */
  write(text: string): void;
  /** Bytes that its reader has not taken yet; while there are any, what can be left out had better be. */
  readonly pending?: number;
  /** Columns of a terminal that can redraw a line, as it is now; undefined where there is none. */
  readonly columns: number | undefined;
  /** Its lines. */
  readonly rows?: number | undefined;
}

/** Where BOSH puts things. */
interface Paths {
  readonly config: string;
  /** Directory of import-images.log. */
  readonly log: string;
  /** Directory of status.json and the lock. */
  readonly state: string;
}

/** @param environment two of its variables exist for tests and for trying it out beside a BOSH VM */
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
  /** Tells which of them it was. */
  readonly stoppedBy: () => NodeJS.Signals | undefined;
}

/** @returns a function that writes a warning for a person */
export const warnOn =
  ({ stderr }: Pick<Edge, "stderr">) =>
  (why: string): void =>
    stderr.write(`warning: ${printable(why)}\n`);
