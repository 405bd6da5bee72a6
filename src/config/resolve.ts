// Resolves the entries of a configuration against each other: merges duplicates, finds conflicts, assigns credentials.
import { mergeArchives, type WantedArchive } from "../core/archives.ts";
import { loginFor } from "../core/credentials.ts";
import { isPinName } from "../core/pins.ts";
import type { WantedImage } from "../core/plan.ts";
import { hasOtherDigest, type Reference } from "../core/reference.ts";
import { formatPath, issueAt, type Issue, type Login, type PathKey } from "./issue.ts";
import type { WrittenConfig, WrittenImage } from "./schema.ts";

/** An entry of `images[]`, with its place for messages. */
interface Entry extends WrittenImage {
  readonly keys: readonly PathKey[];
}

/** All entries to resolve. Any match in `registries` wins over `dockerConfig`, even with a shorter path. */
export interface Parts {
  readonly images: readonly Entry[];
  readonly registries: readonly Login[];
  readonly dockerConfig: readonly Login[];
}

/** The login for an image without credentials of its own. */
const loginOf = ({ name }: Entry, { registries, dockerConfig }: Parts): Login | undefined =>
  loginFor(name, registries) ?? loginFor(name, dockerConfig);

/** Groups entries by source, in list order. */
const bySource = (images: readonly Entry[]): [Entry, ...Entry[]][] =>
  [...Map.groupBy(images, ({ name }) => name.name).values()].flatMap(([first, ...others]) =>
    first === undefined ? [] : [[first, ...others]],
  );

/** Every conflict between entries. Repeats only names that parsed: those are references, not secrets. */
export const conflicts = ({ images, registries, dockerConfig }: Parts): Issue[] => [
  ...nameConflicts(images),
  ...images.flatMap(impossibleNames),
  ...credentialConflicts(images, ({ name }) => name.name, "image"),
  ...[registries, dockerConfig].flatMap((logins) =>
    credentialConflicts(logins, ({ host, path }) => `${host}/${path}`, "registry"),
  ),
];

/** Two sources cannot share a name: the last to be tagged would win, by chance. */
function nameConflicts(images: readonly Entry[]): Issue[] {
  const owners = new Map(images.map((image) => [image.name.name, image]));
  return images.flatMap((image) =>
    image.retagAs.flatMap((further, nth) => {
      const owner = owners.getOrInsert(further.name, image);
      if (owner.name.name === image.name.name) return [];
      const problem = `${further.name} is already the name of ${formatPath(owner.keys)} (${owner.name.name})`;
      return [issueWithName(image, nth, problem)];
    }),
  );
}

/** An issue about a further name. `path` is that of the list, `keys` point to the name itself. */
function issueWithName({ keys }: Entry, nth: number, problem: string): Issue {
  const list = [...keys, "retagAs"];
  return { ...issueAt(list, problem), keys: [...list, nth] };
}

/** Names that no run can create. */
function impossibleNames(image: Entry): Issue[] {
  const { name, retagAs, keys } = image;
  const own = isPinName(name.name) ? [issueAt([...keys, "name"], reserved(name))] : [];
  const further = retagAs.flatMap((each, nth) => {
    const isOther = name.digest !== undefined && hasOtherDigest(each, name.digest);
    const problems = [
      ...(isPinName(each.name) ? [reserved(each)] : []),
      ...(isOther ? [`${each.name} has another digest than the image`] : []),
    ];
    return problems.map((problem) => issueWithName(image, nth, problem));
  });
  return [...own, ...further];
}

const reserved = ({ name }: Reference): string => `${name} is reserved for this job's pins`;

export const OTHER_CREDENTIALS = "has other credentials than";

/** @param about key of what the credentials are for; the first credentials for a key count */
function credentialConflicts<Of extends Pick<Entry, "credential" | "keys">>(
  all: readonly Of[],
  about: (one: Of) => string,
  what: string,
): Issue[] {
  const owners = new Map<string, { readonly auth: string; readonly keys: readonly PathKey[] }>();
  return all.flatMap((one) => {
    if (one.credential === undefined) return [];
    const { auth } = one.credential;
    const owner = owners.getOrInsert(about(one), { auth, keys: one.keys });
    if (owner.auth === auth) return [];
    return [issueAt(one.keys, `${OTHER_CREDENTIALS} ${formatPath(owner.keys)} for the same ${what}`)];
  });
}

/** The first must not be longer than the second. */
const LIMITS = [
  ["start_jitter", "deadline"],
  ["retry.min_delay", "retry.max_delay"],
  ["stall_timeout", "image_timeout"],
] as const;

/**
 * Conflicts between times. Not reported if the longer time is a default, which nobody meant.
 * @param written with defaults, in milliseconds
 * @param given without defaults, as written
 * @param wrong problems of single values, which are not compared
 */
export function timesThatClash(
  written: Partial<WrittenConfig>,
  given: Readonly<Record<string, unknown>>,
  wrong: readonly Issue[],
): Issue[] {
  const known = (path: string): number =>
    wrong.some((issue) => issue.path === path) ? Number.NaN : Number(valueAt(written, path));
  return LIMITS.flatMap(([longer, limit]) => {
    if (valueAt(given, longer) === undefined || !(known(longer) > known(limit))) return [];
    const issue = issueAt(longer.split("."), `must not be longer than ${limit}`);
    return [{ ...issue, against: limit.split(".") }];
  });
}

const valueAt = (properties: object, path: string): unknown =>
  path.split(".").reduce<unknown>((value, key) => Object(value)[key], properties);

export const UNUSED_LOGIN = "is a login that no image uses";

/** A login that misses its image leaves the image without credentials. Not reported if the list is empty. */
export function unusedLogins(parts: Parts): Issue[] {
  const groups = bySource(parts.images).filter((group) => group.every(({ credential }) => !credential));
  const used = new Set(groups.map(([first]) => loginOf(first, parts)));
  const all = parts.images.length === 0 ? [] : [...parts.registries, ...parts.dockerConfig];
  return all.filter((login) => !used.has(login)).map(({ keys }) => issueAt(keys, UNUSED_LOGIN));
}

/** Merges entries with the same source: all further names, the stricter settings, the longest timeout. */
export const wantedImages = (parts: Parts, defaults: WrittenConfig): WantedImage[] =>
  bySource(parts.images).map((group) => {
    const [first] = group;
    const source = first.name;
    const others = group.flatMap(({ retagAs }) => retagAs).filter(({ name }) => name !== source.name);
    // Kubernetes' default for an unset policy.
    const implicit: WantedImage["pullPolicy"] = source.tag === "latest" ? "implicit-Always" : "IfNotPresent";
    const policies = group.flatMap(({ pullPolicy }) => pullPolicy ?? []);
    const own = group.find(({ credential }) => credential !== undefined);
    const { credential } = own ?? loginOf(first, parts) ?? {};
    return {
      source,
      furtherNames: [...new Map(others.map((other) => [other.name, other])).values()],
      pullPolicy: policies.find((policy) => policy === "Always") ?? policies[0] ?? implicit,
      required: group.some(({ required }) => required),
      pin: group.some(({ pin = defaults.pin }) => pin),
      timeout: Math.max(...group.map(({ timeout = defaults.image_timeout }) => timeout)),
      ...(credential === undefined ? {} : { credential }),
    };
  });

/** Merges entries with the same path. A pattern may match nothing, unless `required` is set explicitly. */
export const wantedArchives = ({ archives, ...defaults }: WrittenConfig): WantedArchive[] =>
  mergeArchives(
    archives.map(({ path, required, pin = defaults.pin }) => ({
      path,
      required: required ?? true,
      mustMatch: required ?? false,
      pin,
      timeout: defaults.image_timeout,
    })),
  );
