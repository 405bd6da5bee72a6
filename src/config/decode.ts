// unknown -> Config, or every problem at once: first each property by itself, then the images among each other.
import * as v from "valibot";
import type { Config } from "./config.ts";
import { dockerConfig } from "./docker-config.ts";
import { issueAt, type Issue, type Login, type PathKey } from "./issue.ts";
import { conflicts, unusedLogins, wantedArchives, wantedImages, type Entry, type Logins } from "./resolve.ts";
import { configSchema, imageSchema, registrySchema, withoutUnset, type WrittenConfig } from "./schema.ts";

export type Decoded =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly Issue[] }
  | { readonly ok: false; readonly issues: readonly Issue[] };

/** @param value parsed JSON or YAML */
export function decodeConfig(value: unknown): Decoded {
  const given = withoutUnset(value);
  const written = v.safeParse(configSchema, given);
  const { entries, logins } = written.success ? partsOf(written.output) : readableParts(given);
  const issues = [...(written.issues ?? []).map(toIssue), ...conflicts(entries, logins)];
  if (!written.success || issues.length > 0) return { ok: false, issues: unique(issues) };
  const warnings = [...(written.output.docker_config?.warnings ?? []), ...unusedLogins(entries, logins)];
  return { ok: true, config: toConfig(written.output, { entries, logins }, warnings), warnings };
}

/** What has to be seen together. */
interface Parts {
  readonly entries: readonly Entry[];
  readonly logins: Logins;
}

const partsOf = (written: Pick<WrittenConfig, "images" | "registries" | "docker_config">): Parts => ({
  entries: written.images.map((image, index) => ({ image, index })),
  logins: {
    registries: written.registries.map((login, index): Login => ({ ...login, keys: ["registries", index] })),
    dockerConfig: written.docker_config?.logins ?? [],
  },
});

/** The parts that are right by themselves, so that conflicts among them are told in the same go. */
function readableParts(given: unknown): Parts {
  const { images, registries, docker_config }: Readonly<Record<string, unknown>> = Object(given);
  const docker = v.safeParse(dockerConfig, docker_config);
  return {
    entries: readable(images, imageSchema).map(([index, image]) => ({ image, index })),
    logins: {
      registries: readable(registries, registrySchema).map(([index, login]): Login => ({
        ...login,
        keys: ["registries", index],
      })),
      dockerConfig: docker.success ? docker.output.logins : [],
    },
  };
}

/** The items of a list that are right, with their place in it. */
function readable<Item>(list: unknown, schema: v.GenericSchema<unknown, Item>): (readonly [number, Item])[] {
  if (!Array.isArray(list)) return [];
  return list.flatMap((raw: unknown, index) => {
    const item = v.safeParse(schema, raw);
    return item.success ? [[index, item.output] as const] : [];
  });
}

function toIssue(issue: v.BaseIssue<unknown>): Issue {
  const keys = (issue.path ?? []).map((item): PathKey =>
    typeof item.key === "number" ? item.key : String(item.key),
  );
  return issueAt(keys, issue.message);
}

const unique = (issues: readonly Issue[]): Issue[] => [
  ...new Map(issues.map((issue) => [`${JSON.stringify(issue.keys)}: ${issue.problem}`, issue])).values(),
];

function toConfig(written: WrittenConfig, { entries, logins }: Parts, warnings: readonly Issue[]): Config {
  const defaults = { pin: written.pin, timeout: written.image_timeout, logins };
  const own = entries.flatMap(({ image }) => (image.credential === undefined ? [] : [image.credential]));
  return {
    images: wantedImages(entries, defaults),
    archives: wantedArchives(written.archives, defaults),
    onFailure: written.on_failure,
    concurrency: written.concurrency,
    retry: {
      attempts: written.retry.attempts,
      minDelay: written.retry.min_delay,
      maxDelay: written.retry.max_delay,
    },
    stallTimeout: written.stall_timeout,
    deadline: written.deadline,
    startJitter: written.start_jitter,
    minFreePercent: written.disk.min_free_percent,
    containerd: {
      crictl: written.containerd.crictl,
      ctr: written.containerd.ctr,
      socket: written.containerd.socket,
      namespace: written.containerd.namespace,
      readyTimeout: written.containerd.ready_timeout,
    },
    kubeletRoot: written.kubelet.root_dir,
    allowCredentialsInArgv: written.allow_credentials_in_argv,
    logLevel: written.log_level,
    ...(written.metrics_file === undefined ? {} : { metricsFile: written.metrics_file }),
    warnings: warnings.map(({ path, problem }) => `${path}: ${problem}`),
    credentials: [
      ...own,
      ...[...logins.registries, ...logins.dockerConfig].map(({ credential }) => credential),
    ],
  };
}
