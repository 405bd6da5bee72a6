// The configuration as the rest of the program knows it: every default applied, every text parsed.
import type { WantedArchive } from "../core/archives.ts";
import type { Credential } from "../core/credentials.ts";
import type { WantedImage } from "../core/plan.ts";
import type { RetryPolicy } from "../core/retry.ts";

export const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Where the runtime is. Paths are absolute; `readyTimeout` in milliseconds. */
export interface ContainerdConfig {
  readonly crictl: string;
  readonly ctr: string;
  readonly socket: string;
  readonly namespace: string;
  readonly readyTimeout: number;
}

/** All times in milliseconds. */
export interface Config {
  readonly images: readonly WantedImage[];
  readonly archives: readonly WantedArchive[];
  readonly onFailure: "fail" | "warn";
  readonly concurrency: number | "auto";
  readonly retry: RetryPolicy;
  readonly stallTimeout: number;
  readonly deadline: number;
  readonly startJitter: number;
  /** Percent of the image file system, 0 is off. */
  readonly minFreePercent: number;
  readonly containerd: ContainerdConfig;
  /** Where the kubelet keeps its records of pulled images; need not exist. */
  readonly kubeletRoot: string;
  readonly allowCredentialsInArgv: boolean;
  readonly logLevel: LogLevel;
  /** Absolute path for the result of a run in the Prometheus text format. */
  readonly metricsFile?: string;
  /** What the log should say at the start of a run, such as logins that no image uses. */
  readonly warnings: readonly string[];
  /** Every credential that was read, used or not: all of them are redacted. */
  readonly credentials: readonly Credential[];
}
