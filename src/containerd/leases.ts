// Leases: what they hold, finished or not, containerd's garbage collection leaves alone until they expire or are deleted.
import type { Connection } from "./connection.ts";
import { Leases } from "./generated/leases_pb.ts";
import { unlessCode } from "./images.ts";

/** A blob by its digest, or a download by its ref, which need not have begun. */
export interface Resource {
  readonly type: "content" | "ingests";
  readonly id: string;
}

/** Tells whose a lease is, and finds them again. */
const OURS = "io.import-images.lease";
const EXPIRES = "containerd.io/gc.expire";
const ALREADY_EXISTS = 6;
const NOT_FOUND = 5;

export function leases({ client, call }: Connection) {
  const service = client(Leases);
  return {
    /** Ids of the leases of this agent, of whichever run. */
    leases: async (): Promise<string[]> => {
      const { leases: found } = await call((options) => service.list({ filters: [`labels."${OURS}"==true`] }, options));
      return found.map(({ id }) => id);
    },
    /** @param expires a malformed date would be accepted, and never expire */
    createLease: async (id: string, expires: Date): Promise<void> => {
      const labels = { [OURS]: "true", [EXPIRES]: expires.toISOString() };
      await call((options) => service.create({ id, labels }, options)).catch(unlessCode(ALREADY_EXISTS));
    },
    hold: async (lease: string, { type, id }: Resource): Promise<void> => {
      await call((options) => service.addResource({ id: lease, resource: { type, id } }, options));
    },
    /** What nothing else holds is gone on return. */
    deleteLease: async (id: string): Promise<void> => {
      await call((options) => service.delete({ id, sync: true }, options)).catch(unlessCode(NOT_FOUND));
    },
  };
}
