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

/** Names, their labels, and the descriptors that they lead to. */
function imageRecords({ ask }: Connection) {
  const { get, list, create, update, delete: remove } = ImagesService;
  return {
    records: async (): Promise<ImageRecord[]> => {
      const { images } = await ask(list, {});
      return images.map(toRecord);
    },
    /** Undefined when there is none; a list goes through all of them, even with a filter. */
    record: async (name: string): Promise<ImageRecord | undefined> => {
      const found = await ask(get, { name }).catch(unlessCode(CODE.notFound));
      return found?.image && toRecord(found.image);
    },
    /** Makes the record, or has the one of its name lead to the target; its labels are added to those that stand there. */
    saveRecord: async ({ name, labels, target }: ImageRecord): Promise<void> => {
      const image = { name, labels, target };
      const made = await ask(create, { image }).catch(unlessCode(CODE.alreadyExists));
      if (made !== undefined) return;
      // containerd takes all behind the prefix for a label's key, dots and all; a mask `labels` would replace every label.
      const updateMask = ["target", ...Object.keys(labels).map((label) => `labels.${label}`)];
      await ask(update, { image, updateMask });
    },
    /** One that is not there is deleted already. */
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

/** Within a filter's expression. Dots need a class rather than a backslash, which the filter's own quoting would take for itself. */
const literal = (text: string): string => text.replaceAll(/[.[\]]/gu, (char) => (char === "." ? "[.]" : "."));

/** Finished blobs with their labels, and downloads under way. */
function contentStore({ ask, collect }: Connection) {
  const { info: find, list, read, update, delete: remove, listStatuses, abort } = ContentService;
  return {
    /** @param sources of which blobs are listed; all blobs when it is not given */
    blobs: async (sources?: readonly BlobSource[]): Promise<Blob[]> => {
      const parts = await collect(list, { filters: sources?.map(fromSource) ?? [] });
      return parts.flatMap(({ info }) => info);
    },
    /** Undefined when it is not finished, or not there. */
    blob: async (digest: string): Promise<Blob | undefined> => {
      const found = await ask(find, { digest }).catch(unlessCode(CODE.notFound));
      return found?.info;
    },
    /** The text of a document; undefined for a blob that is too large to be one. */
    read: async ({ digest, size }: Layer): Promise<string | undefined> => {
      if (size > MOST) return undefined;
      const parts = await collect(read, { digest, offset: 0, size: 0 });
      const data = Buffer.concat(parts.map((part) => part.data));
      if (data.length === size) return data.toString("utf8");
      throw new ApiError(CODE.outOfRange, `containerd: ${digest} has ${data.length} of ${size} bytes`);
    },
    /** Only then is it fetched again. One that is not there is deleted already. */
    deleteBlob: async (digest: string): Promise<void> => {
      await ask(remove, { digest }).catch(unlessCode(CODE.notFound));
    },
    /** A config no longer keeps what is unpacked of it from garbage collection. */
    unlinkSnapshot: async (digest: string, snapshotter: string): Promise<void> => {
      // A label without a value is none.
      const info = { digest, size: 0, labels: {} };
      const updateMask = [`labels.${snapshotLabel(snapshotter)}`];
      await ask(update, { info, updateMask }).catch(unlessCode(CODE.notFound));
    },
    /** Where blobs are, in `blobs/sha256`. Undefined where containerd does not tell. */
    contentDirectory: async (): Promise<string | undefined> => {
      const { plugins } = await ask(IntrospectionService.plugins, { filters: [CONTENT_PLUGIN] });
      return plugins[0]?.exports["root"];
    },
    downloads: async (): Promise<Download[]> => {
      const { statuses } = await ask(listStatuses, { filters: [] });
      return [...statuses];
    },
    /** Throws a partial download away; one that is not there is gone already. */
    abort: async (ref: string): Promise<void> => {
      await ask(abort, { ref }).catch(unlessCode(CODE.notFound));
    },
  };
}

const CONTENT_PLUGIN = "type==io.containerd.content.v1";

/** What is unpacked, by chain id, and what containers have on top of it, by keys of their own. */
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
    /** Undefined when there is none. */
    snapshot: async (snapshotter: string, key: string): Promise<Snapshot | undefined> => {
      const found = await ask(stat, { snapshotter, key }).catch(unlessCode(CODE.notFound));
      return found?.info && toSnapshot(found.info);
    },
    /**
     * Directories of a snapshot and of those below it, in this order; undefined where the snapshotter has none.
     * They are told of a view, as for a container, which is removed again; one that was left is used.
     * @throws ApiError also where the snapshot's own directory is gone
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
    /** @returns whether it is gone: it is not while another one is on top of it */
    removeSnapshot,
  };
}

const toSnapshot = ({ name, parent, kind, createdAt }: Info): Snapshot => ({
  name,
  parent,
  isCommitted: kind === Kind.COMMITTED,
  createdAt: createdAt?.toISOString() ?? "",
});

/** Ours, so that nobody else's is taken for it. */
const VIEW = "import-images-view-";

/** The lower directories of an overlay, the top one first, or the one directory that is bound. */
function directoriesOf([mount]: readonly Mount[]): string[] | undefined {
  const lower = mount?.options.find((option) => option.startsWith("lowerdir="));
  if (lower !== undefined) return lower.slice("lowerdir=".length).split(":");
  return mount?.type === "bind" ? [mount.source] : undefined;
}

/** Bytes of a document: a registry takes manifests of a sixth of it. */
const MOST = 24 * 2 ** 20;

export interface BlobSource {
  readonly repository: Repository;
  /** Also what it shares with others: their paths are one label, and containerd compiles a pattern anew for each blob. */
  readonly shared: boolean;
}

const fromSource = ({ repository, shared }: BlobSource): string => {
  const { path } = repository;
  return `labels."${sourceLabel(repository)}"${shared ? `~="(^|,)${literal(path)}(,|$)"` : `=="${path}"`}`;
};

/** A blob by its digest, or a download by its ref, which need not have begun. */
export interface Resource {
  readonly type: "content" | "ingests";
  readonly id: string;
}

/** Tells whose a lease is, and finds them again. */
const OURS = "io.import-images.lease";
const EXPIRES = "containerd.io/gc.expire";

/** What they hold, finished or not, containerd's garbage collection leaves alone until they expire or are deleted. */
function leases({ ask }: Connection) {
  const { list, create, addResource, delete: remove } = LeasesService;
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
    /** @param sync whether what nothing else holds is gone on return, which takes longer */
    deleteLease: async (id: string, sync = true): Promise<void> => {
      await ask(remove, { id, sync }).catch(unlessCode(CODE.notFound));
    },
  };
}

/** What the kubelet will be told. */
function cri({ ask }: Connection) {
  return {
    /** Version of containerd. */
    version: async (signal: AbortSignal): Promise<SemVer> => {
      const { runtimeVersion } = await ask(RuntimeServiceService.version, { version: "" }, signal);
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
    /** Names of the images that containers use, the pods' sandboxes included. */
    containerImages: async (): Promise<string[]> => {
      const { containers } = await ask(ContainersService.list, { filters: [] });
      return containers.map(({ image }) => image);
    },
    /** Where CRI keeps images: a directory of the file system that has to have room, named after CRI's snapshotter. */
    imageDirectory: async (): Promise<string | undefined> => {
      const { imageFilesystems } = await ask(ImageServiceService.imageFsInfo, {});
      return imageFilesystems[0]?.fsId?.mountpoint;
    },
  };
}
