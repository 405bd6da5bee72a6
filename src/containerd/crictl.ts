// crictl: pulls, and how it takes credentials.
import type { SemVer } from "semver";
import { parseVersion, takesCredentialsFromEnvironment } from "../core/capabilities.ts";
import type { Credential } from "../core/credentials.ts";
import { Failed } from "../core/failure.ts";
import type { ContainerdConfig } from "../config/config.ts";
import { BRIEF, type RunCommand } from "./command.ts";

export interface PullOptions {
  readonly credential?: Credential;
  /** Ends the pull, also inside containerd, which stops at once when its client goes. */
  readonly signal: AbortSignal;
}

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

/** @param argv whether credentials may be shown there */
export function crictl(
  run: RunCommand,
  { crictl: tool, socket }: Pick<ContainerdConfig, "crictl" | "socket">,
  argv: boolean,
) {
  let known: Promise<SemVer | undefined> | undefined;
  /** Asks until there is an answer, and then no more. */
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
    /** Begins to find out how crictl takes credentials: the first pull with some would wait for it. */
    prepareLogin: (): void => void version().catch(() => {}),
    /** Through CRI, so that mirrors and certificates of the node apply. */
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
