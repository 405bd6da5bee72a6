// Finds this job's properties in a runtime config or manifest, and warns where BOSH would not do what was meant.
import { issueAt, type Issue, type PathKey } from "./issue.ts";
import { isMapping, type Mapping } from "./value.ts";

const JOB = "import-images";

export interface Found {
  readonly value: unknown;
  /** Path from the document's root to the properties. */
  readonly keys: readonly PathKey[];
}

/** Lists whose items have `jobs`. */
const HOLDERS = ["addons", "instance_groups"] as const;

/** Whether a document is for BOSH. Otherwise it holds only the properties, like config.json. */
export const isForBosh = (value: unknown): boolean =>
  isMapping(value) && [...HOLDERS, "releases"].some((key) => key in value);

/** @param value a whole document */
export function findProperties(value: unknown): Found[] {
  if (!isForBosh(value)) return [{ value, keys: [] }];
  return HOLDERS.flatMap((key) =>
    listed(value, key).flatMap((holder, index) =>
      listed(holder, "jobs").flatMap((job, nth) => ofJob(job, [key, index, "jobs", nth])),
    ),
  );
}

const ofJob = (job: unknown, keys: readonly PathKey[]): Found[] =>
  isOurs(job) ? [{ value: job["properties"] ?? {}, keys: [...keys, "properties"] }] : [];

const isOurs = (job: unknown): job is Mapping => isMapping(job) && job["name"] === JOB;

function listed(holder: unknown, key: string): readonly unknown[] {
  const list: unknown = isMapping(holder) ? holder[key] : undefined;
  return Array.isArray(list) ? list : [];
}

/** TKGI's node pools are instance groups named worker-POOL. @param value a whole document */
export const warningsFor = (value: unknown): Issue[] => listed(value, "addons").flatMap(onlyWorker);

function onlyWorker(addon: unknown, index: number): Issue[] {
  if (!isMapping(addon) || !listed(addon, "jobs").some(isOurs)) return [];
  const groups = listed(addon["include"], "instance_groups");
  const worker = groups.indexOf("worker");
  if (worker === -1 || groups.some((group) => String(group).startsWith("worker-"))) return [];
  const problem =
    "leaves out node pools, which are instance groups named worker-POOL: include.jobs with name containerd and release kubo finds every worker";
  return [issueAt(["addons", index, "include", "instance_groups", worker], problem)];
}
