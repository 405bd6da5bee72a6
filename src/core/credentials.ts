// Credentials: read as people write them, and chosen for a reference as the kubelet would.
import { parseReference, type Reference } from "./reference.ts";

/** Registry credentials. Held as base64 of `user:password`, the form that crictl's CRICTL_AUTH takes. */
export interface Credential {
  readonly auth: string;
  readonly password: string;
}

/** What a login is for: a registry, or the repositories below a path of it. */
export interface RegistryScope {
  /** Canonical host in lower case, with its port if one was written; `*` and `?` stand for parts of a label. */
  readonly host: string;
  /** Without slashes around it; empty for the whole registry. */
  readonly path: string;
}

/** `echo` without -n and YAML's blocks end in a line break that nobody means. */
export const withoutLineEnd = (text: string): string => text.replace(/[\r\n]+$/u, "");

export function credentialFromPair(username: string, password: string): Credential {
  const secret = withoutLineEnd(password);
  return { auth: Buffer.from(`${withoutLineEnd(username)}:${secret}`).toString("base64"), password: secret };
}

export const AUTH = "must be base64 of user:password (or give username and password instead)";

/**
 * Reads base64 of `user:password`, also wrapped. Anything else is refused: containerd prints what it cannot split,
 * decoded, into its error (`invalid decoded auth: "…"`), so a bad value must never reach it.
 * @returns the credential, or what is expected
 */
export function parseAuth(text: string): Credential | string {
  const base64 = text.replaceAll(/\s/gu, "").replace(/=+$/u, "");
  // Bytes, not text, because old registries have passwords that are no UTF-8.
  const bytes = Buffer.from(base64, "base64");
  const pair = Buffer.from(withoutLineEnd(bytes.toString("latin1")), "latin1");
  const isBase64 = bytes.toString("base64").replace(/=+$/u, "") === base64;
  // A docker config.json has a colon as well.
  if (!isBase64 || !/^[^\p{Cc}:{][^\p{Cc}:]*:[^\0]*$/u.test(pair.toString())) return AUTH;
  return { auth: pair.toString("base64"), password: pair.subarray(pair.indexOf(":") + 1).toString() };
}

/** Docker Hub's aliases become `docker.io`, so that credentials for it are found under each. */
const canonicalHost = (host: string): string =>
  host.toLowerCase().replace(/^(?:index|registry-1)\.docker\.io$/u, "docker.io");

/** The registry or repositories that a login is for, as people and docker's config.json write it: `https://index.docker.io/v1/`. */
export function registryScope(text: string): RegistryScope {
  const [host = "", ...path] = text
    .trim()
    .replace(/^https?:\/\//iu, "")
    .split("/");
  const below = path.join("/").replace(/^v[12](?=\/|$)/u, "");
  return { host: canonicalHost(host), path: below.replaceAll(/^\/+|\/+$/gu, "") };
}

/** Whether an image can have a reference in this scope. */
export function isScope({ host, path }: RegistryScope): boolean {
  const plain = host.replaceAll(/[*?]/gu, "x");
  const parsed = parseReference(`${plain}/${path || "any"}`);
  return typeof parsed === "object" && parsed.domain === plain && !path.includes(":");
}

/**
 * The login for a reference: that of the longest matching path, and then of a host without globs. Host labels are
 * matched each by itself, and the port exactly, as the kubelet does it. Unlike the kubelet, which tries several logins
 * in turn, we have one try, so a path matches whole components only: `team` is not for `team-b/app`.
 */
export function loginFor<Login extends RegistryScope>(
  { domain, path }: Reference,
  logins: readonly Login[],
): Login | undefined {
  const host = canonicalHost(domain);
  return logins
    .filter((login) => isBelow(path, login))
    .filter((login) => globs.getOrInsertComputed(login.host, globExpression).test(host))
    .toSorted((a, b) => rank(b) - rank(a))[0];
}

/** Whether the path of an image is one of the scope's, on its registry. */
export const isBelow = (path: string, scope: RegistryScope): boolean =>
  scope.path === "" || `${path}/`.startsWith(`${scope.path}/`);

const rank = ({ host, path }: RegistryScope): number => path.length * 2 + (/[*?]/u.test(host) ? 0 : 1);

/** Compiled once: each is tried for each image. */
const globs = new Map<string, RegExp>();

function globExpression(pattern: string): RegExp {
  const port = /:[^:\]]*$/u.exec(pattern)?.[0] ?? "";
  const host = RegExp.escape(pattern.slice(0, pattern.length - port.length));
  const labels = host.replaceAll("\\*", "[^.:]*").replaceAll("\\?", "[^.:]");
  return new RegExp(`^${labels}${RegExp.escape(port)}$`, "u");
}
