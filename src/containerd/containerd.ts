// What the agent needs of a node's containerd: the port behind which the real one and the tests' one stand.
import type { SemVer } from "semver";
import type { Repository } from "../core/content.ts";
import type { Credential } from "../core/credentials.ts";
import type { Blob, CriImage, ImageRecord } from "../core/node.ts";
import type { Download } from "../core/transfer.ts";

/** A blob by its digest, or a download by its ref, which need not have begun. */
export interface Resource {
  readonly type: "content" | "ingests";
  readonly id: string;
}

export interface PullOptions {
  readonly credential?: Credential;
  /** Ends the pull, also inside containerd, which stops at once when its client goes. */
  readonly signal: AbortSignal;
  /** Milliseconds. */
  readonly timeout: number;
}

export interface ImportOptions extends Omit<PullOptions, "credential"> {
  /** `linux/amd64` */
  readonly platform: string;
  /** The one that CRI uses. */
  readonly snapshotter: string;
  /** Not through the transfer service, which does not tell the names. */
  readonly local: boolean;
}

export interface RecordFilter {
  readonly names: readonly string[];
  readonly repositories: readonly Repository[];
}

/** Names are normalised references, as core/reference.ts makes them. Every call throws ApiError or CommandError. */
export interface Containerd extends Disposable {
  /** Of containerd, by its CRI. */
  readonly version: (signal: AbortSignal) => Promise<SemVer>;
  readonly criImages: () => Promise<CriImage[]>;
  readonly imageDirectory: () => Promise<string | undefined>;
  /** All of them, or those that have one of the names or a digest name of one of the repositories. */
  readonly records: (of?: RecordFilter) => Promise<ImageRecord[]>;
  readonly blobs: (repositories?: readonly Repository[]) => Promise<Blob[]>;
  readonly snapshots: (snapshotter: string, chainIds?: readonly string[]) => Promise<string[]>;
  readonly read: (digest: string) => Promise<string>;
  readonly downloads: () => Promise<Download[]>;
  readonly abort: (ref: string) => Promise<void>;
  readonly saveRecord: (record: ImageRecord) => Promise<void>;
  readonly deleteRecord: (name: string) => Promise<void>;
  readonly unlabelRecord: (record: ImageRecord, labels: readonly string[]) => Promise<void>;
  readonly unlabelBlob: (blob: Blob, labels: readonly string[]) => Promise<void>;
  readonly leases: () => Promise<string[]>;
  readonly createLease: (id: string, expires: Date) => Promise<void>;
  readonly hold: (lease: string, resource: Resource) => Promise<void>;
  readonly deleteLease: (id: string) => Promise<void>;
  /** Begins to find out how crictl takes credentials: the first pull with some would wait for it. */
  readonly prepareLogin: () => void;
  /** Through CRI, so that mirrors and certificates of the node apply. */
  readonly pull: (name: string, options: PullOptions) => Promise<void>;
  /** Gives what `source` leads to further names, whether they exist or not. */
  readonly tag: (source: string, names: readonly string[]) => Promise<void>;
  /** Imports a docker or OCI archive, also gzip or zstd. @returns the names that it brought, as they are recorded */
  readonly importArchive: (path: string, options: ImportOptions) => Promise<string[]>;
}
