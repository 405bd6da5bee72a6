// Keeps finished layers of an image that is not complete yet: containerd throws them away some 0.3 s after an attempt
// failed. A label on the manifest roots it and, through its references, every layer.
import type { ContentStore } from "../runtime/image-runtime.ts";

export interface Holds {
  /** Holds a manifest or index for an owner; doing it twice is nothing. */
  hold(owner: string, digest: string): Promise<void>;
  /** Lets go of all that is held for an owner. */
  release(owner: string): Promise<void>;
  releaseAll(): Promise<void>;
  /** Lets go of what a killed run left: such a label has no expiry. @returns how many there were */
  sweep(): Promise<number>;
}

/** Nothing here fails a run: a hold that cannot be set costs bytes, one that cannot be released is swept later. */
export function holds(content: Pick<ContentStore, "hold" | "release" | "held">): Holds {
  /** By owner and digest; the promise is of the call that sets the label, so that a release comes after it. */
  const held = new Map<string, Map<string, Promise<void>>>();
  const letGo = (digests: Iterable<string>): Promise<unknown> =>
    Promise.allSettled([...digests].map((digest) => content.release(digest)));

  const release = async (owner: string): Promise<void> => {
    const digests = held.get(owner);
    if (digests === undefined) return;
    held.delete(owner);
    await Promise.all(digests.values());
    await letGo(digests.keys());
  };

  return {
    hold: async (owner, digest) => {
      const digests = held.getOrInsertComputed(owner, () => new Map());
      // The blob may be gone already, with the attempt that fetched it.
      await digests.getOrInsertComputed(digest, () => content.hold(digest).catch(() => {}));
    },
    release,
    releaseAll: async () => {
      await Promise.all([...held.keys()].map(release));
    },
    sweep: async () => {
      const left = await content.held();
      await letGo(left);
      return left.length;
    },
  };
}
