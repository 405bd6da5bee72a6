// What the entries of a configuration mean together: duplicates merged, conflicts found, credentials handed out.
import type { WantedArchive } from "../core/archives.ts";
import { loginFor } from "../core/credentials.ts";
import type { WantedImage } from "../core/plan.ts";
import type { Reference } from "../core/reference.ts";
import { formatPath, issueAt, type Issue, type Login } from "./issue.ts";
import type { WrittenConfig, WrittenImage } from "./schema.ts";

/** An entry of `images[]` with its index there, for messages. */
export interface Entry {
  readonly index: number;
  readonly image: WrittenImage;
}

/** Job-wide values that an entry may override, and credentials that it may lack. */
export interface Defaults {
  readonly pin: boolean;
  readonly timeout: number;
  readonly logins: Logins;
}

/** Logins by their source. Whatever `registries` has for an image wins over `dockerConfig`, also with a shorter path. */
export interface Logins {
  readonly registries: readonly Login[];
  readonly dockerConfig: readonly Login[];
}

const login = (source: Reference, { registries, dockerConfig }: Logins): Login | undefined =>
  loginFor(source, registries) ?? loginFor(source, dockerConfig);

/** Entries of one source, in the list's order. */
const bySource = (entries: readonly Entry[]): Entry[][] => [
  ...Map.groupBy(entries, (entry) => entry.image.name.name).values(),
];

/** Every problem between entries. Only names that parsed are repeated: they are references, so no secrets. */
export function conflicts(entries: readonly Entry[], { registries, dockerConfig }: Logins): Issue[] {
  return [
    ...targetConflicts(entries),
    ...bySource(entries).flatMap(credentialConflicts),
    ...loginConflicts(registries),
    ...loginConflicts(dockerConfig),
  ];
}

/** Two sources cannot have one name: the last to be tagged would win, by chance. */
function targetConflicts(entries: readonly Entry[]): Issue[] {
  const owner = new Map(
    entries.map(({ index, image }) => [image.name.name, { index, source: image.name.name }]),
  );
  return entries.flatMap(({ index, image }) =>
    image.retagAs.flatMap((target, nth) => {
      const first = owner.get(target.name) ?? { index, source: image.name.name };
      owner.set(target.name, first);
      if (first.source === image.name.name) return [];
      const problem = `${target.name} is already the name of images[${first.index}] (${first.source})`;
      const list = ["images", index, "retagAs"];
      return [{ ...issueAt(list, problem), keys: [...list, nth] }];
    }),
  );
}

export const OTHER_CREDENTIALS = "has other credentials than";

function credentialConflicts(group: readonly Entry[]): Issue[] {
  const [first, ...others] = group.filter(({ image }) => image.credential !== undefined);
  if (first === undefined) return [];
  return others
    .filter(({ image }) => image.credential?.auth !== first.image.credential?.auth)
    .map(({ index }) =>
      issueAt(["images", index], `${OTHER_CREDENTIALS} images[${first.index}] for the same image`),
    );
}

function loginConflicts(logins: readonly Login[]): Issue[] {
  const first = new Map<string, Login>();
  return logins.flatMap((one) => {
    const owner = first.getOrInsert(`${one.host}/${one.path}`, one);
    if (owner.credential.auth === one.credential.auth) return [];
    return [issueAt(one.keys, `${OTHER_CREDENTIALS} ${formatPath(owner.keys)} for the same registry`)];
  });
}

export const UNUSED_LOGIN = "is a login that no image uses";

/** Where there are images at all: a login that is meant for one, and misses it, leaves the image without credentials. */
export function unusedLogins(entries: readonly Entry[], logins: Logins): Issue[] {
  const groups = bySource(entries).filter((group) => group.every(({ image }) => !image.credential));
  const used = new Set(groups.map(([first]) => first && login(first.image.name, logins)));
  const all = entries.length === 0 ? [] : [...logins.registries, ...logins.dockerConfig];
  return all.filter((one) => !used.has(one)).map(({ keys }) => issueAt(keys, UNUSED_LOGIN));
}

/** Merges entries of one source: every target, and the stricter of each setting. */
export function wantedImages(entries: readonly Entry[], defaults: Defaults): WantedImage[] {
  return bySource(entries).flatMap((group) => {
    const images = group.map((entry) => entry.image);
    const [first] = images;
    return first === undefined ? [] : [merge(first.name, images, defaults)];
  });
}

function merge(source: Reference, images: readonly WrittenImage[], defaults: Defaults): WantedImage {
  const others = images.flatMap((image) => image.retagAs).filter(({ name }) => name !== source.name);
  const policies = images.map((image) => image.pullPolicy ?? implicitPolicy(source));
  const credential =
    images.find((image) => image.credential !== undefined)?.credential ??
    login(source, defaults.logins)?.credential;
  return {
    source,
    furtherNames: [...new Map(others.map((other) => [other.name, other])).values()],
    pullPolicy: policies.find((policy) => policy === "Always") ?? policies[0] ?? "IfNotPresent",
    required: images.some((image) => image.required),
    pin: images.some((image) => image.pin ?? defaults.pin),
    timeout: Math.max(...images.map((image) => image.timeout ?? defaults.timeout)),
    ...(credential === undefined ? {} : { credential }),
  };
}

/** Merges entries of one path in the same way. */
export function wantedArchives(
  entries: WrittenConfig["archives"],
  { pin, timeout }: Pick<Defaults, "pin" | "timeout">,
): WantedArchive[] {
  return [...Map.groupBy(entries, ({ path }) => path)].map(([path, group]) => ({
    path,
    required: group.some((archive) => archive.required),
    pin: group.some((archive) => archive.pin ?? pin),
    timeout,
  }));
}

/** Kubernetes' rule for an unset policy. */
const implicitPolicy = (source: Reference): WantedImage["pullPolicy"] =>
  source.tag === "latest" ? "implicit-Always" : "IfNotPresent";
