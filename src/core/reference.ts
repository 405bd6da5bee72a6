// Normalizes references exactly as CRI does (distribution/reference, ParseDockerRef): the kubelet resolves no others.

export interface Reference {
  /** Canonical text, `domain/path:tag` or `domain/path@digest`. All other code knows an image by this key. */
  readonly name: string;
  /** Registry host with its port; `docker.io` if none is written. */
  readonly domain: string;
  /** Repository below the domain, such as `library/nginx`. */
  readonly path: string;
  /** Unset for a digest reference: like containerd, we drop a tag beside a digest. */
  readonly tag?: string;
  readonly digest?: string;
}

export const hasOtherDigest = (name: Reference, digest: string): boolean =>
  name.digest !== undefined && name.digest !== digest;

export const digestName = ({ domain, path }: Pick<Reference, "domain" | "path">, digest: string): string =>
  `${domain}/${path}@${digest}`;

const DOMAIN_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const DOMAIN = new RegExp(
  `^(?:${DOMAIN_LABEL}(?:\\.${DOMAIN_LABEL})*|\\[[a-fA-F0-9:]+\\])(?::(?<port>[0-9]+))?$`,
  "u",
);
const PATH = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/u;
const TAG = /^\w[\w.-]{0,127}$/u;
const DIGEST = /^(?:sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128})$/u;
/** RepositoryNameTotalLengthMax of distribution/reference, which does not count the host. */
const LONGEST_PATH = 255;

/**
 * @returns the normalized reference, or the problem as text, which never repeats the input: a secret pasted into the
 * wrong property must not reach a log.
 */
export function parseReference(text: string): Reference | string {
  if (text === "") return "is empty";
  if (/[\s\p{Cc}]/u.test(text)) return "contains white space or a control character";
  const scheme = /^(?:https?|docker|oci):\/\//iu.exec(text)?.[0].toLowerCase();
  if (scheme !== undefined) return `is a URL: write it without ${scheme}`;
  if (/^[a-f0-9]{64}$/u.test(text)) return "is a bare 64-digit identifier, not a name";

  const [rest, digest] = cut(text, "@");
  if (digest !== undefined && !DIGEST.test(digest))
    return "has a malformed digest (expected sha256: and 64 lower-case hexadecimal digits)";
  const { domain, remainder } = cutDomain(rest);
  const [written, tag = "latest"] = cut(remainder, ":");
  const path = domain === "docker.io" && !written.includes("/") ? `library/${written}` : written;
  const problem = written === "" ? "names no repository" : problemIn(domain, path, tag);
  if (problem !== undefined) return problem;
  return digest === undefined
    ? { name: `${domain}/${path}:${tag}`, domain, path, tag }
    : { name: digestName({ domain, path }, digest), domain, path, digest };
}

/** @returns the normalized name; undefined if the text is not a reference */
export function normalizedName(text: string): string | undefined {
  const parsed = parseReference(text);
  return typeof parsed === "string" ? undefined : parsed.name;
}

function problemIn(domain: string, path: string, tag: string): string | undefined {
  if (!DOMAIN.test(domain)) return "has a malformed registry host";
  if (/[A-Z]/u.test(path)) return "has upper case in its repository (a repository must be lower case)";
  if (!PATH.test(path))
    return "has a malformed repository (allowed: lower-case letters, digits and single . _ - between them)";
  if (path.length > LONGEST_PATH) return `has a repository of more than ${LONGEST_PATH} characters`;
  if (TAG.test(tag)) return undefined;
  return "has a malformed tag (allowed: letters, digits, _ . -, at most 128, not beginning with . or -)";
}

function cut(text: string, separator: string): [before: string, behind?: string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

/** The first component is a host only if no Docker Hub user can have it: a dot, a port, upper case, or localhost. */
function cutDomain(text: string): { domain: string; remainder: string } {
  const slash = text.indexOf("/");
  const first = text.slice(0, Math.max(slash, 0));
  const isHost = /[.:]/u.test(first) || first === "localhost" || first.toLowerCase() !== first;
  if (!isHost) return { domain: "docker.io", remainder: text };
  // The only alias that normalization replaces; containerd keeps every other host as written.
  const domain = first === "index.docker.io" ? "docker.io" : first;
  return { domain, remainder: text.slice(slash + 1) };
}
