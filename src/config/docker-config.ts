// The content of a docker config.json, as text or already parsed. Of all its ways to log in only `auths` is ours; what
// else it has is told, so that nobody takes a pull without credentials for one with them.
import * as v from "valibot";
import { credentialFromPair, parseAuth, registryScope, type Credential } from "../core/credentials.ts";
import { issueAt, type Issue, type Login, type PathKey } from "./issue.ts";
import { propertySet } from "./property-set.ts";

const UNUSABLE =
  "has an entry without usable credentials (auth as base64 of user:password, or username and password)";

interface DockerConfig {
  readonly logins: readonly Login[];
  /** About what is there and not used. */
  readonly warnings: readonly Issue[];
}

interface Entry {
  readonly credential: Credential | undefined;
  /** Forms of a login that it has, and that crictl cannot take. */
  readonly tokens: readonly string[];
}

const TOKENS = ["identitytoken", "registrytoken"] as const;

/** @param elsewhere an entry may be empty because its login is in a token or with a helper */
const entry = (elsewhere: boolean) =>
  v.pipe(
    propertySet(UNUSABLE),
    v.looseObject({
      auth: v.optional(v.string(UNUSABLE)),
      username: v.optional(v.string(UNUSABLE)),
      password: v.optional(v.string(UNUSABLE)),
    }),
    v.rawTransform(({ dataset: { value }, addIssue, NEVER }): Entry => {
      const { auth, username, password } = value;
      const tokens = TOKENS.filter((token) => Boolean(value[token]));
      const parsed = auth === undefined || auth === "" ? undefined : parseAuth(auth);
      if (parsed?.ok === true) return { credential: parsed.credential, tokens };
      if (parsed === undefined && username !== undefined && password !== undefined)
        return { credential: credentialFromPair(username, password), tokens };
      if (parsed === undefined && (elsewhere || tokens.length > 0)) return { credential: undefined, tokens };
      addIssue({ message: parsed === undefined ? UNUSABLE : `auth ${parsed.problem}` });
      return NEVER;
    }),
  );

const byHost = (elsewhere: boolean) => v.pipe(propertySet(UNUSABLE), v.record(v.string(), entry(elsewhere)));

const ROOT = ["docker_config"] as const;
const HELPERS = ["credsStore", "credHelpers"] as const;
const HELPER =
  "names a program on the machine that the file comes from; it is not used here, so give these logins in registries";
const TOKEN =
  "is not used: crictl takes only user and password, so give those, for example of a robot account";
const NOTHING = "has no `auths`, so it gives no credentials";
const OLD = "has no `auths`, like an old .dockercfg: its entries are used, but belong under `auths`";

const content = v.pipe(
  propertySet("must be a JSON object"),
  v.lazy((input) => {
    const helpers = HELPERS.filter((helper) => Boolean(Reflect.get(Object(input), helper)));
    const told = helpers.map((helper) => issueAt([...ROOT, helper], HELPER));
    const entries = byHost(helpers.length > 0);
    if (isOldForm(input))
      return v.pipe(
        entries,
        v.transform((auths) => collected(auths, ROOT, [issueAt(ROOT, OLD)])),
      );
    const isEmpty = helpers.length === 0 && !hasAuths(input) && Object.keys(Object(input)).length > 0;
    const warnings = isEmpty ? [issueAt(ROOT, NOTHING)] : told;
    return v.pipe(
      v.looseObject({ auths: v.optional(entries, {}) }),
      v.transform(({ auths }) => collected(auths, [...ROOT, "auths"], warnings)),
    );
  }),
);

const hasAuths = (input: unknown): boolean => Object.hasOwn(Object(input), "auths");

/** Entries of registries at the top, as before Docker 1.7 and in secrets of the type kubernetes.io/dockercfg. */
const isOldForm = (input: unknown): boolean =>
  !hasAuths(input) && Object.values(Object(input)).some((value) => Object.hasOwn(Object(value), "auth"));

function collected(
  auths: Readonly<Record<string, Entry>>,
  at: readonly PathKey[],
  warnings: readonly Issue[],
): DockerConfig {
  const entries = Object.entries(auths).map(([host, of]) => ({ ...of, host, keys: [...at, host] }));
  return {
    logins: entries.flatMap(({ host, credential, keys }) =>
      credential === undefined ? [] : [{ ...registryScope(host), credential, keys }],
    ),
    warnings: [
      ...warnings,
      ...entries.flatMap(({ keys, tokens }) => tokens.map((token) => issueAt([...keys, token], TOKEN))),
    ],
  };
}

/** JSON.parse's own message repeats the text, so it is dropped. */
const json = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }): unknown => {
    try {
      return JSON.parse(dataset.value);
    } catch {
      addIssue({ message: "is not the JSON of a docker config.json" });
      return NEVER;
    }
  }),
);

/** Logins in the order of the file. */
export const dockerConfig = v.lazy((input) => (typeof input === "string" ? v.pipe(json, content) : content));
