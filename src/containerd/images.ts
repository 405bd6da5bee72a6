// containerd's image records: a name, its labels, and the descriptor that it leads to.
// A request without one of its sub-messages crashes containerd 1.7 and 2, so each write is built here and nowhere else.
import type { ImageRecord } from "../core/node.ts";
import type { Repository } from "../core/content.ts";
import { ApiError, CODE, unlessCode, type Connection } from "./connection.ts";
import type { RecordFilter } from "./containerd.ts";
import { Images, type Image } from "./generated/images_pb.ts";

export function imageRecords({ ask }: Connection) {
  const { list, create, update, delete: remove } = Images.method;
  return {
    records: async (of?: RecordFilter): Promise<ImageRecord[]> => {
      const filters = of === undefined ? [] : [...of.names.map(named), ...of.repositories.map(digestsOf)];
      const { images: found } = await ask(list, { filters });
      return found.map(toRecord);
    },
    /** Makes the record, or puts the labels on the one that has its name. */
    saveRecord: async ({ name, labels, target }: ImageRecord): Promise<void> => {
      const image = { name, labels, target: toDescriptor(target) };
      try {
        await ask(create, { image });
      } catch (error) {
        if (!(error instanceof ApiError) || error.code !== CODE.alreadyExists) throw error;
        await ask(update, { image, updateMask: { paths: labelPaths(Object.keys(labels)) } });
      }
    },
    unlabelRecord: async ({ name, target }: ImageRecord, labels: readonly string[]): Promise<void> => {
      const image = { name, labels: {}, target: toDescriptor(target) };
      await ask(update, { image, updateMask: { paths: labelPaths(labels) } });
    },
    /** One that is not there is deleted already. */
    deleteRecord: async (name: string): Promise<void> => {
      await ask(remove, { name }).catch(unlessCode(CODE.notFound));
    },
  };
}

const named = (name: string): string => `name==${name}`;
/** Dots need a class rather than a backslash, which the filter's own quoting would take for itself. */
const digestsOf = ({ domain, path }: Repository): string =>
  `name~="^${`${domain}/${path}`.replaceAll(/[.[\]]/gu, (char) => (char === "." ? "[.]" : "."))}@"`;

/** containerd cuts the prefix and takes the rest as the label's key, dots and all; a mask `labels` would replace all of them. */
export const labelPaths = (labels: readonly string[]): string[] => labels.map((label) => `labels.${label}`);

const toDescriptor = ({ mediaType, digest, size }: ImageRecord["target"]) => ({
  mediaType,
  digest,
  size: BigInt(size),
});

const toRecord = ({ name, labels, target }: Image): ImageRecord => ({
  name,
  labels,
  target: {
    mediaType: target?.mediaType ?? "",
    digest: target?.digest ?? "",
    size: Number(target?.size ?? 0),
  },
});
