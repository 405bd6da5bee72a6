// Leases: what they hold, finished or not, containerd's garbage collection leaves alone until they expire or are deleted.
import { CODE, unlessCode, type Connection } from "./connection.ts";
import type { Resource } from "./containerd.ts";
import { Leases } from "./generated/leases_pb.ts";

/** Tells whose a lease is, and finds them again. */
const OURS = "io.import-images.lease";
const EXPIRES = "containerd.io/gc.expire";

export function leases({ ask }: Connection) {
  const { list, create, addResource, delete: remove } = Leases.method;
  return {
    /** Ids of the leases of this agent, of whichever run. */
    leases: async (): Promise<string[]> => {
      const { leases: found } = await ask(list, { filters: [`labels."${OURS}"==true`] });
      return found.map(({ id }) => id);
    },
    /** @param expires a malformed date would be accepted, and never expire */
    createLease: async (id: string, expires: Date): Promise<void> => {
      const labels = { [OURS]: "true", [EXPIRES]: expires.toISOString() };
      await ask(create, { id, labels }).catch(unlessCode(CODE.alreadyExists));
    },
    hold: async (lease: string, { type, id }: Resource): Promise<void> => {
      await ask(addResource, { id: lease, resource: { type, id } });
    },
    /** What nothing else holds is gone on return. */
    deleteLease: async (id: string): Promise<void> => {
      await ask(remove, { id, sync: true }).catch(unlessCode(CODE.notFound));
    },
  };
}
