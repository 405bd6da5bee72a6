// An import is a transaction: what its names refer to is recorded and held before it, and restored if it fails.
import { CommandError } from "../containerd/command.ts";
import type { Containerd } from "../containerd/containerd.ts";
import { damagedArchive } from "../core/archive-content.ts";
import {
  conflict,
  fullName,
  isFromImport,
  isSameFile,
  type ArchiveOutcome,
  type ArchiveRecord,
  type BegunImport,
  type ImportedNames,
  type ImportPlan,
} from "../core/archives.ts";
import { configOf } from "../core/content.ts";
import { Failed, isFailure, type Failure, type FailureClass } from "../core/failure.ts";
import { judge } from "../core/judge.ts";
import type { Descriptor, ImageRecord } from "../core/node.ts";
import { codeOf } from "../core/plain-text.ts";
import { factsOf, fileFailure, type Import } from "./archives.ts";
import type { Context } from "./context.ts";
import type { Disks } from "./disk.ts";
import type { Leases } from "./lease.ts";
import type { UntilBack } from "./ready.ts";
import { lookAtNode } from "./look.ts";
import { toFailure } from "./tool-failure.ts";

/** archives.json during the run. */
export interface Journal {
  readonly record: ArchiveRecord;
  /** Replaces the record, here and in the file. */
  readonly write: (record: ArchiveRecord) => void;
}

export function journalOf(record: ArchiveRecord, keep: (record: ArchiveRecord) => void): Journal {
  const journal = {
    record,
    write: (next: ArchiveRecord): void => {
      keep(next);
      journal.record = next;
    },
  };
  return journal;
}

export interface Importing {
  readonly context: Context;
  readonly journal: Journal;
  readonly untilBack: UntilBack;
  /** Hold the previous targets of the names. */
  readonly leases: Leases;
  readonly disks: Disks;
  /** Whether ctr must bypass the transfer service. */
  readonly local: boolean;
  readonly snapshotter: string;
}

/** More attempts would not help: either containerd is not the cause, or our own request crashes it. */
const TRIES = 3;

export const importer =
  (importing: Importing): Import =>
  async (plan, earlier) => {
    const { context, untilBack, disks } = importing;
    const { emit, stop } = context;
    for (let attempt = 1; ; attempt += 1) {
      try {
        if (attempt > 1) await untilBack();
        stop.signal.throwIfAborted();
        await disks.admit("imported");
        emit({ type: "attempt-started", image: plan.archive.path, attempt });
        return await transaction(importing, plan, earlier);
      } catch (error) {
        const failure = archiveFailure(error, stop.signal);
        if (failure.class === "disk" && !(error instanceof Failed) && !stop.signal.aborted)
          return disks.full(failure, async () => {});
        if (failure.class !== "runtime" || attempt === TRIES || stop.signal.aborted) return failure;
      }
    }
  };

/** @throws what ended the import, after the names are restored; if that fails, the next run restores them */
async function transaction(
  importing: Importing,
  plan: ImportPlan,
  earlier: readonly ArchiveOutcome[],
): Promise<ImportedNames> {
  const { context, journal, leases } = importing;
  const { containerd } = context;
  await undo(containerd, journal, leases);
  const records = new Map((await containerd.records()).map((record) => [record.name, record]));
  const begun = begin(plan, records);
  const { imported } = journal.record;
  const before = begun.names.flatMap((name) => name.before ?? []);
  const toHold = before.map(({ digest }) => ({ type: "content" as const, id: digest }));
  if (!(await leases.hold(begun.path, toHold, true))) throw new Failed(NOT_HELD);
  journal.write({ imported, begun });
  try {
    const names = await importFile(importing, plan, records);
    refuseConflict(names, earlier);
    await refuseUnusable(context, Object.keys(names));
    journal.write({ imported: { ...imported, [plan.archive.path]: { ...plan.file, names } } });
    await leases.letGo(begun.path);
    return names;
  } catch (error) {
    await undo(containerd, journal, leases, true);
    throw error;
  }
}

/** Each name as written in the archive, and in full, with its current target. */
function begin({ archive, contents }: ImportPlan, before: ReadonlyMap<string, ImageRecord>): BegunImport {
  const names = contents.flatMap((each) =>
    [...new Set([each.name, fullName(each.name) ?? each.name])].map((name) => {
      const known = before.get(name)?.target;
      return { ...each, name, ...(known && { before: known }) };
    }),
  );
  return { path: archive.path, names };
}

async function importFile(
  importing: Importing,
  { archive, file }: ImportPlan,
  before: ReadonlyMap<string, ImageRecord>,
): Promise<ImportedNames> {
  const { context, local, snapshotter } = importing;
  const { containerd, machine, stop } = context;
  const platform = `${machine.platform.os}/${machine.platform.architecture}`;
  const options = { local, snapshotter, platform, timeout: archive.timeout, signal: stop.signal };
  const raw = await containerd.importArchive(archive.path, options);
  const found = await factsOf(archive.path);
  if (isFailure(found) || !isSameFile(found, file)) throw new Failed(CHANGED);
  return complete(containerd, raw, before);
}

/** ctr records short names in an OCI archive as written. No pod can use those, so full names replace them. */
async function complete(
  containerd: Containerd,
  raw: readonly [name: string, digest: string][],
  before: ReadonlyMap<string, ImageRecord>,
): Promise<ImportedNames> {
  const names: Record<string, string> = {};
  // An archive may give a name several times: the last one counts, as for ctr.
  for (const [name, digest] of new Map(raw)) {
    const full = fullName(name);
    if (full !== undefined) names[full] = digest;
    if (full === name) continue;
    const target = (await containerd.record(name))?.target;
    if (full !== undefined && target?.digest === digest)
      await containerd.saveRecord({ name: full, labels: {}, target });
    await restore(containerd, name, before.get(name)?.target);
  }
  return names;
}

function refuseConflict(names: ImportedNames, earlier: readonly ArchiveOutcome[]): void {
  for (const { archive, names: others, failed } of earlier)
    for (const [name, digest] of Object.entries(names))
      if (!failed && others[name] !== undefined && others[name] !== digest)
        throw new Failed(conflict(name, archive.path));
}

/** ctr also imports images for other platforms, and artifacts that are not images. No pod can start from them. */
async function refuseUnusable({ containerd, machine }: Context, names: readonly string[]): Promise<void> {
  const node = await lookAtNode(containerd, machine.platform, names);
  for (const name of names) {
    const judged = judge(node, name);
    if (judged.is === "usable") continue;
    const found =
      judged.is === "foreign" ? "platform" : judged.is === "not-an-image" ? judged.is : "transfer";
    const message = `the archive's image ${name} is ${judged.why}`;
    throw new Failed({ ...REPORTED[found], class: found, message });
  }
}

/** Undoes an import that the last run did not finish because it was killed. */
export async function mendImport(
  { containerd, emit }: Pick<Context, "containerd" | "emit">,
  journal: Journal,
  leases: Leases,
): Promise<void> {
  const path = journal.record.begun?.path;
  await undo(containerd, journal, leases);
  const message = `the last run ended while it imported ${path}: the archive's names point to their previous images again`;
  if (path !== undefined) emit({ type: "warning", message });
}

/**
 * Restores the names of an unfinished import, if the journal has one.
 * @param isOurs whether each change of a name since is the import's own, because it has only just failed
 */
async function undo(containerd: Containerd, journal: Journal, leases: Leases, isOurs = false): Promise<void> {
  const { begun, imported } = journal.record;
  if (begun === undefined) return;
  await abortIngests(containerd);
  const now = new Map((await containerd.records()).map(({ name, target }) => [name, target]));
  for (const each of begun.names) {
    const target = now.get(each.name);
    if (target === undefined || target.digest === each.before?.digest) continue;
    const blob = isOurs ? undefined : await containerd.blob(target.digest);
    if (isOurs || isFromImport(each, target, blob && configOf(blob)))
      await restore(containerd, each.name, each.before);
  }
  journal.write({ imported });
  await leases.letGo(begun.path);
}

/**
 * containerd keeps a partial layer of an interrupted import under its path in the archive, not under its digest. The
 * next import resumes it even if its archive has another layer at that path, and makes one blob of both.
 */
async function abortIngests(containerd: Containerd): Promise<void> {
  const downloads = await containerd.downloads();
  for (const { ref } of downloads) if (ref.startsWith("tar-")) await containerd.abort(ref);
}

/** If the previous target is gone, the current one stays: the former would be no better. */
async function restore(containerd: Containerd, name: string, before: Descriptor | undefined): Promise<void> {
  if (before === undefined) await containerd.deleteRecord(name);
  else if ((await containerd.blob(before.digest)) !== undefined)
    await containerd.saveRecord({ name, labels: {}, target: before });
}

const NOT_HELD: Failure = {
  class: "runtime",
  message:
    "containerd could not protect the images that the archive's names point to, so the archive is not imported",
};

const CHANGED: Failure = {
  class: "transfer",
  message: "the archive changed while it was read",
  next: "see what writes it, then run again when that is done",
};

const FOREIGN = /might be filtered out/iu;
/** From a pull, these mean a broken image or content that containerd lost. From an import, the archive is at fault. */
const BROKEN =
  /failed to extract layer|unexpected EOF|unexpected commit|invalid tar header|content digest \S+: not found/iu;

/** Failures of an import that are not, or not only, the archive's fault, and how to report them. */
const REPORTED: Partial<Record<FailureClass, Partial<Failure>>> = {
  disk: {},
  "not-an-image": {},
  cancelled: {},
  runtime: {},
  reference: { next: "correct the name that the archive gives its image" },
  platform: {
    message: "the archive holds no image for this node's platform",
    next: "save the image again for this node's platform",
  },
};

function archiveFailure(error: unknown, signal: AbortSignal): Failure {
  if (codeOf(error) !== undefined) return fileFailure(error);
  const failure = toFailure(error, signal);
  if (!(error instanceof CommandError) || signal.aborted) return failure;
  if (error.timedOut) return { class: "timeout", message: "not imported in time (image_timeout)" };
  const seen = FOREIGN.test(error.raw) ? "platform" : failure.class;
  const reported = BROKEN.test(error.raw) && seen !== "disk" ? undefined : REPORTED[seen];
  return { ...failure, class: seen, ...(reported ?? damagedArchive(failure.message)) };
}
