// containerd's content store: finished blobs with their labels, and downloads under way.
import { sourceLabel, type Repository } from "../core/content.ts";
import type { Blob } from "../core/node.ts";
import type { Download } from "../core/transfer.ts";
import { CODE, unlessCode, type Connection } from "./connection.ts";
import { Content, type Info } from "./generated/content_pb.ts";
import { labelPaths } from "./images.ts";

export function contentStore({ ask, collect }: Connection) {
  const { list, read, listStatuses, abort, update } = Content.method;
  return {
    /** @param repositories of which blobs are listed; all blobs when it is not given */
    blobs: async (repositories?: readonly Repository[]): Promise<Blob[]> => {
      const filters = repositories?.map(fromRepository) ?? [];
      const parts = await collect(list, { filters });
      return parts.flatMap(({ info }) => info.map(toBlob));
    },
    /** The text of a small blob, such as a manifest. */
    read: async (digest: string): Promise<string> => {
      const parts = await collect(read, { digest });
      return Buffer.concat(parts.map(({ data }) => data)).toString("utf8");
    },
    downloads: async (): Promise<Download[]> => {
      const { statuses } = await ask(listStatuses, {});
      return statuses.map(({ ref, offset, total }) => ({
        ref,
        offset: Number(offset),
        total: Number(total),
      }));
    },
    /** Throws a partial download away; one that is not there is gone already. */
    abort: async (ref: string): Promise<void> => {
      await ask(abort, { ref }).catch(unlessCode(CODE.notFound));
    },
    unlabelBlob: async ({ digest, size }: Blob, labels: readonly string[]): Promise<void> => {
      const info = { digest, size: BigInt(size), labels: {} };
      await ask(update, { info, updateMask: { paths: labelPaths(labels) } });
    },
  };
}

/**
 * containerd's filter for blobs of a repository; the label holds a list when repositories share the blob. Dots need a
 * class rather than a backslash, which the filter's own quoting would take for itself.
 */
const fromRepository = (repository: Repository): string =>
  `labels."${sourceLabel(repository)}"~="(^|,)${repository.path.replaceAll(".", "[.]")}(,|$)"`;

const toBlob = ({ digest, size, labels }: Info): Blob => ({ digest, size: Number(size), labels });
