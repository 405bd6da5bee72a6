// The archives of a run: which files they are, which must be imported, and the outcome of each. Imports share the disk,
// so they run one at a time, before any pull. A failed import does not stop the others.
import { glob, stat } from "node:fs/promises";
import path from "node:path";
import { readArchive } from "../containerd/archive-file.ts";
import type { ArchivedName } from "../core/archive-content.ts";
import {
  expectedOutcome,
  isPattern,
  mergeArchives,
  whyImport,
  withConflicts,
  type ArchiveOutcome,
  type ArchiveRecord,
  type ImportedNames,
  type FileFacts,
  type ImportPlan,
  type PlannedArchive,
  type WantedArchive,
} from "../core/archives.ts";
import { isFailure, type Failure } from "../core/failure.ts";
import type { Node } from "../core/node.ts";
import { codeOf } from "../core/plain-text.ts";
import type { WantedImage } from "../core/plan.ts";
import type { Context } from "./context.ts";

/** Replaces each pattern with the files that it matches now. A pattern without a match stays as it is. */
export async function findArchives(archives: readonly WantedArchive[]): Promise<WantedArchive[]> {
  const found = archives.map(async (archive) => {
    const files = isPattern(archive.path) ? await filesOf(archive.path) : [];
    return files.length === 0 ? [archive] : files.map((file) => ({ ...archive, path: file }));
  });
  return mergeArchives((await Promise.all(found)).flat());
}

/** Also a link to nothing, which then fails as an archive. */
async function filesOf(pattern: string): Promise<string[]> {
  const files: string[] = [];
  for await (const file of glob(pattern)) {
    const found = await stat(file).catch(() => undefined);
    if (found?.isFile() !== false) files.push(file);
  }
  return files.toSorted();
}

interface Circumstances {
  readonly record: ArchiveRecord;
  readonly node: Node;
  readonly listed: readonly WantedImage[];
  /** Reads what an archive holds, before containerd imports it. */
  readonly read: (path: string) => Promise<readonly ArchivedName[] | Failure>;
}

export async function planArchives(
  archives: readonly WantedArchive[],
  circumstances: Circumstances,
): Promise<PlannedArchive[]> {
  // One after the other, because each may read a large file.
  const planned = await Array.fromAsync(archives, (archive) => planArchive(archive, circumstances));
  return withConflicts(planned, circumstances.listed, circumstances.node);
}

async function planArchive(
  archive: WantedArchive,
  { record, node, read }: Circumstances,
): Promise<PlannedArchive> {
  const recorded = record.imported[archive.path];
  const known = { archive, names: recorded?.names ?? {} };
  const fail = (failure: Failure): PlannedArchive => ({
    ...known,
    action: "fail",
    failure,
    why: failure.message,
  });
  if (isPattern(archive.path))
    return archive.mustMatch ? fail(NO_MATCH) : { ...known, action: "none", why: NO_MATCH.message };
  const file = await factsOf(archive.path);
  if (isFailure(file)) return fail(file);
  const why = whyImport(file, recorded, node);
  if (why === undefined) return { ...known, action: "keep", why: "unchanged" };
  const contents = await read(archive.path);
  return isFailure(contents) ? fail(contents) : { ...known, action: "import", file, why, contents };
}

/** Reads archives to their end. @throws the signal's reason */
export const archiveReader =
  (signal: AbortSignal): Circumstances["read"] =>
  (file) =>
    readArchive(file, signal).catch(fileFailure);

const NO_MATCH: Failure = {
  class: "not-found",
  message: "no file matches the pattern",
  next: "check the pattern, and that the package which carries the archives belongs to a job on this VM",
};

export async function factsOf(file: string): Promise<FileFacts | Failure> {
  const found = await stat(file).catch(fileFailure);
  if (isFailure(found)) return found;
  const { size, mtimeMs, ctimeMs } = found;
  return found.isFile()
    ? { size, mtimeMs, ctimeMs }
    : { class: "not-found", message: "the archive is not a regular file", next: CHECK_PATH };
}

const CHECK_PATH =
  "check the path, and that the package which carries the archive belongs to a job on this VM";

/** @throws the error itself if it is not a system error, because then it is a bug */
export function fileFailure(error: unknown): Failure {
  const code = codeOf(error);
  if (code === undefined) throw error;
  if (code === "ENOENT" || code === "ENOTDIR")
    return { class: "not-found", message: "the archive does not exist", next: CHECK_PATH };
  return {
    class: "unknown",
    message: `the archive cannot be read (${code})`,
    next: "check the file and the disk that it is on",
  };
}

/** @returns the imported names; or why the import failed, and then its names refer to their previous targets */
export type Import = (
  plan: ImportPlan,
  earlier: readonly ArchiveOutcome[],
) => Promise<ImportedNames | Failure>;

/** @param only sources to which the run is limited; if there are any, only archives that hold one are imported */
export async function importArchives(
  { emit }: Pick<Context, "emit">,
  planned: readonly PlannedArchive[],
  only: ReadonlySet<string>,
  importOne: Import,
): Promise<ArchiveOutcome[]> {
  const outcomes: ArchiveOutcome[] = [];
  const isChosen = (name: string): boolean => only.size === 0 || only.has(name);
  for (const plan of planned) {
    const { archive, names, action, why } = plan;
    const { path: image } = archive;
    const expected = expectedOutcome(plan).names;
    if (only.size > 0 && (action !== "import" || !Object.keys(expected).some(isChosen))) {
      outcomes.push({ archive, names, failed: action !== "keep" });
      continue;
    }
    const result =
      action === "import" ? await importOne(plan, outcomes) : action === "fail" ? plan.failure : names;
    if (isFailure(result)) {
      emit({ type: "image-failed", image, step: "import", failure: result });
      outcomes.push({ archive, names: { ...expected, ...names }, failed: true });
    } else {
      if (action === "none") emit({ type: "warning", message: `archives: ${why}: ${image}` });
      const reported = Object.keys(result).filter(isChosen);
      emit({ type: "archive-done", image, names: reported, imported: action === "import" });
      outcomes.push({ archive, names: result, failed: false });
    }
  }
  return outcomes;
}

/** The images of an unreadable archive, or of a pattern without a match, are not known, so their pins stay. */
export const isUnread =
  (planned: readonly PlannedArchive[]) =>
  (archive: string): boolean =>
    planned.some(
      ({ action, archive: { path: known } }) =>
        (action === "fail" || action === "none") &&
        (archive === known || (isPattern(known) && path.matchesGlob(archive, known))),
    );
