// Archives on the VM hold images that need no registry. Decides which ones to import and which images they provide.
import * as v from "valibot";
import { archivedNameSchema, type ArchivedName } from "./archive-content.ts";
import type { Failure } from "./failure.ts";
import { configsOf, judge } from "./judge.ts";
import type { Descriptor, Node } from "./node.ts";
import type { Origin, WantedImage } from "./plan.ts";
import { normalizedName, parseReference } from "./reference.ts";

export interface WantedArchive {
  /** One file or a pattern. A run first expands patterns to files, so a remaining pattern matches no file. */
  readonly path: string;
  readonly required: boolean;
  /** A pattern must match at least one file. */
  readonly mustMatch: boolean;
  readonly pin: boolean;
  /** Milliseconds for one import. */
  readonly timeout: number;
}

/** Pattern syntax is that of Node's `fs.glob`. */
export const isPattern = (path: string): boolean => /[*?[\]{}]/u.test(path);

/** Merges entries with the same path: the stricter settings and the longest timeout win. */
export const mergeArchives = (archives: readonly WantedArchive[]): WantedArchive[] =>
  [...Map.groupBy(archives, ({ path }) => path)].map(([path, group]) => ({
    path,
    required: group.some(({ required }) => required),
    mustMatch: group.some(({ mustMatch }) => mustMatch),
    pin: group.some(({ pin }) => pin),
    timeout: Math.max(...group.map(({ timeout }) => timeout)),
  }));

const fileFacts = v.object({
  size: v.number(),
  mtimeMs: v.number(),
  /** No program can set it, so it reveals a replacement with equal size and mtime. */
  ctimeMs: v.number(),
});
/** Identifies the file that was imported. Size in bytes, times in epoch milliseconds. */
export type FileFacts = Readonly<v.InferOutput<typeof fileFacts>>;

const digests = v.record(v.string(), v.string());
/** Target digest by each name that an import created. */
export type ImportedNames = Readonly<v.InferOutput<typeof digests>>;

const target = v.object({ mediaType: v.string(), digest: v.string(), size: v.number() });
const begunImport = v.object({
  path: v.string(),
  /** Each name as spelled in the archive and in full. `before`: its earlier target, if the record existed. */
  names: v.array(v.object({ ...archivedNameSchema.entries, before: v.exactOptional(target) })),
});
/** An unfinished import, with what is needed to undo it. */
export type BegunImport = Readonly<v.InferOutput<typeof begunImport>>;

/** Schema of archives.json. */
export const archiveRecord = v.object({
  /** Completed imports, by path of the archive. */
  imported: v.record(v.string(), v.object({ ...fileFacts.entries, names: digests })),
  /** An unfinished import. The next run restores its names. */
  begun: v.exactOptional(begunImport),
});
export type ArchiveRecord = Readonly<v.InferOutput<typeof archiveRecord>>;
export type RecordedArchive = ArchiveRecord["imported"][string];

export type PlannedArchive = {
  readonly archive: WantedArchive;
  readonly why: string;
  /** Created by an earlier import. */
  readonly names: ImportedNames;
} & (
  | { readonly action: "import"; readonly file: FileFacts; readonly contents: readonly ArchivedName[] }
  | { readonly action: "keep"; readonly contents?: never }
  | { readonly action: "fail"; readonly failure: Failure; readonly contents?: readonly ArchivedName[] }
  /** A pattern that matches no file and need not match one. */
  | { readonly action: "none"; readonly contents?: never }
);

export type ImportPlan = PlannedArchive & { readonly action: "import" };

/** @returns the reason to import; undefined when the file and all images from it are unchanged */
export function whyImport(
  file: FileFacts,
  recorded: RecordedArchive | undefined,
  node: Node,
): string | undefined {
  if (recorded === undefined) return "not imported yet";
  if (!isSameFile(file, recorded)) return "the file has changed";
  const lost = Object.entries(recorded.names).find(([name, digest]) => !pointsTo(node, name, digest));
  return lost && `${lost[0]} is ${node.records.has(lost[0]) ? "another image, or damaged" : "gone"}`;
}

export const isSameFile = (file: FileFacts, recorded: FileFacts): boolean =>
  file.size === recorded.size && file.mtimeMs === recorded.mtimeMs && file.ctimeMs === recorded.ctimeMs;

function pointsTo(node: Node, name: string, digest: string | undefined): boolean {
  const judgement = judge(node, name);
  return judgement.is === "usable" && judgement.target.digest === digest;
}

/** Fails an archive if the list or an earlier archive gives one of its names to another image. */
export function withConflicts(
  planned: readonly PlannedArchive[],
  listed: readonly WantedImage[],
  node: Node,
): PlannedArchive[] {
  const owners = new Map(listed.flatMap(ownNames));
  return planned.map((plan) => {
    if (plan.action !== "import" && plan.action !== "keep") return plan;
    const claims = claimsOf(plan, node);
    for (const { name, ids } of claims) {
      const owner = owners.get(name);
      if (owner === undefined || !owner.ids.isDisjointFrom(ids)) continue;
      const failure = conflict(name, owner.text);
      return { ...plan, action: "fail", failure, why: failure.message };
    }
    for (const { name, ids } of claims) owners.getOrInsert(name, { text: plan.archive.path, ids });
    return plan;
  });
}

interface Owner {
  /** For messages. */
  readonly text: string;
  /** Config digests. An archive with the same image may provide this name too. */
  readonly ids: ReadonlySet<string>;
}

/** Names that archives must not provide: further names, and sources with an explicit `Always`. */
function ownNames({ source, furtherNames, pullPolicy }: WantedImage): [name: string, owner: Owner][] {
  const own = pullPolicy === "Always" ? [source, ...furtherNames] : furtherNames;
  return own.map(({ name }) => [name, { text: `${source.name} in images[]`, ids: new Set() }]);
}

function claimsOf(
  plan: PlannedArchive & { readonly action: "import" | "keep" },
  node: Node,
): { readonly name: string; readonly ids: ReadonlySet<string> }[] {
  if (plan.action === "keep")
    return Object.keys(plan.names).map((name) => ({ name, ids: new Set(configsOf(node, [name])) }));
  return plan.contents.map(({ name, ids }) => ({ name: fullName(name) ?? name, ids: new Set(ids) }));
}

export const conflict = (name: string, owner: string): Failure => ({
  class: "reference",
  message: `the archive names an image ${name}, which is also a name of ${owner}: one of them would take it from the other in every run`,
  next: "give each name to one image: take it out of images[], or make the archive without it",
});

/** @returns the name as CRI normalizes it; undefined if no pod can use it, like ctr's `import-DATE` for a bare tag */
export function fullName(name: string): string | undefined {
  return /^import-\d{4}-\d\d-\d\d[:@]/u.test(name) ? undefined : normalizedName(name);
}

/** The result of one archive in this run. */
export interface ArchiveOutcome {
  readonly archive: WantedArchive;
  /** The digest that each name must refer to; undefined if only the import can tell. */
  readonly names: Readonly<Record<string, string | undefined>>;
  /** Some of its images are missing on the node, or are the wrong ones. */
  readonly failed: boolean;
}

/** The outcome that is expected before any import. */
export function expectedOutcome(plan: PlannedArchive): ArchiveOutcome {
  const { archive, action, names, contents = [] } = plan;
  const unknown = Object.fromEntries(contents.map(({ name }) => [fullName(name) ?? name, undefined]));
  // A changed archive may hold other images than before.
  const known = action === "import" ? {} : names;
  return { archive, names: { ...unknown, ...known }, failed: action !== "import" && action !== "keep" };
}

/**
 * Adds the archives' images to those of the list, and sets `archive` on each image that comes from one. What a failed
 * archive provided earlier stays wanted while it is usable, so that it keeps its pin: no registry has it.
 */
export function withArchiveImages(
  listed: readonly WantedImage[],
  outcomes: readonly ArchiveOutcome[],
  node: Node,
): WantedImage[] {
  const taken = new Set(listed.flatMap(ownNames).map(([name]) => name));
  const images = new Map(listed.map((image) => [image.source.name, image]));
  for (const { archive, names, failed } of outcomes.toSorted((a, b) => Number(a.failed) - Number(b.failed)))
    for (const [name, digest] of Object.entries(names)) {
      const [source, known] = [parseReference(name), images.get(name)];
      const isWanted = known !== undefined || !failed || pointsTo(node, name, digest);
      if (typeof source === "string" || taken.has(name) || !isWanted) continue;
      taken.add(name);
      const origin = { path: archive.path, failed, digest };
      images.set(name, archiveImage(source, origin, archive, known));
    }
  return [...images.values()];
}

const archiveImage = (
  source: WantedImage["source"],
  origin: Origin,
  { required, pin, timeout }: WantedArchive,
  listed?: WantedImage,
): WantedImage => ({
  furtherNames: [],
  timeout,
  ...listed,
  source,
  pullPolicy: "IfNotPresent",
  required: required || (listed?.required ?? false),
  pin: pin || (listed?.pin ?? false),
  archive: origin,
});

/** Whether a record refers to what the import gave its name. If that is unknown (no digests, no ids), it does. */
export const isFromImport = (
  { digests: made, ids }: ArchivedName,
  { digest }: Descriptor,
  id: string | undefined,
): boolean => (made.length === 0 && ids.length === 0) || made.includes(digest) || ids.includes(id ?? "");
