// The content of a docker config.json, as text or already parsed. Of all its ways to log in only `auths` is ours; what
// else it has is told, so that nobody takes a pull without credentials for one with them.
import { credentialFromPair, parseAuth, registryScope, type Credential } from "../core/credentials.ts";
import { issueAt, type Issue, type Login, type PathKey } from "./issue.ts";
import { isMapping, parseJson, type Mapping } from "./value.ts";

const ROOT = ["docker_config"] as const;
const UNUSABLE =
  "has an entry without usable credentials (auth as base64 of user:password, or username and password)";
const HELPER =
  "names a program on the machine that the file comes from; it is not used here, so give these logins in registries";
const TOKEN =
  "is not used: crictl takes only user and password, so give those, for example of a robot account";
const NOTHING = "has no `auths`, so it gives no credentials";
const OLD = "has no `auths`, like an old .dockercfg: its entries are used, but belong under `auths`";

interface DockerConfig {
  /** In the order of the file. */
  readonly logins: readonly Login[];
  readonly issues: readonly Issue[];
  /** About what is there and not used. */
  readonly warnings: readonly Issue[];
}

/** @param given the property; undefined if it is not there */
export function readDockerConfig(given: unknown): DockerConfig {
  const content = typeof given === "string" ? parseJson(given) : (given ?? {});
  if (content === undefined) return refused(issueAt(ROOT, "is not the JSON of a docker config.json"));
  if (!isMapping(content)) return refused(issueAt(ROOT, "must be a JSON object"));
  const { auths } = content;
  const isOld = auths === undefined && isOldForm(content);
  const helpers = ["credsStore", "credHelpers"].filter((helper) => Boolean(content[helper]));
  const read = isOld
    ? entriesOf(content, ROOT, false)
    : entriesOf(auths ?? {}, [...ROOT, "auths"], helpers.length > 0);
  return { ...read, warnings: [...warningsOf(content, isOld, helpers), ...read.warnings] };
}

function warningsOf(content: Mapping, isOld: boolean, helpers: readonly string[]): Issue[] {
  if (isOld) return [issueAt(ROOT, OLD)];
  if (helpers.length > 0) return helpers.map((helper) => issueAt([...ROOT, helper], HELPER));
  return "auths" in content || Object.keys(content).length === 0 ? [] : [issueAt(ROOT, NOTHING)];
}

const refused = (issue: Issue): DockerConfig => ({ logins: [], issues: [issue], warnings: [] });

/** Entries of registries at the top, as before Docker 1.7 and in secrets of the type kubernetes.io/dockercfg. */
const isOldForm = (content: object): boolean =>
  Object.values(content).some((value) => Object.hasOwn(Object(value), "auth"));

/** @param elsewhere whether a program has logins, so that an entry may be empty */
function entriesOf(auths: unknown, at: readonly PathKey[], elsewhere: boolean): DockerConfig {
  if (!isMapping(auths)) return refused(issueAt(at, UNUSABLE));
  const [logins, issues, warnings]: [Login[], Issue[], Issue[]] = [[], [], []];
  for (const [host, entry] of Object.entries(auths)) {
    const keys = [...at, host];
    const tokens = ["identitytoken", "registrytoken"].filter((token) => Boolean(Object(entry)[token]));
    warnings.push(...tokens.map((token) => issueAt([...keys, token], TOKEN)));
    const read = credentialIn(entry);
    if (typeof read === "object") logins.push({ ...registryScope(host), credential: read, keys });
    else if (read !== undefined || !(elsewhere || tokens.length > 0))
      issues.push(issueAt(keys, read ?? UNUSABLE));
  }
  return { logins, issues, warnings };
}

/** @returns a problem as text; undefined where there is no credential */
function credentialIn(entry: unknown): Credential | string | undefined {
  if (!isMapping(entry)) return UNUSABLE;
  const { auth = "", username = "", password = "" } = entry;
  if (typeof auth !== "string" || typeof username !== "string" || typeof password !== "string")
    return UNUSABLE;
  if (auth !== "") {
    const parsed = parseAuth(auth);
    return typeof parsed === "string" ? `auth ${parsed}` : parsed;
  }
  return "username" in entry && "password" in entry ? credentialFromPair(username, password) : undefined;
}
