// What the run needs of a node's container runtime. Names are normalised references, as core/reference.ts makes them.
import type { SemVer } from "semver";
import type { Credential } from "../core/credentials.ts";
import type { PresentImage } from "../core/plan.ts";
import type { Reference } from "../core/reference.ts";

export interface PullOptions {
  readonly credential?: Credential;
  /** Ends the pull, also inside containerd, which stops at once when its client goes. */
  readonly signal: AbortSignal;
  /** Milliseconds. */
  readonly timeout: number;
}

export interface ImportOptions extends Omit<PullOptions, "credential"> {
  /** Not through the transfer service, which does not tell the names. */
  readonly local: boolean;
}

export interface TagOptions {
  /**
   * Not through the transfer service of containerd 2, which gives a name no labels: locally it gets those of its source,
   * as containerd 1 does it. A name that exists is then deleted first, and missing for a moment.
   */
  readonly local: boolean;
}

export interface ImageRuntime {
  /** Version of containerd. Throws while it does not answer. */
  version(signal: AbortSignal): Promise<SemVer>;
  images(signal?: AbortSignal): Promise<PresentImage[]>;
  /** Names that carry the CRI's pin label, whoever set it. */
  pinned(signal?: AbortSignal): Promise<string[]>;
  /** Names that this agent pinned. */
  pinnedByUs(signal?: AbortSignal): Promise<string[]>;
  /** Begins to find out how crictl takes credentials: the first pull with some would wait for it. */
  prepareLogin(): void;
  /** Pulls through CRI. @returns the image id that the name has now */
  pull(name: string, options: PullOptions): Promise<string>;
  /** Gives the image of `source` further names, whether they exist or not. */
  tag(source: string, targets: readonly string[], options: TagOptions): Promise<void>;
  /** Imports a docker or OCI archive, also gzip or zstd. @returns the names that it brought */
  importArchive(path: string, options: ImportOptions): Promise<string[]>;
  pin(name: string): Promise<void>;
  unpin(name: string): Promise<void>;
  /** Where CRI keeps images: a directory on the file system that has to have room. */
  imageDirectory(): Promise<string | undefined>;
}

/** A download in progress. */
export interface Ingest {
  /** `layer-sha256:…`, `manifest-sha256:…`; containerd's key for the blob. */
  readonly ref: string;
  /** Bytes so far. */
  readonly size: number;
}

/** A finished blob, with the labels that the metadata store has for it. */
export interface Blob {
  readonly digest: string;
  readonly labels: ReadonlyMap<string, string>;
}

/** A repository as containerd labels the blobs that it fetched from there. */
export type Repository = Pick<Reference, "domain" | "path">;

/** containerd's content store: where progress is seen, and where finished layers are held across attempts. */
export interface ContentStore {
  ingests(): Promise<Ingest[]>;
  /** Finished blobs that were fetched from one of these repositories, or have one of these digests. */
  blobs(repositories: readonly Repository[], digests: readonly string[]): Promise<Blob[]>;
  read(digest: string): Promise<string>;
  /** Keeps a manifest, and through its labels all its layers, from garbage collection. */
  hold(digest: string): Promise<void>;
  release(digest: string): Promise<void>;
  /** Digests that are held, by whichever run. */
  held(): Promise<string[]>;
}
