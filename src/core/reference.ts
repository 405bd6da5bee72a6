// Image references, read and normalised exactly as containerd's CRI does (distribution/reference,
// ParseDockerRef): only a normalised name resolves for the kubelet.

/** A normalised reference. `name` is the canonical text, the key by which images are known everywhere else. */
export interface Reference {
  /** Canonical text, `domain/path:tag` or `domain/path@digest`. */
  readonly name: string;
  /** Registry host with its port, `docker.io` when none was written. */
  readonly domain: string;
  /** Repository below the domain, `library/nginx`. */
  readonly path: string;
  /** Unset for a digest reference; a tag written beside a digest is dropped, as containerd does. */
  readonly tag?: string;
  readonly digest?: string;
}

export type ParsedReference =
  | { readonly ok: true; readonly reference: Reference }
  | { readonly ok: false; readonly problem: string };

const DOMAIN_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const DOMAIN = new RegExp(
  `^(?:${DOMAIN_LABEL}(?:\\.${DOMAIN_LABEL})*|\\[[a-fA-F0-9:]+\\])(?::(?<port>[0-9]+))?$`,
  "u",
);
const PATH = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/u;
const TAG = /^\w[\w.-]{0,127}$/u;
const DIGEST_LENGTHS: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };
/** The one alias that a reference's normal form replaces; containerd keeps every other host as it is written. */
const LEGACY_DOMAIN = "index.docker.io";
/** distribution/reference, NameTotalLengthMax. */
const LONGEST_NAME = 255;

const invalid = (problem: string): ParsedReference => ({ ok: false, problem });

/**
 * Reads a reference as an operator writes it.
 * @returns the normalised reference, or what is wrong with the text. The problem never repeats the text,
 * because a secret pasted into the wrong property must not reach a log.
 */
export function parseReference(text: string): ParsedReference {
  if (text === "") return invalid("is empty");
  if (/[\s\p{Cc}]/u.test(text)) return invalid("contains white space or a control character");
  const scheme = /^(?:https?|docker|oci):\/\//iu.exec(text)?.[0].toLowerCase();
  if (scheme !== undefined) return invalid(`is a URL: write it without ${scheme}`);
  if (/^[a-f0-9]{64}$/u.test(text)) return invalid("is a bare 64-digit identifier, not a name");

  const { rest, digest } = cutDigest(text);
  if (digest !== undefined && !isDigest(digest)) {
    return invalid("has a malformed digest (expected sha256: and 64 lower-case hexadecimal digits)");
  }
  const { domain, remainder } = cutDomain(rest);
  const { path: written, tag } = cutTag(remainder);
  const path = domain === "docker.io" && !written.includes("/") ? `library/${written}` : written;

  const problem = nameProblem(domain, path, written) ?? tagProblem(tag);
  return problem === undefined
    ? { ok: true, reference: normalise(domain, path, tag, digest) }
    : invalid(problem);
}

function normalise(domain: string, path: string, tag = "latest", digest?: string): Reference {
  return digest === undefined
    ? { name: `${domain}/${path}:${tag}`, domain, path, tag }
    : { name: `${domain}/${path}@${digest}`, domain, path, digest };
}

function nameProblem(domain: string, path: string, written: string): string | undefined {
  if (!DOMAIN.test(domain)) return "has a malformed registry host";
  if (written === "") return "names no repository";
  if (/[A-Z]/u.test(path)) return "has upper case in its repository (a repository must be lower case)";
  if (!PATH.test(path)) {
    return "has a malformed repository (allowed: lower-case letters, digits and single . _ - between them)";
  }
  return `${domain}/${path}`.length > LONGEST_NAME ? `is longer than ${LONGEST_NAME} characters` : undefined;
}

function tagProblem(tag: string | undefined): string | undefined {
  if (tag === undefined || TAG.test(tag)) return undefined;
  return "has a malformed tag (allowed: letters, digits, _ . -, at most 128, not beginning with . or -)";
}

function cutDigest(text: string): { rest: string; digest?: string } {
  const at = text.indexOf("@");
  return at === -1 ? { rest: text } : { rest: text.slice(0, at), digest: text.slice(at + 1) };
}

/** The first component is a registry host only if it could not be a Docker Hub user: a dot, a port, upper case or localhost. */
function cutDomain(text: string): { domain: string; remainder: string } {
  const slash = text.indexOf("/");
  const first = text.slice(0, Math.max(slash, 0));
  const isHost = /[.:]/u.test(first) || first === "localhost" || first.toLowerCase() !== first;
  if (slash === -1 || !isHost) return { domain: "docker.io", remainder: text };
  const domain = first === LEGACY_DOMAIN ? "docker.io" : first;
  return { domain, remainder: text.slice(slash + 1) };
}

function cutTag(text: string): { path: string; tag?: string } {
  const colon = text.indexOf(":");
  return colon === -1 ? { path: text } : { path: text.slice(0, colon), tag: text.slice(colon + 1) };
}

/** Whether `text` is a digest that containerd accepts: a known algorithm and its full length in lower-case hexadecimal. */
export function isDigest(text: string): boolean {
  const [algorithm = "", encoded = ""] = text.split(":", 2);
  const length = DIGEST_LENGTHS[algorithm];
  return text === `${algorithm}:${encoded}` && encoded.length === length && /^[a-f0-9]+$/u.test(encoded);
}

/** Docker Hub's aliases become `docker.io`, so that credentials for it are found under each. */
export function canonicalHost(host: string): string {
  return host === LEGACY_DOMAIN || host === "registry-1.docker.io" ? "docker.io" : host;
}
