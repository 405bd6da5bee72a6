// Archives on the VM, for images without a registry: which have to be imported, and what they bring.
import * as v from "valibot";
import { heldSchema, type Held } from "./archive-content.ts";
import type { Failure } from "./failure.ts";
import { configsOf, judge } from "./judge.ts";
import type { Descriptor, Node } from "./node.ts";
import type { Origin, WantedImage } from "./plan.ts";
import { parseReference } from "./reference.ts";

/** Docker or OCI archives on this VM. */
export interface WantedArchive {
  /** Of one file; or a pattern, of which only those that match no file reach a run. */
  readonly path: string;
  readonly required: boolean;
  /** Whether a pattern has to match a file. */
  readonly mustMatch: boolean;
  readonly pin: boolean;
  /** Milliseconds for one import. */
  readonly timeout: number;
}

/** As `fs.glob` understands it. */
export const isPattern = (path: string): boolean => /[*?[\]{}]/u.test(path);

/** Merges entries of one path: the stricter of each setting. */
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
  /** Nobody can set it: a file that was replaced by one of the same size and time has another. */
  ctimeMs: v.number(),
});
/** What tells that a file is still the one that was imported. Bytes, and epoch milliseconds. */
export type FileFacts = Readonly<v.InferOutput<typeof fileFacts>>;

const digests = v.record(v.string(), v.string());
/** Target digests by the names that an import gave them. */
export type Brought = Readonly<v.InferOutput<typeof digests>>;

const target = v.object({ mediaType: v.string(), digest: v.string(), size: v.number() });
const begunImport = v.object({
  path: v.string(),
  /** As they stand in the archive, and completed; with what they led to before, where they were there. */
  names: v.array(v.object({ ...heldSchema.entries, before: v.exactOptional(target) })),
});
/** An import that has begun, with what its names led to before. */
export type BegunImport = Readonly<v.InferOutput<typeof begunImport>>;

/** archives.json, which is read by what it says here. */
export const archiveRecord = v.object({
  /** What imports left, by the path of the archive. */
  imported: v.record(v.string(), v.object({ ...fileFacts.entries, names: digests })),
  /** One that did not come to its end: the next run puts its names back. */
  begun: v.exactOptional(begunImport),
});
export type ArchiveRecord = Readonly<v.InferOutput<typeof archiveRecord>>;
export type RecordedArchive = ArchiveRecord["imported"][string];

export type PlannedArchive = {
  readonly archive: WantedArchive;
  readonly why: string;
  /** By an earlier import. */
  readonly names: Brought;
} & (
  | { readonly action: "import"; readonly file: FileFacts; readonly held: readonly Held[] }
  | { readonly action: "keep" }
  | { readonly action: "fail"; readonly failure: Failure; readonly held?: readonly Held[] }
  /** A pattern that matches no file, and need not. */
  | { readonly action: "none" }
);

export type ImportPlan = PlannedArchive & { readonly action: "import" };

/** @returns why it has to be imported; undefined when all that it brought is as it was */
export function whyImport(
  file: FileFacts,
  recorded: RecordedArchive | undefined,
  node: Node,
): string | undefined {
  if (recorded === undefined) return "not imported yet";
  if (!isSameFile(file, recorded)) return "the file has changed";
  const lost = Object.entries(recorded.names).find(([name, digest]) => !leadsTo(node, name, digest));
  return lost && `${lost[0]} is ${node.records.has(lost[0]) ? "not what it brought" : "gone"}`;
}

export const isSameFile = (file: FileFacts, recorded: FileFacts): boolean =>
  file.size === recorded.size && file.mtimeMs === recorded.mtimeMs && file.ctimeMs === recorded.ctimeMs;

function leadsTo(node: Node, name: string, digest: string | undefined): boolean {
  const judgement = judge(node, name);
  return judgement.is === "usable" && judgement.target.digest === digest;
}

/** An archive to be imported, or kept, fails if one of its names belongs to somebody else already. */
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
  /** For a person. */
  readonly text: string;
  /** Of the images that others may bring under this name too. */
  readonly ids: ReadonlySet<string>;
}

/** Names that the list gives to images of a registry. One that it pulls may come from an archive instead. */
function ownNames({ source, furtherNames, pullPolicy }: WantedImage): [name: string, owner: Owner][] {
  const pulled = pullPolicy === "Always" ? [source.name] : [];
  const text = `${source.name} in images[]`;
  const names = [...pulled, ...furtherNames.map(({ name }) => name)];
  return names.map((name) => [name, { text, ids: new Set() }]);
}

function claimsOf(
  plan: PlannedArchive & { readonly action: "import" | "keep" },
  node: Node,
): { readonly name: string; readonly ids: ReadonlySet<string> }[] {
  if (plan.action === "keep")
    return Object.keys(plan.names).map((name) => ({ name, ids: new Set(configsOf(node, [name])) }));
  return plan.held.map(({ name, ids }) => ({ name: fullName(name) ?? name, ids: new Set(ids) }));
}

export const conflict = (name: string, owner: string): Failure => ({
  class: "reference",
  message: `the archive names an image ${name}, which is also a name of ${owner}: one of them would take it from the other in every run`,
  next: "give each name to one image: take it out of images[], or make the archive without it",
});

/** As containerd's CRI would write it; undefined for what no pod can ask for. ctr names after the day what has a tag alone. */
export function fullName(name: string): string | undefined {
  if (/^import-\d{4}-\d\d-\d\d[:@]/u.test(name)) return undefined;
  const parsed = parseReference(name);
  return typeof parsed === "string" ? undefined : parsed.name;
}

/** What came of an archive in this run. */
export interface ArchiveOutcome {
  readonly archive: WantedArchive;
  /** Its names, with the digests that they have to lead to; undefined for what only an import tells. */
  readonly names: Readonly<Record<string, string | undefined>>;
  /** Its images are not all on the node, or not the right ones. */
  readonly failed: boolean;
}

/** What is known of an archive before anything is done. */
export function foreseen(plan: PlannedArchive): ArchiveOutcome {
  const { archive, action, names } = plan;
  const held = (action === "import" || action === "fail" ? plan.held : undefined) ?? [];
  const untold = Object.fromEntries(held.map(({ name }) => [fullName(name) ?? name, undefined]));
  // A changed archive may bring others than before.
  const known = action === "import" ? {} : names;
  return { archive, names: { ...untold, ...known }, failed: action !== "import" && action !== "keep" };
}

/**
 * The list's images, and those of the archives that the list does not name itself. An image that comes from an archive
 * knows it. What a failed archive brought before is wanted as far as it is here: nobody unpins it, and no registry has it.
 */
export function withArchived(
  listed: readonly WantedImage[],
  outcomes: readonly ArchiveOutcome[],
  node: Node,
): WantedImage[] {
  const taken = new Set(listed.flatMap(ownNames).map(([name]) => name));
  const images = new Map(listed.map((image) => [image.source.name, image]));
  for (const { archive, names, failed } of outcomes.toSorted((a, b) => Number(a.failed) - Number(b.failed)))
    for (const [name, digest] of Object.entries(names)) {
      const [source, known] = [parseReference(name), images.get(name)];
      const isWanted = known !== undefined || !failed || leadsTo(node, name, digest);
      if (typeof source === "string" || taken.has(name) || !isWanted) continue;
      taken.add(name);
      const origin = { path: archive.path, failed, ...(digest !== undefined && { digest }) };
      images.set(name, archivedImage(source, origin, archive, known));
    }
  return [...images.values()];
}

const archivedImage = (
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

/** Whether a record leads to what an import gave its name: where that is not known, it is taken for it. */
export const isBrought = (
  { digests: made, ids }: Held,
  { digest }: Descriptor,
  id: string | undefined,
): boolean =>
  (made.length === 0 && ids.length === 0) || made.includes(digest) || (id !== undefined && ids.includes(id));
