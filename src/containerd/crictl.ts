// crictl: pulls, and how it takes credentials.
import type { SemVer } from "semver";
import { parseVersion, takesCredentialsFromEnvironment } from "../core/capabilities.ts";
import type { Credential } from "../core/credentials.ts";
import { BRIEF, type RunCommand } from "./command.ts";
import type { Containerd, PullOptions } from "./containerd.ts";

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

export function crictl(run: RunCommand, settings: CrictlSettings) {
  const ownVersion = once(async () =>
    parseVersion(await run(settings.crictl, ["--version"], { timeout: CALL_TIMEOUT, env: BRIEF })),
  );
  return {
    prepareLogin: () => void ownVersion().catch(() => {}),
    pull: async (name: string, { credential, signal, timeout }: PullOptions) => {
      const login = await loginFor(credential, settings, ownVersion);
      const args = [...globalArgs(settings.socket), "pull", ...login.args, name];
      await run(settings.crictl, args, { env: { ...BRIEF, ...login.env }, signal, timeout });
    },
  } satisfies Partial<Containerd>;
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
