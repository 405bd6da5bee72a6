// Parses credentials as people write them, and selects the login for a reference as the kubelet does.
import { parseReference, type Reference } from "./reference.ts";

/** Registry credentials. `auth` is base64 of `user:password`, the form that CRICTL_AUTH takes. */
export interface Credential {
  readonly auth: string;
  readonly password: string;
}

/** Where a login applies: to a registry, or to the repositories below a path of it. */
export interface RegistryScope {
  /** Canonical host in lower case, with the port if one is given. `*` and `?` match parts of a label. */
  readonly host: string;
  /** Without leading or trailing slashes; empty for the whole registry. */
  readonly path: string;
}

/** Drops the line break that `echo` without -n and YAML's block scalars add. */
export const withoutLineEnd = (text: string): string => text.replace(/[\r\n]+$/u, "");

export function credentialFromPair(username: string, password: string): Credential {
  const secret = withoutLineEnd(password);
  return { auth: Buffer.from(`${withoutLineEnd(username)}:${secret}`).toString("base64"), password: secret };
}

export const AUTH = "must be base64 of user:password (or give username and password instead)";

/**
 * Parses base64 of `user:password`, wrapped or not. Rejects anything else: containerd decodes what it cannot split and
 * prints it in an error (`invalid decoded auth: "…"`), so it must never receive a bad value.
 * @returns the credential, or the problem as text
 */
export function parseAuth(text: string): Credential | string {
  const base64 = text.replaceAll(/\s/gu, "").replace(/=+$/u, "");
  // Works on bytes: passwords of old registries may not be UTF-8.
  const bytes = Buffer.from(base64, "base64");
  const pair = Buffer.from(withoutLineEnd(bytes.toString("latin1")), "latin1");
  const isBase64 = bytes.toString("base64").replaceAll("=", "") === base64;
  // `{` is excluded because the base64 of a docker config.json contains a colon too.
  if (!isBase64 || !/^[^\p{Cc}:{][^\p{Cc}:]*:[^\0]*$/u.test(pair.toString())) return AUTH;
  return { auth: pair.toString("base64"), password: pair.subarray(pair.indexOf(":") + 1).toString() };
}

/** Maps Docker Hub's aliases to `docker.io`, so that a login under any of them is found. */
const canonicalHost = (host: string): string =>
  host.toLowerCase().replace(/^(?:index|registry-1)\.docker\.io$/u, "docker.io");

/** Parses a scope as people and docker's config.json write it, such as `https://index.docker.io/v1/`. */
export function registryScope(text: string): RegistryScope {
  const [host = "", ...path] = text
    .trim()
    .replace(/^https?:\/\//iu, "")
    .split("/");
  const below = path.join("/").replace(/^v[12](?=\/|$)/u, "");
  return { host: canonicalHost(host), path: below.replaceAll(/^\/+|\/+$/gu, "") };
}

/** Whether a valid reference can be inside this scope. */
export function isScope({ host, path }: RegistryScope): boolean {
  const plain = host.replaceAll(/[*?]/gu, "x");
  const parsed = parseReference(`${plain}/${path || "any"}`);
  return typeof parsed === "object" && parsed.domain === plain && !path.includes(":");
}

/**
 * Selects the login with the longest matching path, then one whose host has no globs. Host labels match one by one and
 * the port exactly, as in the kubelet. The kubelet tries several logins in turn, but we try only one, so a path
 * matches whole components only: `team` does not match `team-b/app`.
 */
export function loginFor<Login extends RegistryScope>(
  { domain, path }: Reference,
  logins: readonly Login[],
): Login | undefined {
  const host = canonicalHost(domain);
  return logins
    .filter((login) => isBelow(path, login))
    .filter((login) => globs.getOrInsertComputed(login, globExpression).test(host))
    .toSorted((a, b) => rank(b) - rank(a))[0];
}

/** Whether a path is inside the scope; ignores the host. */
export const isBelow = (path: string, scope: RegistryScope): boolean =>
  scope.path === "" || `${path}/`.startsWith(`${scope.path}/`);

const rank = ({ host, path }: RegistryScope): number => path.length * 2 + (/[*?]/u.test(host) ? 0 : 1);

/** Cached, because every login is tried for every image. */
const globs = new WeakMap<RegistryScope, RegExp>();

function globExpression({ host: pattern }: RegistryScope): RegExp {
  const port = /:[^:\]]*$/u.exec(pattern)?.[0] ?? "";
  const host = RegExp.escape(pattern.slice(0, pattern.length - port.length));
  const labels = host.replaceAll("\\*", "[^.:]*").replaceAll("\\?", "[^.:]");
  return new RegExp(`^${labels}${RegExp.escape(port)}$`, "u");
}
