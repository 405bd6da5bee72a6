// What this run has learned about each registry: when it may be asked again, by how many images at once, and which
// credentials it took or refused.
import type { Credential } from "../core/credentials.ts";
import { actionOf, type Failure, type FailureClass } from "../core/failure.ts";
import { backOff, type RetryPolicy } from "../core/retry.ts";
import type { Clock } from "./context.ts";

/** Who wants to ask which registry. */
export interface Asking {
  readonly host: string;
  /** Name of the image. */
  readonly image: string;
  readonly credential?: Credential;
}

export interface RegistryHealth {
  /** Milliseconds until the registry may be asked again; 0 is now. */
  readonly waitFor: (host: string) => number;
  /** Resolves when `enter` would let this image in; awaited without a slot. Rejects with the signal's reason. */
  readonly untilOpen: (asking: Asking, signal: AbortSignal) => Promise<void>;
  /** Lets one attempt in, to be disposed when it is over; undefined when it has to wait again. */
  readonly enter: (asking: Asking) => Visit | undefined;
}

/** One attempt at a registry. */
export interface Visit extends Disposable {
  /** The registry refused these credentials and never took them: a further try nears a lock-out. */
  readonly refused: boolean;
  /** It had all its rounds in vain: an image that was tried already need not be tried again. */
  readonly exhausted: boolean;
  /** Bytes of the image arrive, so its login was taken: those who wait for that need not wait for the rest. */
  readonly answered: () => void;
  readonly succeeded: () => void;
  /** @returns whether the registry is exhausted now */
  readonly failed: (failure: Failure, wrongPassword: boolean) => boolean;
}

/** A registry that fell silent for so many images in a row is hung, and not slow with one. */
const HUNG = 2;
/** What the registry did not say itself. */
const NO_ANSWER = new Set<FailureClass>([
  "stall",
  "network",
  "timeout",
  "tls",
  "disk",
  "runtime",
  "cancelled",
  "unknown",
]);

export function registryHealth(
  policy: RetryPolicy,
  { now, random, sleep }: Pick<Clock, "now" | "random" | "sleep">,
): RegistryHealth {
  const registries = registryMemory(policy, now, random);
  const [logins, keys] = [loginMemory(), keyring()];
  /** What only one image may have at a time. */
  const contested = ({ host, credential }: Asking): string[] => [
    ...(registries.isHung(host) ? [host] : []),
    ...logins.untried(host, credential),
  ];
  const mayEnter = (asking: Asking): boolean =>
    registries.waitFor(asking.host) === 0 && keys.areFree(contested(asking));
  const visit = (asking: Asking): Visit => {
    const { host, image, credential } = asking;
    const alone = registries.isHung(host);
    const leave = keys.take(contested(asking));
    return {
      refused: logins.hasRefused(host, credential),
      exhausted: registries.isExhausted(host),
      answered: () => keys.changedBy(() => logins.accept(host, credential)),
      succeeded: () => {
        registries.forget(host);
        keys.changedBy(() => logins.accept(host, credential));
      },
      failed: (failure, wrongPassword) => {
        if (wrongPassword) logins.refuse(host, credential);
        return registries.failed(host, failure.class, { image, alone });
      },
      [Symbol.dispose]: leave,
    };
  };
  return {
    waitFor: registries.waitFor,
    untilOpen: async (asking, signal) => {
      while (!mayEnter(asking)) {
        const ms = registries.waitFor(asking.host);
        await (ms > 0 ? sleep(ms, signal) : keys.changed(signal));
      }
    },
    enter: (asking) => (mayEnter(asking) ? visit(asking) : undefined),
  };
}

/** What is known of one registry since it last gave an image. */
interface Registry {
  /** How often in a row all had to wait for it in vain, or the one that asked alone met silence. */
  rounds: number;
  /** By the clock that was given. */
  opensAt: number;
  /** Images for which it fell silent, in a row. */
  readonly stalled: Set<string>;
}

function registryMemory(policy: RetryPolicy, now: () => number, random: () => number) {
  const registries = new Map<string, Registry>();
  const at = (host: string): Registry => registries.getOrInsertComputed(host, nothingKnown);
  const waitFor = (host: string): number => Math.max(0, at(host).opensAt - now());
  const isExhausted = (host: string): boolean => at(host).rounds >= policy.attempts;
  /** For all. Pulls that were under way together fail together: one round, not several. */
  const close = (host: string, failure: FailureClass): void => {
    if (isExhausted(host) || waitFor(host) > 0) return;
    const registry = at(host);
    registry.rounds += 1;
    registry.opensAt = now() + backOff(policy, failure, registry.rounds, random());
  };
  return {
    waitFor,
    isExhausted,
    isHung: (host: string): boolean => at(host).stalled.size >= HUNG,
    forget: (host: string): void => void registries.delete(host),
    /** @returns whether it is exhausted now */
    failed: (host: string, failure: FailureClass, by: { image: string; alone: boolean }): boolean => {
      const { stalled } = at(host);
      if (!NO_ANSWER.has(failure)) stalled.clear();
      const [silent, concernsAll] = [failure === "stall", actionOf(failure) === "registry-back-off"];
      if (silent) stalled.add(by.image);
      if (silent && by.alone) at(host).rounds += 1;
      if (concernsAll) close(host, failure);
      return (silent || concernsAll) && isExhausted(host);
    },
  };
}

const nothingKnown = (): Registry => ({ rounds: 0, opensAt: 0, stalled: new Set() });

const loginKey = (host: string, { auth }: Credential): string => `${host} ${auth}`;

function loginMemory() {
  const taken = new Set<string>();
  const turnedDown = new Set<string>();
  return {
    accept: (host: string, credential?: Credential): void => {
      if (credential !== undefined) taken.add(loginKey(host, credential));
    },
    refuse: (host: string, credential?: Credential): void => {
      if (credential !== undefined) turnedDown.add(loginKey(host, credential));
    },
    hasRefused: (host: string, credential?: Credential): boolean => {
      if (credential === undefined) return false;
      const login = loginKey(host, credential);
      return turnedDown.has(login) && !taken.has(login);
    },
    /** The key of a login of which nothing is known yet. */
    untried: (host: string, credential?: Credential): string[] => {
      if (credential === undefined) return [];
      const login = loginKey(host, credential);
      return taken.has(login) || turnedDown.has(login) ? [] : [login];
    },
  };
}

/** Keys that one has at a time, and those who wait until something changes. */
function keyring() {
  const inUse = new Set<string>();
  let change = Promise.withResolvers<void>();
  const changedBy = (act: () => void): void => {
    act();
    change.resolve();
    change = Promise.withResolvers();
  };
  return {
    changedBy,
    areFree: (keys: readonly string[]): boolean => !keys.some((key) => inUse.has(key)),
    /** @returns how to give them back */
    take: (keys: readonly string[]): (() => void) => {
      for (const key of keys) inUse.add(key);
      return () =>
        changedBy(() => {
          for (const key of keys) inUse.delete(key);
        });
    },
    /** Rejects with the signal's reason. */
    changed: async (signal: AbortSignal): Promise<void> => {
      signal.throwIfAborted();
      const stopped = Promise.withResolvers<never>();
      const stop = (): void => stopped.reject(signal.reason);
      signal.addEventListener("abort", stop, { once: true });
      try {
        await Promise.race([change.promise, stopped.promise]);
      } finally {
        signal.removeEventListener("abort", stop);
      }
    },
  };
}
