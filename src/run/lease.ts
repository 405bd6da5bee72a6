// Keeps what was fetched, finished or not, for the next attempt and the next run. Each image has its own lease, which
// is deleted when the image is placed.
import type { Containerd } from "../containerd/containerd.ts";
import type { Resource } from "../containerd/api.ts";
import { toFailure } from "./tool-failure.ts";

export type Leases = ReturnType<typeof leasesOf>;

interface Lease {
  readonly id: string;
  readonly held: Set<string>;
  /** Resolves when the requests so far are done. */
  busy: Promise<unknown>;
  isMade: boolean;
}

/**
 * Except for bugs, `hold`, `letGo` and `release` never throw: a missing lease only costs bytes.
 * @param run the ID of the run, to distinguish its leases from those of other runs
 * @param expires when containerd drops what a run left and no other run continued
 */
export function leasesOf(containerd: Containerd, run: string, expires: Date) {
  const leases = new Map<string, Lease>();
  let earlier: Promise<readonly string[]> | undefined;
  let isOver = false;
  const all = (): Promise<readonly string[]> => containerd.leases().catch(() => own());
  const own = (): string[] => [...leases.values()].map(({ id }) => id);
  const leaseOf = (image: string, isFirm: boolean): Lease =>
    leases.getOrInsertComputed(image, () => ({
      id: `${isFirm ? FIRM : OURS}${keyOf(image)}-${run}`,
      held: new Set(),
      busy: Promise.resolve(),
      isMade: false,
    }));
  const drop = async (ids: readonly string[]): Promise<void> => {
    await Promise.allSettled(ids.map((id, nth) => containerd.deleteLease(id, nth === ids.length - 1)));
  };
  /** Waits for the holds under way. No more can follow. */
  const settled = async (): Promise<void> => {
    await Promise.all([...leases.values()].map(({ busy }) => busy));
  };
  return {
    /**
     * Protects resources from garbage collection. Those that are held already cost nothing.
     * @param isFirm whether only `letGo` ends the hold
     * @returns whether all of them are held
     */
    hold: async (image: string, resources: readonly Resource[], isFirm = false): Promise<boolean> => {
      const lease = leaseOf(image, isFirm);
      lease.busy = lease.busy.then(() => (isOver ? undefined : add(containerd, lease, resources, expires)));
      await lease.busy;
      return resources.every(({ id }) => lease.held.has(id));
    },
    /** Deletes the leases of a placed image, also from earlier runs: its record now keeps the content that it needs. */
    letGo: async (image: string): Promise<void> => {
      earlier ??= all();
      const mine = leases.get(image);
      await mine?.busy;
      const found = (await earlier).filter((id) => id.includes(`-${keyOf(image)}-`));
      leases.delete(image);
      const ids = new Set([...found, ...(mine === undefined ? [] : [mine.id])]);
      await Promise.allSettled([...ids].map((id) => containerd.deleteLease(id, false)));
    },
    /** Runs a garbage collection to its end, by deleting a lease synchronously. @throws ApiError */
    collect: async (): Promise<void> => {
      const id = `${OURS}collect-${run}`;
      await containerd.createLease(id, expires);
      await containerd.deleteLease(id, true);
    },
    /** Deletes all leases that are not firm, with `all` also those of earlier runs, and collects garbage. Final. */
    release: async (whose: "all" | "own"): Promise<void> => {
      isOver = true;
      await settled();
      const ids = whose === "all" ? await all() : own();
      await drop(ids.filter(isLoose));
    },
  };
}

/** Ignores failures, except bugs: the next call requests the resources again. */
async function add(
  containerd: Containerd,
  lease: Lease,
  resources: readonly Resource[],
  expires: Date,
): Promise<void> {
  const fresh = resources.filter(({ id }) => !lease.held.has(id));
  if (fresh.length === 0) return;
  fresh.forEach(({ id }) => lease.held.add(id));
  try {
    if (!lease.isMade) await containerd.createLease(lease.id, expires);
    lease.isMade = true;
    await Promise.all(fresh.map((resource) => containerd.hold(lease.id, resource)));
  } catch (error) {
    toFailure(error);
    lease.isMade = false;
    fresh.forEach(({ id }) => lease.held.delete(id));
  }
}

const OURS = "import-images-";
const FIRM = `${OURS}firm-`;
const isLoose = (id: string): boolean => !id.startsWith(FIRM);

/** The same in every run. A hash, because a reference may be longer than a lease ID may be. */
const keyOf = (image: string): string => `${hash(image, 0x811c9dc5)}${hash(image, 0x01000193)}`;

/** FNV-1a as text of a fixed length. */
function hash(text: string, seed: number): string {
  const sum = [...Buffer.from(text)].reduce((value, byte) => Math.imul(value ^ byte, 0x01000193) >>> 0, seed);
  return sum.toString(36).padStart(7, "0");
}
