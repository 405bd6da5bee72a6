// Reads a docker config.json: parsed, as text, or as base64 of the text, as in Kubernetes' secrets. Uses only `auths`.
// Any other kind of login causes a warning, so that no one expects a pull to use it.
import { credentialFromPair, parseAuth, registryScope, type Credential } from "../core/credentials.ts";
import { issueAt, type Issue, type Login } from "./issue.ts";
import { DOCKER_CONFIG } from "./schema.ts";
import { isMapping, parseJson, type Mapping } from "./value.ts";

const ROOT = ["docker_config"] as const;
const SECRET = 'is a whole Kubernetes Secret: give only what is in its data[".dockerconfigjson"]';
const NO_AUTHS = "must have its logins under `auths`, as docker login writes them";
const UNUSABLE =
  "has an entry without usable credentials (auth as base64 of user:password, or username and password)";
const HELPER =
  "names a program on the machine that the file comes from; it is not used here, so give these logins in registries";
const TOKEN =
  "is not used: crictl takes only user and password, so give those, for example of a robot account";

interface DockerConfig {
  /** In file order. */
  readonly logins: readonly Login[];
  readonly issues: readonly Issue[];
  /** About logins that are present but not used. */
  readonly warnings: readonly Issue[];
}

/** @param given value of `docker_config`; undefined if it is not set */
export function readDockerConfig(given: unknown): DockerConfig {
  const content = typeof given === "string" ? parsed(given) : (given ?? {});
  if (!isMapping(content)) return refused(issueAt(ROOT, DOCKER_CONFIG));
  if ("data" in content || "stringData" in content) return refused(issueAt(ROOT, SECRET));
  const helpers = ["credsStore", "credHelpers"].filter((helper) => Boolean(content[helper]));
  if (!("auths" in content) && helpers.length === 0 && Object.keys(content).length > 0)
    return refused(issueAt(ROOT, NO_AUTHS));
  const { logins, issues, warnings } = entriesOf(content["auths"] ?? {}, helpers.length > 0);
  const unused = helpers.map((helper) => issueAt([...ROOT, helper], HELPER));
  return { logins, issues, warnings: [...unused, ...warnings] };
}

const parsed = (text: string): unknown =>
  parseJson(text) ?? parseJson(Buffer.from(text, "base64").toString());

const refused = (issue: Issue): DockerConfig => ({ logins: [], issues: [issue], warnings: [] });

/** @param elsewhere whether a credential helper holds logins, so that an entry may be empty */
function entriesOf(auths: unknown, elsewhere: boolean): DockerConfig {
  const at = [...ROOT, "auths"];
  if (!isMapping(auths)) return refused(issueAt(at, UNUSABLE));
  const [logins, issues, warnings]: [Login[], Issue[], Issue[]] = [[], [], []];
  for (const [host, entry] of Object.entries(auths)) {
    const keys = [...at, host];
    const tokens = ["identitytoken", "registrytoken"].filter(
      (token) => isMapping(entry) && Boolean(entry[token]),
    );
    warnings.push(...tokens.map((token) => issueAt([...keys, token], TOKEN)));
    const read = isMapping(entry) ? credentialIn(entry) : UNUSABLE;
    if (typeof read === "object") logins.push({ ...registryScope(host), credential: read, keys });
    else if (read !== undefined || !(elsewhere || tokens.length > 0))
      issues.push(issueAt(keys, read ?? UNUSABLE));
  }
  return { logins, issues, warnings };
}

/** @returns the credential, or a problem as text; undefined if the entry has no credential */
function credentialIn(entry: Mapping): Credential | string | undefined {
  const { auth = "", username = "", password = "" } = entry;
  if (typeof auth !== "string" || typeof username !== "string" || typeof password !== "string")
    return UNUSABLE;
  if (auth !== "") {
    const credential = parseAuth(auth);
    return typeof credential === "string" ? `auth ${credential}` : credential;
  }
  return "username" in entry && "password" in entry ? credentialFromPair(username, password) : undefined;
}
