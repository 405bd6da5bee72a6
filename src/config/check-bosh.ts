// Where this job's properties stand in what a BOSH operator writes (runtime config, manifest, ops file, or alone), and
// what BOSH would refuse there or do otherwise than meant.
import { issueAt, type Issue, type PathKey } from "./issue.ts";
import { isMapping, type Mapping } from "./value.ts";

const JOB = "import-images";

/** Properties of this job, or a part of them. */
export interface Found {
  /** What to decode. */
  readonly value: unknown;
  /** From the document's root to what is written there. */
  readonly keys: readonly PathKey[];
  /** From the properties to what is written there: not empty when an operation sets only a part of them. */
  readonly part: readonly PathKey[];
}

/** Lists of a manifest that hold jobs, or hold what holds jobs. `templates` is from before BOSH 2. */
const HOLDERS = ["addons", "instance_groups", "jobs", "templates"] as const;

/** Whether a document is for BOSH, as opposed to the properties alone, as in config.json. */
export const isForBosh = (value: unknown): boolean =>
  isOperations(value) ||
  (isMapping(value) && (isJob(value) || [...HOLDERS, "releases"].some((key) => key in value)));

/** @param value a whole document */
export function findProperties(value: unknown): Found[] {
  if (!isForBosh(value)) return [{ value, keys: [], part: [] }];
  if (!isOperations(value)) return jobsIn(value, []);
  return value.flatMap((operation, index) => ofOperation(operation, [index, "value"]));
}

/** An addon or group of the same name has jobs of its own; a release of the same name has neither. */
const isJob = (value: Mapping): boolean =>
  value["name"] === JOB && ("properties" in value || "release" in value) && !("jobs" in value);

function jobsIn(value: unknown, keys: readonly PathKey[], inherited: unknown = {}): Found[] {
  if (Array.isArray(value)) return value.flatMap((item, index) => jobsIn(item, [...keys, index], inherited));
  if (!isMapping(value)) return [];
  if (isJob(value))
    return "properties" in value
      ? [{ value: value["properties"], keys: [...keys, "properties"], part: [] }]
      : [{ value: inherited, keys, part: [] }];
  const shared = value["properties"] ?? inherited;
  return HOLDERS.flatMap((key) => jobsIn(value[key], [...keys, key], shared));
}

const isOperations = (value: unknown): value is readonly Mapping[] =>
  Array.isArray(value) &&
  value.length > 0 &&
  value.every((one) => isMapping(one) && typeof one["path"] === "string" && "type" in one);

function ofOperation({ path, value }: Mapping, keys: readonly PathKey[]): Found[] {
  if (value === undefined) return [];
  const tokens = String(path).split("/").slice(1).map(unescaped);
  const job = tokens.findLastIndex((token, index) => token === `name=${JOB}` && isJobList(tokens[index - 1]));
  if (job === -1 || tokens[job + 1] === undefined) return jobsIn(value, keys);
  if (tokens[job + 1] !== "properties") return [];
  const part = tokens.slice(job + 2).map((token) => (isElement(token) ? 0 : token));
  return [{ value: within(part, value), keys, part }];
}

const unescaped = (token: string): string =>
  token.replace(/\?$/u, "").replaceAll("~1", "/").replaceAll("~0", "~");
const isJobList = (token: string | undefined): boolean => token === "jobs" || token === "templates";
/** `-`, an index or `name=value`, each of them perhaps with `:before` or `:after`. */
const isElement = (token: string): boolean => /^(?:-|-?\d+|[^=]+=.*)(?::\w+)?$/u.test(token);

/** The properties with only this part of them, and `images`, which may not be missing. */
function within([first, ...rest]: readonly PathKey[], value: unknown): unknown {
  if (first === undefined) return value;
  const inner = rest.reduceRight((part, key) => (typeof key === "number" ? [part] : { [key]: part }), value);
  return { images: [], [first]: inner };
}

/** What is odd although the properties are right. @param value a whole document */
export function warningsFor(value: unknown): Issue[] {
  if (!isMapping(value) || !("addons" in value)) return [];
  const isRuntimeConfig = !("instance_groups" in value);
  return [
    ...(isRuntimeConfig ? listed(value["releases"]).flatMap(latestRelease) : []),
    ...listed(value["addons"]).flatMap(onlyWorker),
  ];
}

const listed = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

function latestRelease(release: unknown, index: number): Issue[] {
  if (!isMapping(release) || release["name"] !== JOB || release["version"] !== "latest") return [];
  const problem = "the director refuses `latest` in a runtime config: write the version";
  return [issueAt(["releases", index, "version"], problem)];
}

/** Node pools of TKGI are instance groups named worker-POOL. */
function onlyWorker(addon: unknown, index: number): Issue[] {
  const { jobs, include }: Mapping = Object(addon);
  if (!listed(jobs).some((job) => isMapping(job) && job["name"] === JOB)) return [];
  const groups = listed(Object(include)["instance_groups"]);
  const worker = groups.indexOf("worker");
  if (worker === -1 || groups.some((group) => String(group).startsWith("worker-"))) return [];
  const problem =
    "leaves out node pools, which are instance groups named worker-POOL: include.jobs with name containerd and release kubo finds every worker";
  return [issueAt(["addons", index, "include", "instance_groups", worker], problem)];
}
