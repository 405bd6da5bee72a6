// Which layers are unpacked: the committed snapshots of one snapshotter, by their chain ids.
import type { Connection } from "./connection.ts";
import { Kind, Snapshots } from "./generated/snapshots_pb.ts";

export function snapshotStore({ client, collect }: Connection) {
  const snapshots = client(Snapshots);
  return {
    /** @param chainIds to look for; all of them when it is not given */
    snapshots: async (snapshotter: string, chainIds?: readonly string[]): Promise<string[]> => {
      const filters = chainIds?.map((chainId) => `name==${chainId}`) ?? [];
      const parts = await collect((options) => snapshots.list({ snapshotter, filters }, options));
      return parts.flatMap(({ info }) => info.filter(({ kind }) => kind === Kind.COMMITTED)).map(({ name }) => name);
    },
  };
}
