// A runtime whose pulls end as a script says, and which counts how many are under way.
import type { FailureClass } from "../../../src/core/failure.ts";
import type { ImageRuntime, PullOptions } from "../../../src/runtime/image-runtime.ts";
import { CommandError } from "../../../src/runtime/command.ts";

/** How a pull ends: a failure, or the image's id; `hang` until it is ended from outside. */
export type Ending =
  | { readonly fail: FailureClass | "wrong-password" }
  | { readonly id: string }
  | "hang"
  | "timed-out";

const SAID: Readonly<Partial<Record<FailureClass | "wrong-password", string>>> = {
  auth: "pull access denied, repository does not exist or may require authorization",
  "wrong-password": "unexpected status from HEAD request to http://r/v2/a/manifests/1: 401 Unauthorized",
  "not-found": 'failed to resolve reference "r/a:1": r/a:1: not found',
  "rate-limit": "unexpected status from HEAD request to http://r/v2/a/manifests/1: 429 Too Many Requests",
  server: "unexpected status from HEAD request to http://r/v2/a/manifests/1: 503 Service Unavailable",
  network: 'failed to do request: Head "http://r/v2/": dial tcp: connect: connection refused',
  transfer: "short read: expected 10 bytes but got 5: unexpected EOF",
  disk: "write /x: no space left on device",
  runtime: "validate service connection: code = Unavailable",
  unknown: "the moon is in the wrong house",
};

export interface Pulled {
  readonly name: string;
  readonly at: number;
  readonly options: PullOptions;
}

export interface ScriptedRuntime extends Pick<ImageRuntime, "pull"> {
  /** Every pull that was begun, in order. */
  readonly pulls: readonly Pulled[];
  /** Pulls under way, now and at most. */
  readonly underWay: () => number;
  readonly most: () => number;
}

const ended = (overrides: Partial<{ timedOut: boolean; isCanceled: boolean }> = {}) => ({
  exitCode: 1,
  timedOut: false,
  isCanceled: false,
  ...overrides,
});

/** @param script what each pull of a name does, in order; the last one again and again */
export function scriptedRuntime(script: Readonly<Record<string, readonly Ending[]>>): ScriptedRuntime {
  const pulls: Pulled[] = [];
  let underWay = 0;
  let most = 0;
  const end = async (ending: Ending, signal: AbortSignal): Promise<string> => {
    if (ending === "hang") {
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      throw new CommandError("interrupted: context canceled", ended({ isCanceled: true }));
    }
    await new Promise<void>((resolve) => void setImmediate(resolve));
    if (ending === "timed-out")
      throw new CommandError("crictl did not answer in time", ended({ timedOut: true }));
    if ("id" in ending) return ending.id;
    throw new CommandError(SAID[ending.fail] ?? ending.fail, ended());
  };
  return {
    pulls,
    underWay: () => underWay,
    most: () => most,
    pull: async (name, options) => {
      const earlier = pulls.filter((pull) => pull.name === name).length;
      const endings = script[name] ?? [{ id: `sha256:${name}` }];
      pulls.push({ name, at: performance.now(), options });
      underWay += 1;
      most = Math.max(most, underWay);
      try {
        return await end(endings[Math.min(earlier, endings.length - 1)] ?? "hang", options.signal);
      } finally {
        underWay -= 1;
      }
    },
  };
}
