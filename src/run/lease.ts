// What was fetched, finished or not, stays for the next attempt and the next run: each image has a lease of its own, and
// lets go of it when it is placed.
import type { Containerd } from "../containerd/containerd.ts";
import type { Resource } from "../containerd/api.ts";
import { toFailure } from "./tool-failure.ts";

export type Leases = ReturnType<typeof leasesOf>;

interface Lease {
  readonly id: string;
  readonly held: Set<string>;
  /** Resolves when what was asked for is held. */
  busy: Promise<unknown>;
  isMade: boolean;
}

/**
 * Nothing here fails a run, but for a bug of ours: a lease that cannot be had costs bytes.
 * @param run tells the leases of one run from those of others
 * @param expires when containerd gives up what a run left that nobody went on with
 */
export function leasesOf(containerd: Containerd, run: string, expires: Date) {
  const leases = new Map<string, Lease>();
  let earlier: Promise<readonly string[]> | undefined;
  let isOver = false;
  const all = (): Promise<readonly string[]> => containerd.leases().catch(() => own());
  const own = (): string[] => [...leases.values()].filter(({ isMade }) => isMade).map(({ id }) => id);
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
  /** Once what is being held is held: nothing comes after it. */
  const settled = async (): Promise<void> => {
    await Promise.all([...leases.values()].map(({ busy }) => busy));
  };
  return {
    /**
     * Keeps these from garbage collection; those that are kept already cost nothing.
     * @param isFirm whether nothing but `letGo` ends it
     * @returns whether all of them are kept
     */
    hold: async (image: string, resources: readonly Resource[], isFirm = false): Promise<boolean> => {
      const lease = leaseOf(image, isFirm);
      lease.busy = lease.busy.then(() => (isOver ? undefined : add(containerd, lease, resources, expires)));
      await lease.busy;
      return resources.every(({ id }) => lease.held.has(id));
    },
    /** The image is placed: what was held for it, by earlier runs too, is its own now, or needed no more. */
    letGo: async (image: string): Promise<void> => {
      earlier ??= all();
      const mine = leases.get(image);
      await mine?.busy;
      const found = (await earlier).filter((id) => id.includes(`-${keyOf(image)}-`));
      leases.delete(image);
      const ids = new Set([...found, ...(mine?.isMade === true ? [mine.id] : [])]);
      await Promise.allSettled([...ids].map((id) => containerd.deleteLease(id, false)));
    },
    /** What nothing holds or needs is gone on return: containerd collects garbage when a lease ends. */
    collect: async (): Promise<void> => {
      const id = `${OURS}collect-${run}`;
      await containerd.createLease(id, expires);
      await containerd.deleteLease(id, true);
    },
    /**
     * Lets go of what is held, for good; with `all` of what earlier runs hold, too. What no image needs is gone on return.
     */
    release: async (whose: "all" | "own"): Promise<void> => {
      isOver = true;
      await settled();
      const ids = whose === "all" ? await all() : own();
      await drop(ids.filter(isLoose));
    },
  };
}

/** What cannot be held is not, and is asked for again the next time. */
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

/** The same in every run. A reference is longer than an id may be. */
const keyOf = (image: string): string => `${hash(image, 0x811c9dc5)}${hash(image, 0x01000193)}`;

/** FNV-1a, as text of one length. */
function hash(text: string, seed: number): string {
  const sum = [...Buffer.from(text)].reduce((value, byte) => Math.imul(value ^ byte, 0x01000193) >>> 0, seed);
  return sum.toString(36).padStart(7, "0");
}
