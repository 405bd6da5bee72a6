// Decodes a value to a Config, or to every problem at once: first single properties, then conflicts between entries.
import * as v from "valibot";
import type { Config } from "./config.ts";
import { readDockerConfig } from "./docker-config.ts";
import { issueAt, type Issue, type PathKey } from "./issue.ts";
import {
  conflicts,
  timesThatClash,
  unusedLogins,
  wantedArchives,
  wantedImages,
  type Parts,
} from "./resolve.ts";
import { configSchema, withoutUnset, type WrittenConfig } from "./schema.ts";

export type Decoded = ({ readonly ok: true; readonly config: Config } | { readonly ok: false }) & {
  readonly issues: readonly Issue[];
  readonly warnings: readonly Issue[];
};

/** @param value parsed JSON or YAML */
export function decodeConfig(value: unknown): Decoded {
  const given = withoutUnset(value);
  const written = v.safeParse(configSchema, given);
  const single = (written.issues ?? []).map(toIssue);
  const { images, registries, docker_config }: Partial<WrittenConfig> = Object(written.output);
  const docker = readDockerConfig(docker_config);
  const parts: Parts = {
    images: right("images", images, single),
    registries: right("registries", registries, single),
    dockerConfig: docker.logins,
  };
  const issues = [
    ...single,
    ...docker.issues,
    ...conflicts(parts),
    ...timesThatClash(Object(written.output), Object(given), single),
  ];
  if (!written.success || issues.length > 0) return { ok: false, issues, warnings: docker.warnings };
  const warnings = [...docker.warnings, ...unusedLogins(parts)];
  return { ok: true, config: toConfig(written.output, parts, warnings), issues, warnings };
}

const toIssue = ({ path, message }: v.BaseIssue<unknown>): Issue =>
  issueAt(
    (path ?? []).map(({ key }): PathKey => (typeof key === "number" ? key : String(key))),
    message,
  );

/** The valid items of a list, with their position: conflicts are reported even if other items are invalid. */
function right<Item>(name: string, list: readonly Item[] | undefined, issues: readonly Issue[]) {
  const wrong = new Set(issues.filter(({ keys }) => keys[0] === name).map(({ keys }) => keys[1]));
  const items = Array.isArray(list) ? list : [];
  return items
    .map((item: Item, index) => ({ ...item, keys: [name, index] }))
    .filter((_, index) => !wrong.has(index));
}

function toConfig(written: WrittenConfig, parts: Parts, warnings: readonly Issue[]): Config {
  const logins = [...parts.images, ...parts.registries, ...parts.dockerConfig];
  return {
    ...written,
    images: wantedImages(parts, written),
    archives: wantedArchives(written),
    warnings: warnings.map(({ path, problem }) => `${path}: ${problem}`),
    credentials: logins.flatMap(({ credential }) => credential ?? []),
  };
}
