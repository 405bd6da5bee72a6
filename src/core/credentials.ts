// Credentials: read, chosen for a reference, and every form in which one could show up in a text.
import { canonicalHost, type Reference } from "./reference.ts";

/** Registry credentials. Held as base64 of `user:password`, the form that crictl's CRICTL_AUTH takes. */
export interface Credential {
  readonly auth: string;
  readonly password: string;
}

export interface RegistryCredential {
  /** Canonical registry host, with its port. */
  readonly host: string;
  readonly credential: Credential;
}

export function credentialFromPair(username: string, password: string): Credential {
  return { auth: Buffer.from(`${username}:${password}`).toString("base64"), password };
}

/**
 * Reads base64 of `user:password`. Strict on purpose: containerd prints what it cannot split, decoded, into
 * its error (`invalid decoded auth: "…"`), so a bad value must never reach it.
 */
export function credentialFromAuth(auth: string): Credential | undefined {
  const text = auth.trim();
  const decoded = Buffer.from(text, "base64");
  if (decoded.toString("base64").replace(/=+$/u, "") !== text.replace(/=+$/u, "")) return undefined;
  const pair = decoded.toString("utf8");
  const colon = pair.indexOf(":");
  if (colon < 1 || pair.includes("\0")) return undefined;
  return { auth: decoded.toString("base64"), password: pair.slice(colon + 1) };
}

/** The host part of a registry as people and docker's config.json write it: `https://index.docker.io/v1/`. */
export function registryHost(text: string): string {
  return canonicalHost(text.replace(/^https?:\/\//u, "").replace(/\/.*$/su, ""));
}

/** The first credential for the registry of `reference`; earlier entries win. */
export function credentialFor(
  reference: Reference,
  registries: readonly RegistryCredential[],
): Credential | undefined {
  const host = canonicalHost(reference.domain);
  return registries.find((entry) => entry.host === host)?.credential;
}

/**
 * Every spelling of a credential that a tool may print: encoded, decoded, the bare password, quoted, quoted once more
 * (an error text inside a `msg="…"`), and percent-encoded.
 */
export function secretForms(credential: Credential): string[] {
  const pair = Buffer.from(credential.auth, "base64").toString("utf8");
  const plain = [credential.auth, credential.auth.replace(/=+$/u, ""), pair, credential.password];
  const urlSafe = plain.slice(0, 2).map((form) => form.replaceAll("+", "-").replaceAll("/", "_"));
  const escaped = [pair, credential.password].flatMap((form) => [
    quoted(form),
    quoted(quoted(form)),
    encodeURIComponent(form.toWellFormed()),
  ]);
  return [...new Set([...plain, ...urlSafe, ...escaped])].filter((form) => form !== "");
}

const quoted = (text: string): string => JSON.stringify(text).slice(1, -1);
