// Which layers are unpacked: the committed snapshots of one snapshotter, by their chain ids.
import type { Connection } from "./connection.ts";
import { Kind, Snapshots } from "./generated/snapshots_pb.ts";

export function snapshotStore({ collect }: Connection) {
  return {
    /** @param chainIds to look for; all of them when it is not given */
    snapshots: async (snapshotter: string, chainIds?: readonly string[]): Promise<string[]> => {
      const filters = chainIds?.map((chainId) => `name==${chainId}`) ?? [];
      const parts = await collect(Snapshots.method.list, { snapshotter, filters });
      return parts
        .flatMap(({ info }) => info.filter(({ kind }) => kind === Kind.COMMITTED))
        .map(({ name }) => name);
    },
  };
}
