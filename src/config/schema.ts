// Schema of the written configuration: BOSH's properties in config.json or YAML, each parsed alone. resolve.ts compares
// entries with each other. Messages never repeat a value, because it may be a secret.
import * as v from "valibot";
import {
  AUTH,
  credentialFromPair,
  isScope,
  parseAuth,
  registryScope,
  withoutLineEnd,
  type Credential,
} from "../core/credentials.ts";
import { parseReference } from "../core/reference.ts";
import { parseDuration } from "../core/units.ts";
import type { Login } from "./issue.ts";
import { isMapping, type Mapping } from "./value.ts";

export const DOCKER_CONFIG = "must be a docker config.json: a mapping, its JSON, or base64 of that";

/** JSON schema for properties_schema.json if the type is not enough. BOSH checks it before it touches an instance. */
const inJson = <Input>(json: Mapping): v.MetadataAction<Input, { readonly json: Mapping }> =>
  v.metadata({ json });
const likeText = (pattern: string) => ({ type: "string", pattern });

const TEXT = "must be text (quote it)";
const flag = v.boolean("must be true or false");

/** Text that `parse` converts to a value, or to a problem as text. @param message if it is not text */
const parsed = <Value extends object | number>(message: string, parse: (text: string) => Value | string) =>
  v.pipe(
    v.string(message),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      const value = parse(dataset.value);
      if (typeof value !== "string") return value;
      addIssue({ message: value });
      return NEVER;
    }),
  );

const NAME = "must be an image reference, in quotes if it looks like a number";
const REFERENCE =
  "(?:[A-Za-z0-9._:\\[\\]-]+/)?[a-z0-9][a-z0-9._/-]*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha[0-9]+:[0-9a-f]{64,128})?";
const reference = v.pipe(parsed(NAME, parseReference), inJson(likeText(`^${REFERENCE}$`)));
/** One name or a list. Selected by the value's type, so that a problem is reported for the element, not the union. */
const furtherNames = v.pipe(
  v.lazy((given) =>
    Array.isArray(given)
      ? v.array(reference)
      : v.pipe(
          reference,
          v.transform((only) => [only]),
        ),
  ),
  inJson({
    description: `${NAME}, or a list of them`,
    anyOf: [
      likeText(`^(?:${REFERENCE})?$`),
      { type: "array", items: { ...likeText(`^${REFERENCE}$`), description: NAME } },
    ],
  }),
);

const DURATION = "must be a duration such as 500ms, 60s or 1h30m, at most 24 days";
const duration = v.pipe(
  parsed(DURATION, (written) => parseDuration(written) ?? DURATION),
  inJson(likeText("^([0-9]+([.][0-9]+)?(ms|s|m|h))+$")),
);
const positiveDuration = v.pipe(duration, v.minValue(1, "must be longer than zero"));
const SCOPE = "must be a registry such as harbor.example.com, 10.0.0.5:5000 or harbor.example.com/team-a";
const scope = v.pipe(
  parsed(SCOPE, (written) => {
    const read = registryScope(written);
    return isScope(read) ? read : SCOPE;
  }),
  inJson(likeText("^\\s*[A-Za-z0-9.:/*?_\\[\\]-]+\\s*$")),
);
const shaped = (form: RegExp, message: string) => v.pipe(v.string(message), v.regex(form, message));
const absolutePath = v.pipe(
  shaped(/^\/\P{Cc}*$/u, "must be an absolute path without control characters"),
  inJson(likeText("^/")),
);
/** node_exporter ignores all other files in its directory. */
const metricsFile = v.pipe(
  shaped(/^\/(?:\P{Cc}*\/)?[^/\p{Cc}]+\.prom$/u, "must be an absolute path that ends in .prom"),
  inJson(likeText("^/.*[.]prom$")),
);
function wholeNumber(least: number, most: number) {
  const message = `must be a whole number from ${least} to ${most}`;
  return v.pipe(v.number(message), v.integer(message), v.minValue(least, message), v.maxValue(most, message));
}

const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace"] as const;

export const UNKNOWN_PROPERTY = "is not a property that this job knows";

/** Reports every unknown property; valibot's own strictObject reports only the first. */
const strict = <Entries extends v.ObjectEntries>(entries: Entries) =>
  v.pipe(
    v.custom<Mapping>(isMapping, "must be a set of properties"),
    v.lazy((given) => {
      const unknown = Object.keys(Object(given)).filter((key) => !Object.hasOwn(entries, key));
      const refused = unknown.map((key) => [key, v.never(UNKNOWN_PROPERTY)]);
      return v.object<Entries, string>({ ...entries, ...Object.fromEntries(refused) }, "is missing");
    }),
  );

const USER = "must be a user name, without a colon";
const credentialEntries = {
  auth: v.optional(v.pipe(parsed(AUTH, parseAuth), inJson(likeText("^[A-Za-z0-9+/\\s]*={0,2}\\s*$")))),
  username: v.optional(
    v.pipe(
      v.string(USER),
      v.transform(withoutLineEnd),
      v.nonEmpty(USER),
      v.check((user) => !user.includes(":"), USER),
      inJson(likeText("^[^:]*$")),
    ),
  ),
  password: v.optional(v.string(TEXT)),
};

interface WrittenCredential {
  auth?: Credential | undefined;
  username?: string | undefined;
  password?: string | undefined;
}

function oneLogin<Entry extends WrittenCredential>({ dataset, addIssue }: v.RawCheckContext<Entry>): void {
  if (!dataset.typed) return;
  const { auth, username, password } = dataset.value;
  if ((username === undefined) !== (password === undefined))
    addIssue({ message: "needs username and password together" });
  if (auth !== undefined && username !== undefined)
    addIssue({ message: "has both auth and username: give one of them" });
}

function withCredential<Entry extends WrittenCredential>({ auth, username, password, ...rest }: Entry) {
  const isPair = username !== undefined && password !== undefined;
  return { ...rest, credential: isPair ? credentialFromPair(username, password) : auth };
}

const image = v.pipe(
  strict({
    name: reference,
    ...credentialEntries,
    retagAs: v.optional(furtherNames, []),
    pullPolicy: v.optional(v.picklist(["Always", "IfNotPresent"], "must be Always or IfNotPresent")),
    required: v.optional(flag, true),
    pin: v.optional(flag),
    timeout: v.optional(positiveDuration),
  }),
  v.rawCheck((context) => oneLogin(context)),
  v.transform((entry) => withCredential(entry)),
);
export type WrittenImage = v.InferOutput<typeof image>;

const registry = v.pipe(
  strict({ host: scope, ...credentialEntries }),
  v.rawCheck((context) => oneLogin(context)),
  v.transform((entry) => withCredential(entry)),
  v.rawTransform(({ dataset: { value }, addIssue, NEVER }): Omit<Login, "keys"> => {
    if (value.credential !== undefined) return { ...value.host, credential: value.credential };
    addIssue({ message: "has no credentials: give auth, or username and password" });
    return NEVER;
  }),
);

const archive = strict({ path: absolutePath, required: v.optional(flag), pin: v.optional(flag) });

const retry = strict({
  attempts: v.optional(wholeNumber(1, 100), 5),
  min_delay: v.optional(duration, "1s"),
  max_delay: v.optional(duration, "30s"),
});

const containerd = strict({
  crictl: v.optional(absolutePath, "/var/vcap/packages/containerd/bin/crictl"),
  ctr: v.optional(absolutePath, "/var/vcap/packages/containerd/bin/ctr"),
  socket: v.optional(absolutePath, "/var/vcap/sys/run/containerd/containerd.sock"),
  ready_timeout: v.optional(positiveDuration, "120s"),
});

/** Every property with its type and default. properties.yml describes them. Durations are parsed to milliseconds. */
export const configSchema = strict({
  images: v.array(image, "must be a list"),
  registries: v.optional(v.array(registry, "must be a list"), []),
  /** Parsed in docker-config.ts. */
  docker_config: v.optional(
    v.pipe(v.unknown(), inJson({ type: ["object", "string"], description: DOCKER_CONFIG })),
  ),
  pin: v.optional(flag, true),
  on_failure: v.optional(v.picklist(["fail", "warn"], "must be fail or warn"), "fail"),
  concurrency: v.optional(
    v.union([v.literal("auto"), wholeNumber(1, 64)], "must be auto or a whole number from 1 to 64"),
    "auto",
  ),
  retry: v.optional(retry, {}),
  registry_timeout: v.optional(positiveDuration, "5m"),
  stall_timeout: v.optional(positiveDuration, "60s"),
  image_timeout: v.optional(positiveDuration, "30m"),
  deadline: v.optional(positiveDuration, "60m"),
  start_jitter: v.optional(duration, "0s"),
  disk: v.optional(strict({ min_free_percent: v.optional(wholeNumber(0, 99), 0) }), {}),
  containerd: v.optional(containerd, {}),
  kubelet: v.optional(strict({ root_dir: v.optional(absolutePath, "/var/lib/kubelet") }), {}),
  archives: v.optional(v.array(archive, "must be a list"), []),
  allow_credentials_in_argv: v.optional(flag, false),
  metrics_file: v.optional(metricsFile),
  log_level: v.optional(v.picklist(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(", ")}`), "info"),
});
export type WrittenConfig = v.InferOutput<typeof configSchema>;

/** Properties that count as unset if they are an empty string, as in the bash release. */
const EMPTY_IS_UNSET = new Set(["auth", "retagAs", "username", "password", "docker_config"]);

/** Drops what counts as unset: null, which BOSH renders for an unset property, and some empty strings. */
export function withoutUnset(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUnset);
  if (!isMapping(value)) return value;
  const kept = Object.entries(value).filter(
    ([key, entry]) => entry !== null && !(entry === "" && EMPTY_IS_UNSET.has(key)),
  );
  return Object.fromEntries(kept.map(([key, entry]) => [key, withoutUnset(entry)]));
}
