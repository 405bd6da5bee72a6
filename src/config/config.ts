// The configuration that all other code uses: properties under their own names, with every default applied.
import type { WantedArchive } from "../core/archives.ts";
import type { Credential } from "../core/credentials.ts";
import type { WantedImage } from "../core/plan.ts";
import type { WrittenConfig } from "./schema.ts";

/** Properties that are redefined here or are already merged into each image. */
type Merged = "images" | "archives" | "registries" | "docker_config" | "pin" | "image_timeout";

/** All times in milliseconds. */
export interface Config extends Readonly<Omit<WrittenConfig, Merged>> {
  readonly images: readonly WantedImage[];
  readonly archives: readonly WantedArchive[];
  /** Logged at the start of a run, such as logins that no image uses. */
  readonly warnings: readonly string[];
  /** Every credential in the configuration, used or not, for redaction. */
  readonly credentials: readonly Credential[];
}

export type ContainerdConfig = Readonly<Config["containerd"]>;
export type LogLevel = Config["log_level"];
