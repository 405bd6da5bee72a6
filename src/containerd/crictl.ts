// crictl: pulls, and how it receives credentials.
import type { SemVer } from "semver";
import { parseVersion, takesCredentialsFromEnvironment } from "../core/capabilities.ts";
import type { Credential } from "../core/credentials.ts";
import { Failed } from "../core/failure.ts";
import type { ContainerdConfig } from "../config/config.ts";
import { BRIEF, type RunCommand } from "./command.ts";

export interface PullOptions {
  readonly credential?: Credential | undefined;
  /** Aborts the pull, also inside containerd, which stops it when its client goes away. */
  readonly signal: AbortSignal;
}

/**
 * `--timeout` covers connecting and a validation call, not the pull; its default of 2 s is too short on a busy node.
 * `--config` disables /etc/crictl.yaml, which could turn on debug output, and that prints credentials.
 */
const globalArgs = (socket: string): string[] => [
  "--config=/dev/null",
  `--runtime-endpoint=unix://${socket}`,
  `--image-endpoint=unix://${socket}`,
  "--timeout=30s",
];

/** @param argv whether credentials may be passed as arguments, where the process list shows them */
export function crictl(
  run: RunCommand,
  { crictl: tool, socket }: Pick<ContainerdConfig, "crictl" | "socket">,
  argv: boolean,
) {
  let known: Promise<SemVer | undefined> | undefined;
  /** Cached once crictl has answered. */
  const version = (): Promise<SemVer | undefined> =>
    (known ??= run(tool, ["--version"], BRIEF)
      .then(parseVersion)
      .catch((error: unknown) => {
        known = undefined;
        throw error;
      }));
  const loginFor = async ({ auth }: Credential): Promise<Login> => {
    const found = await version();
    if (takesCredentialsFromEnvironment(found)) return { env: { CRICTL_AUTH: auth } };
    if (argv) return { args: ["--auth", auth] };
    throw new Failed({
      class: "auth",
      message: `crictl ${found?.version} cannot take credentials from its environment (1.24 and later can)`,
      next: "upgrade crictl, or set allow_credentials_in_argv, which shows them in the process list",
    });
  };
  return {
    /** Starts to find out how crictl takes credentials, so that the first pull with some does not wait for it. */
    prepareLogin: (): void => void version().catch(() => {}),
    /** Through CRI, so that the node's mirrors and certificates apply. */
    pull: async (name: string, { credential, signal }: PullOptions): Promise<void> => {
      const login: Login = credential === undefined ? {} : await loginFor(credential);
      const args = [...globalArgs(socket), "pull", ...(login.args ?? []), name];
      await run(tool, args, { signal, env: { ...BRIEF.env, ...login.env } });
    },
  };
}

interface Login {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}
