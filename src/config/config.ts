// The configuration as the rest of the program knows it: the properties by their own names, with every default applied.
import type { WantedArchive } from "../core/archives.ts";
import type { Credential } from "../core/credentials.ts";
import type { WantedImage } from "../core/plan.ts";
import type { WrittenConfig } from "./schema.ts";

/** What each image has by now. */
type Merged = "images" | "archives" | "registries" | "docker_config" | "pin" | "image_timeout";

/** All times in milliseconds. */
export interface Config extends Readonly<Omit<WrittenConfig, Merged>> {
  readonly images: readonly WantedImage[];
  readonly archives: readonly WantedArchive[];
  /** What the log should say at the start of a run, such as logins that no image uses. */
  readonly warnings: readonly string[];
  /** Every credential that was read, used or not: all of them are redacted. */
  readonly credentials: readonly Credential[];
}

/** Where the runtime is. */
export type ContainerdConfig = Readonly<Config["containerd"]>;
export type LogLevel = Config["log_level"];
