// unknown -> Config, or every problem at once: first each property by itself, then the images among each other.
import * as v from "valibot";
import type { Config } from "./config.ts";
import { issueAt, type Issue, type PathKey } from "./issue.ts";
import { conflicts, wantedArchives, wantedImages, type Entry } from "./resolve.ts";
import { configSchema, imageSchema, withoutUnset, type WrittenConfig } from "./schema.ts";

export type Decoded =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly issues: readonly Issue[] };

/** @param value parsed JSON or YAML */
export function decodeConfig(value: unknown): Decoded {
  const given = withoutUnset(value);
  const written = v.safeParse(configSchema, given);
  const entries = written.success ? written.output.images.map(toEntry) : readableEntries(given);
  const issues = [...(written.issues ?? []).map(toIssue), ...conflicts(entries)];
  if (!written.success || issues.length > 0) return { ok: false, issues: unique(issues) };
  return { ok: true, config: toConfig(written.output, entries) };
}

const toEntry = (image: Entry["image"], index: number): Entry => ({ image, index });

/** The entries that are right by themselves, so that conflicts among them are told in the same go. */
function readableEntries(given: unknown): Entry[] {
  const { success, output } = v.safeParse(v.object({ images: v.array(v.unknown()) }), given);
  if (!success) return [];
  return output.images.flatMap((raw, index) => {
    const image = v.safeParse(imageSchema, raw);
    return image.success ? [toEntry(image.output, index)] : [];
  });
}

function toIssue(issue: v.BaseIssue<unknown>): Issue {
  const keys = (issue.path ?? []).map((item): PathKey =>
    typeof item.key === "number" ? item.key : String(item.key),
  );
  return issueAt(keys, issue.message);
}

const unique = (issues: readonly Issue[]): Issue[] => [
  ...new Map(issues.map((issue) => [`${issue.path}: ${issue.problem}`, issue])).values(),
];

function toConfig(written: WrittenConfig, entries: readonly Entry[]): Config {
  const registries = [...written.registries, ...written.docker_config];
  const defaults = { pin: written.pin, timeout: written.image_timeout, registries };
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
    allowCredentialsInArgv: written.allow_credentials_in_argv,
    logLevel: written.log_level,
    ...(written.metrics_file === undefined ? {} : { metricsFile: written.metrics_file }),
    credentials: [...own, ...registries.map((entry) => entry.credential)],
  };
}
