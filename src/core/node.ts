// A node as containerd reports it, as one value.

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

export interface IndexEntry {
  readonly mediaType: string;
  readonly digest: string;
  /** As written in the index. */
  readonly platform?: Platform | undefined;
}

/** The fields of an index or an image config that are read. */
export type Document =
  | { readonly is: "index"; readonly manifests: readonly IndexEntry[] }
  /** `platform` as written, with missing parts empty. `layers`: the number of layers that the config lists. */
  | { readonly is: "config"; readonly platform: Platform; readonly layers: number }
  /** Unreadable, or neither an index nor a config. */
  | { readonly is: "unreadable" | "other" };

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
}

type Labels = Readonly<Record<string, string>>;

/** A literal name, and the target that it refers to. */
export interface ImageRecord {
  readonly name: string;
  readonly labels: Labels;
  /** An index or a manifest. */
  readonly target: Descriptor;
}

/** A complete blob, with its labels in the metadata store. */
export interface Blob {
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  readonly labels: Labels;
}

/** A layer as a manifest lists it. */
export type Layer = Pick<Blob, "digest" | "size">;

/** If committed, an unpacked layer, under its chain id. If not, a working copy on top of one, under its owner's key. */
export interface Snapshot {
  readonly name: string;
  /** Name of the snapshot below; empty for the lowest. */
  readonly parent: string;
  readonly isCommitted: boolean;
  /** ISO time. A snapshot that is removed and created again has another one. */
  readonly createdAt: string;
}

/** An image as CRI lists it for the kubelet. CRI normalizes the names, so no pod can start from some of them. */
export interface CriImage {
  /** Digest of the image's config. */
  readonly id: string;
  readonly names: readonly string[];
  /** Compressed bytes. */
  readonly size: number;
  readonly pinned: boolean;
}

export interface Damage {
  /** Text for messages: `3 of 5 layers' files are empty`. */
  readonly what: string;
  /** How to repair it. `unpack`: from the blobs, without the registry. `held`: not while a container uses it. */
  readonly mend: "unpack" | "pull" | "held";
  /** Digests of truncated blobs. */
  readonly blobs: readonly string[];
  /** Names of damaged snapshots and all on top of them, in an order in which they can be removed. */
  readonly snapshots: readonly string[];
}

/** All that `judge` needs to know, about one image or all of them. */
export interface KnownImages {
  readonly platform: Platform;
  /** By name. */
  readonly records: ReadonlyMap<string, ImageRecord>;
  /** By digest. */
  readonly blobs: ReadonlyMap<string, Blob>;
  /** The one that CRI uses. */
  readonly snapshotter: string;
  /** By name, which is the chain id for committed ones. */
  readonly snapshots: ReadonlyMap<string, Snapshot>;
  /** By digest, only for the requested names. */
  readonly documents: ReadonlyMap<string, Document>;
  /** By target digest, only for images whose files were examined. */
  readonly damage: ReadonlyMap<string, Damage>;
}

/** containerd's directories with images, as far as it reports them. */
export const directoriesOf = ({ contentDirectory, imageDirectory }: Node): string[] =>
  [contentDirectory, imageDirectory].filter((directory) => directory !== undefined);

/** The whole node at one moment. A distinct type, so that knowledge of one image cannot pass for it. */
export interface Node extends KnownImages {
  /** Directories of CRI's snapshots and of containerd's blobs, if reported. */
  readonly imageDirectory?: string | undefined;
  readonly contentDirectory?: string | undefined;
  /** By name. Two images have the same name if a short record and the full one refer to different images. */
  readonly cri: ReadonlyMap<string, readonly CriImage[]>;
}
