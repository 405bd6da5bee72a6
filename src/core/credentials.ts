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

/**
 * Reads base64 of `user:password`, and forms of it that leave no doubt: url-safe, wrapped, encoded twice, with `Basic`
 * before it. Anything else is refused: containerd prints what it cannot split, decoded, into its error
 * (`invalid decoded auth: "…"`), so a bad value must never reach it.
 * @returns the credential, or what the text looks like; never the text
 */
export function parseAuth(text: string): Credential | string {
  const bytes = fromBase64(text.trim()) ?? forgiven(text);
  const credential = credentialIn(bytes) ?? credentialIn(clean(fromBase64(bytes?.toString().trim())));
  if (credential !== undefined) return credential;
  const look = lookIn(WRITTEN, text) ?? lookIn(ENCODED, bytes?.toString() ?? "");
  return `must be base64 of user:password${look === undefined ? "" : `; it ${look}`}`;
}

/** The bytes of base64, with its padding or without it; undefined for any other text. */
function fromBase64(text = ""): Buffer | undefined {
  const bytes = Buffer.from(text, "base64");
  const same = bytes.toString("base64").replace(/=+$/u, "") === text.replace(/=+$/u, "");
  return same && text !== "" ? bytes : undefined;
}

/** Taken only if what comes out is text: a guess that is wrong makes garbage. */
function forgiven(text: string): Buffer | undefined {
  const bare = text.trim().replace(/^(?:authorization:\s*)?basic\s+/iu, "");
  const [first = "", ...lines] = bare.split(/\s+/u);
  const isWrapped = first.length >= 32 && lines.slice(0, -1).every(({ length }) => length === first.length);
  if (lines.length > 0 && !isWrapped) return undefined;
  return clean(fromBase64([first, ...lines].join("").replaceAll("-", "+").replaceAll("_", "/")));
}

const clean = (bytes: Buffer | undefined): Buffer | undefined =>
  /[\p{Cc}\uFFFD]/u.test(withoutLineEnd(bytes?.toString() ?? "")) ? undefined : bytes;

/** Bytes, not text, because old registries have passwords that are no UTF-8. */
function credentialIn(bytes: Buffer | undefined): Credential | undefined {
  const pair = Buffer.from(withoutLineEnd(bytes?.toString("latin1") ?? ""), "latin1");
  const colon = pair.indexOf(":");
  if (colon < 1 || pair.includes(0) || isJson(pair.toString())) return undefined;
  return { auth: pair.toString("base64"), password: pair.subarray(colon + 1).toString() };
}

const isJson = (text: string): boolean => /^\s*\{.*\}\s*$/su.test(text);

type Looks = readonly (readonly [RegExp, string])[];
/** What people paste in place of base64. */
const WRITTEN: Looks = [
  [/^\s*\(\(.*\)\)\s*$/su, "looks like a variable that was not filled in"],
  [/"auths"/u, "looks like a docker config.json, which belongs in docker_config"],
  [/-----BEGIN /u, "looks like a key or a certificate"],
  [/^\s*(?:bearer\s|eyJ[\w-]+\.)/iu, "looks like a token, not a user and a password"],
  [/^\s*(?<quote>["']).*\k<quote>\s*$/su, "has quotes around it"],
  [/^[^:\s]+:./u, "looks like user:password that is not encoded (give username and password instead)"],
];
/** What people encode in place of `user:password`. */
const ENCODED: Looks = [
  [/"auths"/u, "looks like base64 of a docker config.json, which belongs in docker_config"],
  [/^(?:[^\0]\0)+$/u, "looks like base64 of UTF-16, as PowerShell's Unicode makes it: encode UTF-8"],
  [/^:/u, "looks like base64 of a password with an empty user"],
  [/^[^:\p{Cc}\uFFFD]{4,}[\r\n]*$/u, "looks like base64 of text without a colon: the user is missing"],
];
const lookIn = (looks: Looks, text: string): string | undefined =>
  looks.find(([pattern]) => pattern.test(text))?.[1];

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
    .filter((login) => login.path === "" || `${path}/`.startsWith(`${login.path}/`))
    .filter((login) => globs.getOrInsertComputed(login.host, globExpression).test(host))
    .toSorted((a, b) => rank(b) - rank(a))[0];
}

const rank = ({ host, path }: RegistryScope): number => path.length * 2 + (/[*?]/u.test(host) ? 0 : 1);

/** Compiled once: each is tried for each image. */
const globs = new Map<string, RegExp>();

function globExpression(pattern: string): RegExp {
  const port = /:[^:\]]*$/u.exec(pattern)?.[0] ?? "";
  const host = RegExp.escape(pattern.slice(0, pattern.length - port.length));
  const labels = host.replaceAll("\\*", "[^.:]*").replaceAll("\\?", "[^.:]");
  return new RegExp(`^${labels}${RegExp.escape(port)}$`, "u");
}
