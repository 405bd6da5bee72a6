// Archives on the VM, for images without a registry: imported before anything is pulled, and not again while neither the
// file nor what it brought has changed.
import { stat } from "node:fs/promises";
import type { SemVer } from "semver";
import type { WantedArchive } from "../config/config.ts";
import { listing, namesOf, type Listing, type WantedImage } from "../core/plan.ts";
import { parseReference } from "../core/reference.ts";
import type { Failure } from "../core/failure.ts";
import { usesTransferService } from "../core/runtime-version.ts";
import type { Emit } from "../core/run-state.ts";
import { CommandError } from "../runtime/command.ts";
import type { ImageRuntime } from "../runtime/image-runtime.ts";
import type { ArchiveRecord, RecordedArchive } from "../state/archive-record.ts";
import { commandFailure, interruption } from "./tool-failure.ts";

export interface ArchiveOptions {
  readonly archives: readonly WantedArchive[];
  readonly runtime: Pick<ImageRuntime, "importArchive" | "images">;
  readonly record: ArchiveRecord;
  readonly emit: Emit;
  readonly signal: AbortSignal;
  readonly containerd: SemVer;
}

export interface FromArchives {
  /** After the imports. */
  readonly present: Listing;
  /** What the archives hold, as images to be pinned and verified like any other. */
  readonly images: readonly WantedImage[];
  /** Names that this run imported. */
  readonly imported: ReadonlySet<string>;
}

/** Imports what has to be, one archive after the other: they share the disk. One that fails stops no other. */
export async function importArchives(options: ArchiveOptions, before: Listing): Promise<FromArchives> {
  const images: WantedImage[] = [];
  const imported = new Set<string>();
  for (const archive of options.archives) {
    const known = await options.record.read(archive.path);
    const outcome = await bring(options, archive, known, before);
    images.push(...outcome.names.flatMap((name) => wanted(name, archive)));
    if (outcome.imported) outcome.names.forEach((name) => imported.add(name));
  }
  if (imported.size === 0) return { present: before, images, imported };
  const present = listing(await options.runtime.images());
  await options.record.confirm(present);
  return { present, images, imported };
}

interface Brought {
  readonly names: readonly string[];
  readonly imported: boolean;
}

async function bring(
  { runtime, record, emit, signal, containerd }: ArchiveOptions,
  archive: WantedArchive,
  known: RecordedArchive | undefined,
  present: Listing,
): Promise<Brought> {
  const image = archive.path;
  try {
    signal.throwIfAborted();
    const file = await stat(archive.path);
    if (known !== undefined && isUnchanged(known, file, present)) {
      emit({ type: "archive-done", image, names: [...known.names.keys()], imported: false });
      return { names: [...known.names.keys()], imported: false };
    }
    emit({ type: "attempt-started", image, attempt: 1 });
    const names = await runtime.importArchive(archive.path, {
      signal,
      timeout: archive.timeout,
      local: usesTransferService(containerd),
    });
    record.imported(archive.path, file, names);
    emit({ type: "archive-done", image, names, imported: true });
    return { names, imported: true };
  } catch (error) {
    emit({ type: "image-failed", image, step: "import", failure: archiveFailure(error, signal) });
    // What an earlier import brought is still wanted: a missing file must not unpin it.
    const left = [...(known?.names.keys() ?? [])].filter((name) => present.has(name));
    return { names: left, imported: false };
  }
}

interface FileFacts {
  readonly size: number;
  readonly mtimeMs: number;
}

const isUnchanged = (known: RecordedArchive, file: FileFacts, present: Listing): boolean =>
  known.size === file.size &&
  known.mtimeMs === file.mtimeMs &&
  known.names.size > 0 &&
  [...known.names].every(([name, id]) => present.get(name)?.id === id);

function wanted(name: string, { required, pin, timeout }: WantedArchive): WantedImage[] {
  const parsed = parseReference(name);
  if (!parsed.ok) return [];
  return [{ source: parsed.reference, targets: [], pullPolicy: "IfNotPresent", required, pin, timeout }];
}

/** The list's images, and those of the archives that the list does not name itself. */
export function withArchived(
  listed: readonly WantedImage[],
  archived: readonly WantedImage[],
): WantedImage[] {
  const named = new Set(listed.flatMap(namesOf));
  const added = archived.filter((image) => !named.has(image.source.name));
  return [...listed, ...new Map(added.map((image) => [image.source.name, image])).values()];
}

const DAMAGED =
  /unexpected EOF|unexpected end of file|invalid tar header|unrecognized image format|short read|expected number of bytes|incorrect (?:header|data) check|Z_\w+_ERROR|ZSTD_/iu;
const FOREIGN = /might be filtered out|no match for platform/iu;

function archiveFailure(error: unknown, signal: AbortSignal): Failure {
  const interrupted = interruption(error, signal);
  if (interrupted !== undefined) return interrupted;
  if (isMissing(error)) {
    const next = "check the path, and that the package which carries the archive belongs to a job on this VM";
    return { class: "not-found", message: "the archive does not exist", next };
  }
  if (!(error instanceof CommandError)) throw error;
  if (FOREIGN.test(error.message)) {
    const next = "save the image again for this node's platform";
    return { class: "not-found", message: "the archive holds no image for this node's platform", next };
  }
  const failure = commandFailure(error);
  if (!DAMAGED.test(error.message)) return failure;
  const next = "make the archive anew, with docker save, skopeo copy or ctr images export";
  return {
    class: "transfer",
    message: `the archive is damaged, or no docker or OCI archive (${failure.message})`,
    next,
  };
}

const isMissing = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "ENOENT";
