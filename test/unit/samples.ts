// Values that many tests need, each as plain as it can be.
import { parseDocument } from "../../src/core/content.ts";
import { credentialFromPair, type Credential } from "../../src/core/credentials.ts";
import type { Failure, FailureClass } from "../../src/core/failure.ts";
import type { ImageRecord, Node, Snapshot } from "../../src/core/node.ts";
import type { WantedImage } from "../../src/core/plan.ts";
import { parseReference, type Reference } from "../../src/core/reference.ts";
import { LINUX, type ServedImage } from "./containerd/served-image.ts";

export function reference(text: string): Reference {
  const parsed = parseReference(text);
  if (typeof parsed === "string") throw new Error(`bad sample: ${parsed}`);
  return parsed;
}

export const digestOf = (letter: string): string => `sha256:${letter.repeat(64)}`;

export const credential = (user = "robot", password = "hunter2"): Credential =>
  credentialFromPair(user, password);

/** An image that is wanted as the defaults have it. */
export const wanted = (name: string, overrides: Partial<Omit<WantedImage, "source">> = {}): WantedImage => ({
  source: reference(name),
  furtherNames: [],
  pullPolicy: "IfNotPresent",
  required: true,
  pin: true,
  timeout: 60_000,
  ...overrides,
});

export const failure = (failureClass: FailureClass, message: string = failureClass): Failure => ({
  class: failureClass,
  message,
});

export const snapshotOf = (name: string, overrides: Partial<Snapshot> = {}): Snapshot => ({
  name,
  parent: "",
  isCommitted: true,
  createdAt: "2026-01-01T00:00:00.000Z",
  ...overrides,
});

/** A node with whole, unpacked images under these literal names, and these further records. */
export function nodeOf(
  images: Readonly<Record<string, ServedImage>>,
  records: readonly ImageRecord[] = [],
): Node {
  const all = Object.values(images);
  const named = Object.entries(images).map(([name, { target }]) => ({ name, target, labels: {} }));
  const blobs = all.flatMap(({ blobs: parts, config, chainId }) =>
    parts.map((part) =>
      part === config ? { ...part, labels: { "containerd.io/gc.ref.snapshot.overlayfs": chainId } } : part,
    ),
  );
  const cri = Object.entries(images).map(
    ([name, { id }]) => [name, [{ id, names: [name], size: 1_000, pinned: true }]] as const,
  );
  return {
    platform: LINUX,
    snapshotter: "overlayfs",
    records: new Map([...named, ...records].map((record) => [record.name, record])),
    blobs: new Map(blobs.map((blob) => [blob.digest, blob])),
    snapshots: new Map(all.map(({ chainId }) => [chainId, snapshotOf(chainId)])),
    documents: new Map(
      all.flatMap((image) => image.blobs.map(({ digest, text }) => [digest, parseDocument(text)])),
    ),
    damage: new Map(),
    cri: new Map(cri),
  };
}
