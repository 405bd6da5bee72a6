// The lease of a run: what was fetched, finished or not, stays for the next attempt and the next run.
import type { Containerd } from "../containerd/containerd.ts";
import type { Resource } from "../containerd/api.ts";
import { toFailure } from "./tool-failure.ts";

export type Lease = ReturnType<typeof leaseOf>;

/**
 * Nothing here fails a run, but for a bug of ours: a lease that cannot be had costs bytes.
 * @param expires when containerd gives up what a run left that nobody went on with
 */
export function leaseOf(containerd: Containerd, id: string, expires: Date) {
  const held = new Set<string>();
  let created: Promise<void> | undefined;
  const drop = async (ids: readonly string[]): Promise<void> => {
    held.clear();
    created = undefined;
    await Promise.allSettled(ids.map((lease) => containerd.deleteLease(lease)));
  };
  return {
    /** Keeps these from garbage collection; those that are kept already cost nothing. */
    hold: async (resources: readonly Resource[]): Promise<void> => {
      const fresh = resources.filter((resource) => !held.has(resource.id));
      if (fresh.length === 0) return;
      fresh.forEach((resource) => held.add(resource.id));
      created ??= containerd.createLease(id, expires);
      try {
        await created;
        await Promise.all(fresh.map((resource) => containerd.hold(id, resource)));
      } catch (error) {
        toFailure(error);
        created = undefined;
        fresh.forEach((resource) => held.delete(resource.id));
      }
    },
    /** Lets go of all that this and earlier runs hold. What no image needs is gone on return. */
    release: async (): Promise<void> => drop(await containerd.leases().catch(() => [id])),
    /** Lets go of what this run holds. */
    releaseOwn: async (): Promise<void> => (created === undefined ? undefined : drop([id])),
  };
}
