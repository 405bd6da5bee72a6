// The node as containerd has it, as one value.

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

/** What an index lists. */
export interface IndexEntry {
  readonly mediaType: string;
  readonly digest: string;
  /** As it is written there. */
  readonly platform?: Platform | undefined;
}

/** What an index or the config of an image says, as far as it is read. */
export type Document =
  | { readonly is: "index"; readonly manifests: readonly IndexEntry[] }
  /** `platform` as it is written there: a part that is missing is empty. `layers`: how many it tells of. */
  | { readonly is: "config"; readonly platform: Platform; readonly layers: number }
  /** It cannot be read, or is neither. */
  | { readonly is: "unreadable" | "other" };

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
}

type Labels = Readonly<Record<string, string>>;

/** A name, literally, and what it leads to. */
export interface ImageRecord {
  readonly name: string;
  readonly labels: Labels;
  /** An index or a manifest. */
  readonly target: Descriptor;
}

/** A finished blob, with the labels that the metadata store has for it. */
export interface Blob {
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  readonly labels: Labels;
}

/** A layer as a manifest lists it. */
export type Layer = Pick<Blob, "digest" | "size">;

/** What is unpacked, under its chain id; or, not committed, what somebody has on top of that, under a key of his own. */
export interface Snapshot {
  readonly name: string;
  /** The one that it is on top of; empty at the bottom. */
  readonly parent: string;
  readonly isCommitted: boolean;
  /** ISO time. One that is removed and made again has another. */
  readonly createdAt: string;
}

/** An image as CRI lists it, for the kubelet. Its names are normalised: no pod can start from some of them. */
export interface CriImage {
  /** Digest of the image's config. */
  readonly id: string;
  readonly names: readonly string[];
  /** Compressed bytes. */
  readonly size: number;
  readonly pinned: boolean;
}

/** What is wrong on the disk with an image. */
export interface Damage {
  /** For a person: `3 of 5 layers' files are empty`. */
  readonly what: string;
  /** `unpack`: from its blobs, without the registry. `held`: a container has what would have to be replaced. */
  readonly mend: "unpack" | "pull" | "held";
  /** Digests of blobs that are not whole. */
  readonly blobs: readonly string[];
  /** Of unpacked layers that are not whole, and of all that are on top of them, these first. */
  readonly snapshots: readonly string[];
}

/** What is known of images, of one or of all: enough to judge them. */
export interface KnownImages {
  readonly platform: Platform;
  /** By name. */
  readonly records: ReadonlyMap<string, ImageRecord>;
  /** By digest. */
  readonly blobs: ReadonlyMap<string, Blob>;
  /** The one that CRI uses. */
  readonly snapshotter: string;
  /** Its snapshots, committed ones by their chain ids. */
  readonly snapshots: ReadonlyMap<string, Snapshot>;
  /** By digest; of the names that were asked for. */
  readonly documents: ReadonlyMap<string, Document>;
  /** What is wrong on the disk, by the digest of a target, as far as it was looked at. */
  readonly damage: ReadonlyMap<string, Damage>;
}

/** Where containerd keeps images, as far as it tells. */
export const directoriesOf = ({ contentDirectory, imageDirectory }: Node): string[] =>
  [contentDirectory, imageDirectory].filter((directory) => directory !== undefined);

/** The whole node at one moment. What is known of a single image cannot stand for it. */
export interface Node extends KnownImages {
  /** Where CRI keeps what is unpacked, and where containerd keeps blobs, as far as they tell. */
  readonly imageDirectory?: string;
  readonly contentDirectory?: string;
  /** By name; two images share one where a short record beside the full one leads elsewhere. */
  readonly cri: ReadonlyMap<string, readonly CriImage[]>;
}
