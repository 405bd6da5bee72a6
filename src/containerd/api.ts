// containerd's API: image records, content, snapshots, leases and directories, and the CRI on the same socket.
// A request without one of its sub-messages crashes containerd 1.7 and 2, so each write is built here and nowhere else.
import type { SemVer } from "semver";
import { parseVersion } from "../core/capabilities.ts";
import { snapshotLabel, sourceLabel, type Repository } from "../core/content.ts";
import { CODE } from "../core/failure.ts";
import type { Blob, CriImage, ImageRecord, Layer, Snapshot } from "../core/node.ts";
import type { Download } from "../core/transfer.ts";
import { ApiError, unlessCode, type Connection } from "./connection.ts";
import { ContainersService } from "./generated/containers.ts";
import { ContentService } from "./generated/content.ts";
import { ImageServiceService, RuntimeServiceService } from "./generated/cri.ts";
import { ImagesService, type Image } from "./generated/images.ts";
import { IntrospectionService } from "./generated/introspection.ts";
import { LeasesService } from "./generated/leases.ts";
import { Kind, SnapshotsService, type Info } from "./generated/snapshots.ts";
import type { Mount } from "./generated/types/mount.ts";

export const api = (connection: Connection) => ({
  ...imageRecords(connection),
  ...contentStore(connection),
  ...snapshotStore(connection),
  ...leases(connection),
  ...cri(connection),
});

function imageRecords({ ask }: Connection) {
  const { get, list, create, update, delete: remove } = ImagesService;
  return {
    records: async (): Promise<ImageRecord[]> => {
      const { images } = await ask(list, {});
      return images.map(toRecord);
    },
    /** Undefined if there is none. Listing would scan all records, even with a filter. */
    record: async (name: string): Promise<ImageRecord | undefined> => {
      const found = await ask(get, { name }).catch(unlessCode(CODE.notFound));
      return found?.image && toRecord(found.image);
    },
    /** Creates the record, or points an existing one to the target and adds the labels to those that it has. */
    saveRecord: async ({ name, labels, target }: ImageRecord): Promise<void> => {
      const image = { name, labels, target };
      const made = await ask(create, { image }).catch(unlessCode(CODE.alreadyExists));
      if (made !== undefined) return;
      // containerd takes all text after `labels.` as the key, dots included. A mask `labels` would replace every label.
      const updateMask = ["target", ...Object.keys(labels).map((label) => `labels.${label}`)];
      await ask(update, { image, updateMask });
    },
    /** Succeeds if there is none. */
    deleteRecord: async (name: string): Promise<void> => {
      await ask(remove, { name }).catch(unlessCode(CODE.notFound));
    },
  };
}

const toRecord = ({ name, labels, target }: Image): ImageRecord => ({
  name,
  labels,
  target: target ?? { mediaType: "", digest: "", size: 0 },
});

function contentStore({ ask, collect }: Connection) {
  const { info: find, list, read, update, delete: remove, listStatuses, abort } = ContentService;
  return {
    /** @param sources which blobs to list; all if omitted */
    blobs: async (sources?: readonly BlobSource[]): Promise<Blob[]> => {
      const parts = await collect(list, { filters: sources?.map(fromSource) ?? [] });
      return parts.flatMap(({ info }) => info);
    },
    /** Undefined if the blob is missing or incomplete. */
    blob: async (digest: string): Promise<Blob | undefined> => {
      const found = await ask(find, { digest }).catch(unlessCode(CODE.notFound));
      return found?.info;
    },
    /** Text of a document; undefined if the blob is too large for one. @throws ApiError (outOfRange) if truncated */
    read: async ({ digest, size }: Layer): Promise<string | undefined> => {
      if (size > MOST) return undefined;
      const parts = await collect(read, { digest });
      const data = Buffer.concat(parts.map((part) => part.data));
      if (data.length === size) return data.toString("utf8");
      throw new ApiError(CODE.outOfRange, `containerd: ${digest} has ${data.length} of ${size} bytes`);
    },
    /** A pull fetches a blob again only once it is deleted. Succeeds if there is none. */
    deleteBlob: async (digest: string): Promise<void> => {
      await ask(remove, { digest }).catch(unlessCode(CODE.notFound));
    },
    /** Removes the label with which a config protects its snapshot from garbage collection. */
    unlinkSnapshot: async (digest: string, snapshotter: string): Promise<void> => {
      // An update to no value deletes the label.
      const info = { digest, size: 0, labels: {} };
      const updateMask = [`labels.${snapshotLabel(snapshotter)}`];
      await ask(update, { info, updateMask }).catch(unlessCode(CODE.notFound));
    },
    /** Directory that contains `blobs/sha256`; undefined if containerd does not report it. */
    contentDirectory: async (): Promise<string | undefined> => {
      const { plugins } = await ask(IntrospectionService.plugins, { filters: [CONTENT_PLUGIN] });
      return plugins[0]?.exports["root"];
    },
    downloads: async (): Promise<Download[]> => {
      const { statuses } = await ask(listStatuses, {});
      return [...statuses];
    },
    /** Discards a partial download. Succeeds if there is none. */
    abort: async (ref: string): Promise<void> => {
      await ask(abort, { ref }).catch(unlessCode(CODE.notFound));
    },
  };
}

const CONTENT_PLUGIN = "type==io.containerd.content.v1";

function snapshotStore({ ask, collect }: Connection) {
  const { list, stat, view, mounts, remove } = SnapshotsService;
  const removeSnapshot = async (snapshotter: string, key: string): Promise<boolean> => {
    try {
      await ask(remove, { snapshotter, key }).catch(unlessCode(CODE.notFound));
      return true;
    } catch (error) {
      unlessCode(CODE.failedPrecondition)(error);
      return false;
    }
  };
  return {
    snapshots: async (snapshotter: string): Promise<Snapshot[]> => {
      const parts = await collect(list, { snapshotter });
      return parts.flatMap(({ info }) => info).map(toSnapshot);
    },
    /** Undefined if there is none. */
    snapshot: async (snapshotter: string, key: string): Promise<Snapshot | undefined> => {
      const found = await ask(stat, { snapshotter, key }).catch(unlessCode(CODE.notFound));
      return found?.info && toSnapshot(found.info);
    },
    /**
     * Directories of a snapshot and of those below it, in this order; undefined if the snapshotter has none. They come
     * from a view, as for a container, which is removed again. A view that was left over is used.
     * @throws ApiError also if the snapshot's own directory is gone
     */
    layerDirectories: async (snapshotter: string, chainId: string): Promise<string[] | undefined> => {
      const key = `${VIEW}${chainId}`;
      const made = await ask(view, { snapshotter, key, parent: chainId }).catch(
        unlessCode(CODE.alreadyExists),
      );
      const found = made ?? (await ask(mounts, { snapshotter, key }));
      await removeSnapshot(snapshotter, key);
      return directoriesOf(found.mounts);
    },
    /** @returns false if it remains because another snapshot is on top of it */
    removeSnapshot,
  };
}

const toSnapshot = ({ name, parent, kind, createdAt }: Info): Snapshot => ({
  name,
  parent,
  isCommitted: kind === Kind.COMMITTED,
  createdAt: createdAt?.toISOString() ?? "",
});

/** Key prefix of our own views, so that no other client's is taken for one of them. */
const VIEW = "import-images-view-";

/** The lower directories of an overlay mount, top one first, or the one directory of a bind mount. */
function directoriesOf([mount]: readonly Mount[]): string[] | undefined {
  const lower = mount?.options.find((option) => option.startsWith("lowerdir="));
  if (lower !== undefined) return lower.slice("lowerdir=".length).split(":");
  return mount?.type === "bind" ? [mount.source] : undefined;
}

/** Maximum bytes of a document. Registries accept manifests of a sixth of it. */
const MOST = 24 * 2 ** 20;

export interface BlobSource {
  readonly repository: Repository;
  /** Include blobs of several repositories: one label lists all paths, and containerd compiles a pattern per blob. */
  readonly shared: boolean;
}

const fromSource = ({ repository, shared }: BlobSource): string => {
  const { path } = repository;
  // Dots become a class, because the filter's quoting would consume a backslash.
  const value = shared ? `~="(^|,)${path.replaceAll(".", "[.]")}(,|$)"` : `=="${path}"`;
  return `labels."${sourceLabel(repository)}"${value}`;
};

/** A blob by its digest, or a download by its ref, even before it starts. */
export interface Resource {
  readonly type: "content" | "ingests";
  readonly id: string;
}

/** Label of our leases, to find them again. */
const OURS = "io.import-images.lease";
const EXPIRES = "containerd.io/gc.expire";

/** Garbage collection keeps what a lease holds, complete or not, until the lease expires or is deleted. */
function leases({ ask }: Connection) {
  const { list, create, addResource, delete: remove } = LeasesService;
  return {
    /** Ids of our leases, from any run. */
    leases: async (): Promise<string[]> => {
      const { leases: found } = await ask(list, { filters: [`labels."${OURS}"==true`] });
      return found.map(({ id }) => id);
    },
    /** @param expires a Date, because containerd accepts malformed text, and such a lease never expires */
    createLease: async (id: string, expires: Date): Promise<void> => {
      const labels = { [OURS]: "true", [EXPIRES]: expires.toISOString() };
      await ask(create, { id, labels }).catch(unlessCode(CODE.alreadyExists));
    },
    hold: async (lease: string, { type, id }: Resource): Promise<void> => {
      await ask(addResource, { id: lease, resource: { type, id } });
    },
    /** @param sync wait until everything that only this lease held is deleted, which takes longer */
    deleteLease: async (id: string, sync = true): Promise<void> => {
      await ask(remove, { id, sync }).catch(unlessCode(CODE.notFound));
    },
  };
}

/** CRI, which is the kubelet's view. */
function cri({ ask }: Connection) {
  return {
    /** Version of containerd. @throws Error if it reports none */
    version: async (signal: AbortSignal): Promise<SemVer> => {
      const { runtimeVersion } = await ask(RuntimeServiceService.version, {}, signal);
      const version = parseVersion(runtimeVersion);
      if (version === undefined) throw new Error("the runtime tells no version");
      return version;
    },
    criImages: async (): Promise<CriImage[]> => {
      const { images } = await ask(ImageServiceService.listImages, {});
      return images.map(({ id, repoTags, repoDigests, size, pinned }) => ({
        id,
        names: [...repoTags, ...repoDigests],
        size,
        pinned,
      }));
    },
    /** Image names of all containers, including pod sandboxes. */
    containerImages: async (): Promise<string[]> => {
      const { containers } = await ask(ContainersService.list, {});
      return containers.map(({ image }) => image);
    },
    /** CRI's directory of images, named after its snapshotter, in the file system that must have free space. */
    imageDirectory: async (): Promise<string | undefined> => {
      const { imageFilesystems } = await ask(ImageServiceService.imageFsInfo, {});
      return imageFilesystems[0]?.fsId?.mountpoint;
    },
  };
}
