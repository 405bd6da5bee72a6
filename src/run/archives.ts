// Imports archives, one after the other because they share the disk, before anything is pulled. One that fails stops no other.
import { stat } from "node:fs/promises";
import { CommandError } from "../containerd/command.ts";
import { UnknownCompression } from "../containerd/ctr.ts";
import {
  archivedImages,
  isNameless,
  planArchive,
  usableOf,
  type ArchiveRecord,
  type FileFacts,
  type PlannedArchive,
  type WantedArchive,
} from "../core/archives.ts";
import type { Failure, FailureClass } from "../core/failure.ts";
import { isUnpacked } from "../core/judge.ts";
import { type Node } from "../core/node.ts";
import { codeOf } from "../core/plain-text.ts";
import type { WantedImage } from "../core/plan.ts";
import { parseReference } from "../core/reference.ts";
import type { Context } from "./context.ts";
import { lookAtNode } from "./look.ts";
import { toFailure } from "./tool-failure.ts";

/** @param earlier of the last run */
export const planArchives = (
  archives: readonly WantedArchive[],
  earlier: ArchiveRecord,
  node: Node,
): Promise<PlannedArchive[]> =>
  Promise.all(
    archives.map(async (archive) => {
      const file = await factsOf(archive.path);
      return planArchive(archive, file, earlier[archive.path], node);
    }),
  );

async function factsOf(path: string): Promise<FileFacts | Failure> {
  try {
    const file = await stat(path);
    const { size, mtimeMs, ctimeMs } = file;
    return file.isFile()
      ? { size, mtimeMs, ctimeMs }
      : { class: "not-found", message: "the archive is not a regular file", next: CHECK_PATH };
  } catch (error) {
    return fileFailure(error);
  }
}

type Importable = Exclude<PlannedArchive, { action: "fail" }>;

export interface Brought {
  /** Of all archives, whether they were imported by this run or before. */
  readonly images: readonly WantedImage[];
  /** What this run imported, with the names that it brought now. */
  readonly imported: readonly Importable[];
}

/** @param local whether ctr has to be told not to use the transfer service */
export async function importArchives(
  context: Context,
  planned: readonly PlannedArchive[],
  local: boolean,
  node: Node,
): Promise<Brought> {
  const images: WantedImage[] = [];
  const imported: Importable[] = [];
  for (const plan of planned) {
    const { archive, names } = plan;
    const fresh = plan.action === "import" ? await importOne(context, archive, local, node) : undefined;
    if (plan.action === "fail") tellFailed(context, archive, plan.failure);
    else if (fresh !== undefined) imported.push({ ...plan, names: fresh });
    else if (plan.action === "keep")
      context.emit({ type: "archive-done", image: archive.path, names, imported: false });
    images.push(...archivedImages(fresh ?? usableOf(node, names), archive));
  }
  return { images, imported };
}

/** What is to be kept of imports, with what the names lead to on the node. */
export const recordOf = (imported: Brought["imported"], { records }: Node): ArchiveRecord =>
  Object.fromEntries(
    imported.map(({ archive: { path }, file, names }) => {
      const digests = names.map((name) => [name, records.get(name)?.target.digest ?? ""]);
      return [path, { ...file, names: Object.fromEntries(digests) }];
    }),
  );

const tellFailed = ({ emit }: Context, { path }: WantedArchive, failure: Failure): void =>
  emit({ type: "image-failed", image: path, step: "import", failure });

/** @returns the names that it brought, as containerd's CRI would write them; undefined when it failed */
async function importOne(
  context: Context,
  archive: WantedArchive,
  local: boolean,
  before: Node,
): Promise<string[] | undefined> {
  const { containerd, machine, emit, stop } = context;
  const { path: image, timeout } = archive;
  const platform = `${machine.platform.os}/${machine.platform.architecture}`;
  const options = { local, snapshotter: before.snapshotter, platform, timeout, signal: stop.signal };
  try {
    stop.signal.throwIfAborted();
    emit({ type: "attempt-started", image, attempt: 1 });
    const names = await completeNames(context, await containerd.importArchive(image, options));
    if (names.length > 0) emit({ type: "archive-done", image, names, imported: true });
    else tellFailed(context, archive, NAMELESS);
    return names.length > 0 ? names : undefined;
  } catch (error) {
    await removeBroken(context, before).catch(() => {});
    tellFailed(context, archive, archiveFailure(error, stop.signal));
    return undefined;
  }
}

/** ctr names an image before it is unpacked: what a failed import leaves would pass for an image that is here. */
async function removeBroken({ containerd, machine }: Context, before: Node): Promise<void> {
  const changed = (await containerd.records())
    .filter(({ name, target }) => before.records.get(name)?.target.digest !== target.digest)
    .map(({ name }) => name);
  if (changed.length === 0) return;
  const node = await lookAtNode(containerd, machine.platform, changed);
  for (const name of changed) if (!isUnpacked(node, name)) await containerd.deleteRecord(name);
}

/** An OCI archive's short names are recorded as they stand, and no pod finds those. */
async function completeNames({ containerd }: Context, raw: readonly string[]): Promise<string[]> {
  const names = raw.map((name) => {
    const parsed = parseReference(name);
    return { name, full: typeof parsed === "object" && !isNameless(name) ? parsed.name : undefined };
  });
  const wrong = names.filter(({ name, full }) => name !== full);
  const records = wrong.length === 0 ? [] : await containerd.records();
  const digests = new Map(records.map(({ name, target }) => [name, target.digest]));
  // Of one image in one call: starting a tool takes longer than its work.
  for (const alike of Map.groupBy(wrong, ({ name }) => digests.get(name)).values()) {
    const full = alike.flatMap((each) => each.full ?? []);
    const source = alike.find((each) => each.full !== undefined);
    if (source !== undefined) await containerd.tag(source.name, full);
  }
  for (const { name } of wrong) await containerd.deleteRecord(name);
  return names.flatMap(({ full }) => full ?? []);
}

const CHECK_PATH =
  "check the path, and that the package which carries the archive belongs to a job on this VM";
const NAMELESS: Failure = {
  class: "reference",
  message: "the archive names no image",
  next: "save it with a full name, such as registry.example.com/app:1",
};

const FOREIGN = /might be filtered out/iu;

/** What an import can end with that is not the archive's fault, or not all of its fault; and how that is told. */
const TOLD: Partial<Record<FailureClass, Partial<Failure>>> = {
  disk: {},
  "not-an-image": {},
  cancelled: {},
  reference: { next: "correct the name that the archive gives its image" },
  platform: {
    message: "the archive holds no image for this node's platform",
    next: "save the image again for this node's platform",
  },
};

function archiveFailure(error: unknown, signal: AbortSignal): Failure {
  if (error instanceof UnknownCompression)
    return {
      class: "transfer",
      message: `the archive is compressed with ${error.message}, which is not supported`,
      next: "save it uncompressed, or with gzip or zstd",
    };
  if (error instanceof Error && "syscall" in error) return fileFailure(error);
  const failure = toFailure(error, signal);
  if (!(error instanceof CommandError) || signal.aborted) return failure;
  if (error.timedOut) return { class: "timeout", message: "not imported in time (image_timeout)" };
  const seen = FOREIGN.test(error.raw) ? "platform" : failure.class;
  const damaged = {
    class: "transfer" as const,
    message: `the archive is damaged, or is not a docker or OCI archive (${failure.message})`,
    next: "make the archive again, with docker save, skopeo copy or ctr images export",
  };
  return { ...failure, class: seen, ...(TOLD[seen] ?? damaged) };
}

function fileFailure(error: unknown): Failure {
  const code = codeOf(error) ?? "unknown error";
  if (code === "ENOENT" || code === "ENOTDIR")
    return { class: "not-found", message: "the archive does not exist", next: CHECK_PATH };
  return {
    class: "unknown",
    message: `the archive cannot be read (${code})`,
    next: "check the file and the disk that it is on",
  };
}
