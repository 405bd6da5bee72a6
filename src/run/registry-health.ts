// What this run has learned about each registry: when it may be asked again, and which credentials it refused.
import type { Credential } from "../core/credentials.ts";
import { actionOf, type Failure } from "../core/failure.ts";
import { backOff, type RetryPolicy } from "../core/retry.ts";

export interface RegistryHealth {
  /** Milliseconds until the registry may be asked again; 0 is now. */
  waitFor(host: string): number;
  /** Notes a failure. @returns whether the registry had all its rounds, so that further retries are pointless */
  failed(host: string, failure: Failure): boolean;
  succeeded(host: string, credential?: Credential): void;
  /** Whether the registry refused exactly these credentials and never took them: a further try nears a lock-out. */
  hasRefused(host: string, credential?: Credential): boolean;
  refused(host: string, credential?: Credential): void;
}

/**
 * @param now epoch milliseconds
 * @param random from 0 to 1
 */
export function registryHealth(policy: RetryPolicy, now: () => number, random: () => number): RegistryHealth {
  const rounds = new Map<string, number>();
  const opensAt = new Map<string, number>();
  const login = loginMemory();
  const waitFor = (host: string): number => Math.max(0, (opensAt.get(host) ?? 0) - now());
  return {
    ...login,
    waitFor,
    failed: (host, failure) => {
      if (actionOf(failure.class) !== "registry-back-off") return false;
      const round = rounds.get(host) ?? 0;
      if (round >= policy.attempts) return true;
      // Pulls that were under way together fail together: one round, not several.
      if (waitFor(host) > 0) return false;
      rounds.set(host, round + 1);
      opensAt.set(host, now() + backOff(policy, failure.class, round + 1, random()));
      return round + 1 >= policy.attempts;
    },
    succeeded: (host, credential) => {
      rounds.delete(host);
      opensAt.delete(host);
      login.accepted(host, credential);
    },
  };
}

const loginKey = (host: string, credential: Credential): string => `${host} ${credential.auth}`;

function loginMemory() {
  const taken = new Set<string>();
  const turnedDown = new Set<string>();
  return {
    accepted: (host: string, credential?: Credential): void => {
      if (credential !== undefined) taken.add(loginKey(host, credential));
    },
    refused: (host: string, credential?: Credential): void => {
      if (credential !== undefined) turnedDown.add(loginKey(host, credential));
    },
    hasRefused: (host: string, credential?: Credential): boolean => {
      if (credential === undefined) return false;
      const login = loginKey(host, credential);
      return turnedDown.has(login) && !taken.has(login);
    },
  };
}
