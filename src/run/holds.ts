// Keeps finished layers of an image that is not complete yet: containerd throws them away some 0.3 s after an attempt
// failed. A label on the manifest roots it and, through its references, every layer.
import type { ContentStore } from "../runtime/image-runtime.ts";
import { UNHURRIED } from "./pause.ts";

export interface Holds {
  /** Holds a manifest or index for an owner; doing it twice is nothing. */
  hold(owner: string, digest: string): Promise<void>;
  /** Begins to let go of all that is held for an owner. */
  release(owner: string): void;
  /** Lets go of everything, also of what a killed run left: such a label has no expiry. @returns how many stay held */
  releaseAll(): Promise<number>;
}

/**
 * Nothing here fails a run: a hold that cannot be set costs bytes, one that cannot be released is for the next run. What
 * a killed run held is kept to the end, because this run's pulls can go on from it.
 * @param swept whether an earlier run has surely left nothing
 */
export function holds(
  content: Pick<ContentStore, "hold" | "release" | "held">,
  { swept }: { readonly swept: boolean },
): Holds {
  /** By owner and digest; the promise is of the call that sets the label, so that a release comes after it. */
  const held = new Map<string, Map<string, Promise<boolean>>>();
  let left: Promise<readonly string[]> | undefined;
  const lookForLeft = (): Promise<readonly string[]> => (left ??= content.held().catch(() => []));
  const early = swept ? undefined : setTimeout(lookForLeft, UNHURRIED).unref();
  let releasing = Promise.resolve(0);
  let leaving: Promise<number> | undefined;

  const letGo = async (digests: readonly string[]): Promise<number> => {
    const results = await Promise.allSettled(digests.map((digest) => content.release(digest)));
    return results.filter(({ status }) => status === "rejected").length;
  };
  const letGoOf = async (digests: ReadonlyMap<string, Promise<boolean>>): Promise<number> => {
    const set = await Promise.all(
      [...digests].map(async ([digest, isSet]) => ((await isSet) ? [digest] : [])),
    );
    return letGo(set.flat());
  };
  const release = (owner: string): void => {
    const digests = held.get(owner);
    if (digests === undefined) return;
    held.delete(owner);
    releasing = sum(releasing, letGoOf(digests));
  };

  return {
    hold: async (owner, digest) => {
      const digests = held.getOrInsertComputed(owner, () => new Map());
      const set = async (): Promise<boolean> => {
        // One of the releases may be of the same digest.
        await releasing;
        // The blob may be gone already, with the attempt that fetched it.
        return content.hold(digest).then(
          () => true,
          () => false,
        );
      };
      await digests.getOrInsertComputed(digest, set);
    },
    release,
    releaseAll: () => {
      clearTimeout(early);
      [...held.keys()].forEach(release);
      leaving ??= swept ? Promise.resolve(0) : lookForLeft().then(letGo);
      return sum(releasing, leaving);
    },
  };
}

const sum = async (one: Promise<number>, other: Promise<number>): Promise<number> =>
  (await one) + (await other);
