// What BOSH would refuse or do otherwise than meant, although this job's properties are right.
import { isMapping } from "./check-jobs.ts";
import type { PathKey } from "./issue.ts";

const JOB = "import-images";

export interface Warning {
  readonly keys: readonly PathKey[];
  readonly problem: string;
}

/** @param value a whole document */
export function warningsFor(value: unknown): Warning[] {
  if (!isMapping(value) || !("addons" in value)) return [];
  const isRuntimeConfig = !("instance_groups" in value);
  return [
    ...(isRuntimeConfig ? latestReleases(value["releases"]) : []),
    ...list(value["addons"]).flatMap((addon, index) => onlyWorker(addon, ["addons", index])),
  ];
}

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

const latestReleases = (releases: unknown): Warning[] =>
  list(releases).flatMap((release, index) =>
    isMapping(release) && release["name"] === JOB && release["version"] === "latest"
      ? [
          {
            keys: ["releases", index, "version"],
            problem: "the director refuses `latest` in a runtime config: write the version",
          },
        ]
      : [],
  );

/** Node pools of TKGI are instance groups named worker-POOL. */
function onlyWorker(addon: unknown, keys: readonly PathKey[]): Warning[] {
  if (!isMapping(addon) || !list(addon["jobs"]).some((job) => isMapping(job) && job["name"] === JOB))
    return [];
  const include = addon["include"];
  const groups = isMapping(include) ? list(include["instance_groups"]) : [];
  const index = groups.indexOf("worker");
  if (index === -1 || groups.some((group) => String(group).startsWith("worker-"))) return [];
  const problem =
    "leaves out node pools, which are instance groups named worker-POOL: include.jobs with name containerd and release kubo finds every worker";
  return [{ keys: [...keys, "include", "instance_groups", index], problem }];
}
