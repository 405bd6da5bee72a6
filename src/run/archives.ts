// Imports archives, one after the other because they share the disk, before anything is pulled. One that fails stops no other.
import { stat } from "node:fs/promises";
import { CommandError } from "../containerd/command.ts";
import { UnknownCompression } from "../containerd/ctr.ts";
import {
  archivedImage,
  isNameless,
  usableOf,
  type FileFacts,
  type FoundArchive,
  type PlannedArchive,
  type RecordedArchive,
  type WantedArchive,
} from "../core/archives.ts";
import type { Capabilities } from "../core/capabilities.ts";
import type { Failure } from "../core/failure.ts";
import { isUnpacked } from "../core/judge.ts";
import { type Node } from "../core/node.ts";
import type { WantedImage } from "../core/plan.ts";
import { parseReference } from "../core/reference.ts";
import type { Context } from "./context.ts";
import { lookAtNode } from "./look.ts";
import { toFailure } from "./tool-failure.ts";

export async function findArchives(
  archives: readonly WantedArchive[],
  recorded: Readonly<Record<string, RecordedArchive>>,
): Promise<FoundArchive[]> {
  return Promise.all(
    archives.map(async (archive) => {
      const known = recorded[archive.path];
      return {
        archive,
        file: await factsOf(archive.path),
        ...(known === undefined ? {} : { recorded: known }),
      };
    }),
  );
}

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

/** Images of all archives, whether they were imported by this run or before. */
export interface Brought {
  readonly images: readonly WantedImage[];
  /** Names by archive that this run imported. */
  readonly imported: ReadonlyMap<string, readonly string[]>;
}

export async function importArchives(
  context: Context,
  planned: readonly PlannedArchive[],
  found: readonly FoundArchive[],
  { transferService }: Capabilities,
  node: Node,
): Promise<Brought> {
  const images: WantedImage[] = [];
  const imported = new Map<string, readonly string[]>();
  for (const [index, { archive, action, names }] of planned.entries()) {
    const file = found[index]?.file;
    const fresh = action === "import" ? await importOne(context, archive, transferService, node) : undefined;
    if (fresh !== undefined) imported.set(archive.path, fresh);
    if (file !== undefined && "class" in file) tellFailed(context, archive, file);
    if (action === "keep")
      context.emit({ type: "archive-done", image: archive.path, names, imported: false });
    images.push(...(fresh ?? usableOf(node, names)).flatMap((name) => archivedImage(name, archive)));
  }
  return { images, imported };
}

/** What is to be kept of the imports of this run, with what the names lead to on the node. */
export const recordOf = (
  found: readonly FoundArchive[],
  { imported }: Brought,
  { records }: Node,
): Record<string, RecordedArchive> =>
  Object.fromEntries(
    found.flatMap(({ archive: { path }, file }) => {
      const names = imported.get(path);
      if (names === undefined || "class" in file) return [];
      return [
        [
          path,
          {
            ...file,
            names: Object.fromEntries(names.map((name) => [name, records.get(name)?.target.digest ?? ""])),
          },
        ],
      ];
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
  try {
    stop.signal.throwIfAborted();
    emit({ type: "attempt-started", image, attempt: 1 });
    const platform = `${machine.platform.os}/${machine.platform.architecture}`;
    const raw = await containerd.importArchive(image, {
      local,
      snapshotter: before.snapshotter,
      platform,
      timeout,
      signal: stop.signal,
    });
    const names = await completeNames(context, raw);
    if (names.length === 0) throw new NamelessArchive();
    emit({ type: "archive-done", image, names, imported: true });
    return names;
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
  const names: string[] = [];
  for (const name of raw) {
    const parsed = parseReference(name);
    const full = parsed.ok && !isNameless(name) ? parsed.reference.name : undefined;
    if (full !== undefined && full !== name) await containerd.tag(name, [full]);
    if (full !== name) await containerd.deleteRecord(name);
    if (full !== undefined) names.push(full);
  }
  return names;
}

class NamelessArchive extends Error {
  override readonly name = "NamelessArchive";
}

const CHECK_PATH =
  "check the path, and that the package which carries the archive belongs to a job on this VM";
const MAKE_ANEW = "make the archive again, with docker save, skopeo copy or ctr images export";

const FOREIGN = /might be filtered out|no match for platform/iu;

/** What an import can end with that is not the archive's. */
const NOT_ITS_FAULT = new Set<Failure["class"]>(["disk", "platform", "not-an-image", "cancelled"]);

function archiveFailure(error: unknown, signal: AbortSignal): Failure {
  if (error instanceof NamelessArchive)
    return {
      class: "reference",
      message: "the archive names no image",
      next: "save it with a full name, such as registry.example.com/app:1",
    };
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
  if (FOREIGN.test(error.raw))
    return {
      class: "platform",
      message: "the archive holds no image for this node's platform",
      next: "save the image again for this node's platform",
    };
  if (NOT_ITS_FAULT.has(failure.class)) return failure;
  if (failure.class === "reference")
    return { ...failure, next: "correct the name that the archive gives its image" };
  return {
    class: "transfer",
    message: `the archive is damaged, or is not a docker or OCI archive (${failure.message})`,
    next: MAKE_ANEW,
  };
}

function fileFailure(error: unknown): Failure {
  const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
  if (code === "ENOENT" || code === "ENOTDIR")
    return { class: "not-found", message: "the archive does not exist", next: CHECK_PATH };
  return {
    class: "unknown",
    message: `the archive cannot be read (${code})`,
    next: "check the file and the disk that it is on",
  };
}
