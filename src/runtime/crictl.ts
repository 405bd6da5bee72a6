// crictl: argument vectors, and the reading of what it prints.
import * as v from "valibot";
import type { SemVer } from "semver";
import type { Credential } from "../core/credentials.ts";
import type { PresentImage } from "../core/plan.ts";
import { parseVersion, takesCredentialsFromEnvironment } from "../core/runtime-version.ts";
import { BRIEF, type RunCommand } from "./command.ts";
import type { ImageRuntime, PullOptions } from "./image-runtime.ts";

export interface CrictlSettings {
  readonly crictl: string;
  readonly socket: string;
  readonly allowCredentialsInArgv: boolean;
}

/** Milliseconds for anything but a pull. */
const CALL_TIMEOUT = 30_000;

/**
 * `--timeout` covers connecting and a validation call, not the pull; its default of 2 s is too short on a busy node.
 * `--config`: an /etc/crictl.yaml could turn on debugging, which prints credentials.
 */
const globalArgs = (socket: string): string[] => [
  "--config=/dev/null",
  `--runtime-endpoint=unix://${socket}`,
  `--image-endpoint=unix://${socket}`,
  "--timeout=30s",
];

/** The part of the runtime that speaks CRI. */
export function crictlClient(run: RunCommand, settings: CrictlSettings) {
  const call = (args: readonly string[], signal?: AbortSignal): Promise<string> =>
    run(settings.crictl, [...globalArgs(settings.socket), ...args], {
      timeout: CALL_TIMEOUT,
      env: BRIEF,
      ...(signal === undefined ? {} : { signal }),
    });
  const ownVersion = once(async () => parseVersion(await call(["--version"])));
  return {
    version: async (signal: AbortSignal) => containerdVersion(await call(["version"], signal)),
    images: async (signal?: AbortSignal) => parseImages(await call(["images", "--output=json"], signal)),
    imageDirectory: async () => parseMountpoint(await call(["imagefsinfo", "--output=json"])),
    prepareLogin: () => void ownVersion().catch(() => {}),
    pull: async (name: string, options: PullOptions) => {
      const login = await loginFor(options.credential, settings, ownVersion);
      const args = [...globalArgs(settings.socket), "pull", ...login.args, name];
      return pulledId(
        await run(settings.crictl, args, {
          env: { ...BRIEF, ...login.env },
          signal: options.signal,
          timeout: options.timeout,
        }),
      );
    },
  } satisfies Partial<ImageRuntime>;
}

interface Login {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** crictl cannot take this credential without showing it to every process of the node. */
export class CredentialRefused extends Error {
  override readonly name = "CredentialRefused";
}

async function loginFor(
  credential: Credential | undefined,
  settings: CrictlSettings,
  version: () => Promise<SemVer | undefined>,
): Promise<Login> {
  if (credential === undefined) return { args: [], env: {} };
  const found = await version();
  if (takesCredentialsFromEnvironment(found)) return { args: [], env: { CRICTL_AUTH: credential.auth } };
  if (settings.allowCredentialsInArgv) return { args: ["--auth", credential.auth], env: {} };
  throw new CredentialRefused(
    `crictl ${found?.version} cannot take credentials from its environment (1.24 and later can): ` +
      "upgrade it, or set allow_credentials_in_argv to show them in the process list",
  );
}

/** Asks until there is an answer, and then no more. */
function once<Value>(produce: () => Promise<Value>): () => Promise<Value> {
  let value: Promise<Value> | undefined;
  return () => {
    value ??= produce().catch((error: unknown) => {
      value = undefined;
      throw error;
    });
    return value;
  };
}

function containerdVersion(text: string): SemVer {
  const version = parseVersion(/^RuntimeVersion:\s*(?<version>\S+)/mu.exec(text)?.groups?.["version"] ?? "");
  if (version === undefined) throw new Error("crictl version tells no RuntimeVersion");
  return version;
}

/** `Image is up to date for sha256:…`: the id of the image, or a digest reference from other runtimes. */
const pulledId = (text: string): string => /(?<id>\S+)\s*$/u.exec(text)?.groups?.["id"] ?? "";

const imageList = v.object({
  images: v.nullish(
    v.array(
      v.object({
        id: v.string(),
        repoTags: v.nullish(v.array(v.string()), []),
        repoDigests: v.nullish(v.array(v.string()), []),
        size: v.nullish(v.union([v.string(), v.number()]), 0),
        pinned: v.nullish(v.boolean(), false),
      }),
    ),
    [],
  ),
});

/** Reads `crictl images -o json`; sizes are compressed bytes. */
export function parseImages(text: string): PresentImage[] {
  return (v.parse(imageList, JSON.parse(text)).images ?? []).map((image) => ({
    id: image.id,
    names: [...(image.repoTags ?? []), ...(image.repoDigests ?? [])],
    size: Number(image.size ?? 0),
    pinned: image.pinned ?? false,
  }));
}

const fileSystem = v.object({ fsId: v.object({ mountpoint: v.string() }) });
/** crictl 1.29 and later tell two lists, older ones a single one. */
const fileSystemInfo = v.object({
  status: v.union([v.array(fileSystem), v.object({ imageFilesystems: v.array(fileSystem) })]),
});

function parseMountpoint(text: string): string | undefined {
  const { status } = v.parse(fileSystemInfo, JSON.parse(text));
  return (Array.isArray(status) ? status : status.imageFilesystems)[0]?.fsId.mountpoint;
}
