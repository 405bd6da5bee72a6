// Archives on the VM, for images without a registry: which have to be imported, and what they are to bring.
import * as v from "valibot";
import type { Failure } from "./failure.ts";
import { judge } from "./judge.ts";
import { type Node } from "./node.ts";
import { namesOf, type WantedImage } from "./plan.ts";
import { parseReference } from "./reference.ts";

/** A docker or OCI archive on this VM. */
export interface WantedArchive {
  readonly path: string;
  readonly required: boolean;
  readonly pin: boolean;
  /** Milliseconds for its import. */
  readonly timeout: number;
}

/** What an import left, as archives.json has it by the path of the archive, which is read by what it says here. */
export const archiveRecord = v.record(
  v.string(),
  v.object({
    /** What tells that a file is still the one that was imported. Bytes, and epoch milliseconds. */
    size: v.number(),
    mtimeMs: v.number(),
    /** Nobody can set it: a file that was replaced by one of the same size and time has another. */
    ctimeMs: v.number(),
    /** Target digests by the names that the import gave them. */
    names: v.record(v.string(), v.string()),
  }),
);
export type ArchiveRecord = Readonly<v.InferOutput<typeof archiveRecord>>;
export type RecordedArchive = ArchiveRecord[string];
export type FileFacts = Omit<RecordedArchive, "names">;

export type PlannedArchive = {
  readonly archive: WantedArchive;
  readonly why: string;
  /** That an earlier import brought. */
  readonly names: readonly string[];
} & (
  | { readonly action: "import" | "keep"; readonly file: FileFacts }
  | { readonly action: "fail"; readonly failure: Failure }
);

/** @param file as it was found @param recorded its last import */
export function planArchive(
  archive: WantedArchive,
  file: FileFacts | Failure,
  recorded: RecordedArchive | undefined,
  node: Node,
): PlannedArchive {
  const names = Object.keys(recorded?.names ?? {});
  if ("class" in file)
    return { archive, action: "fail", failure: file, why: file.message, names: usableOf(node, names) };
  const why = whyImport(file, recorded, node);
  if (why !== undefined) return { archive, action: "import", file, why, names };
  return { archive, action: "keep", file, why: "unchanged", names };
}

function whyImport(file: FileFacts, recorded: RecordedArchive | undefined, node: Node): string | undefined {
  if (recorded === undefined) return "not imported yet";
  if (!isSameFile(file, recorded)) return "the file has changed";
  const lost = Object.entries(recorded.names).find(([name, digest]) => {
    const judgement = judge(node, name);
    return judgement.is !== "usable" || judgement.target.digest !== digest;
  });
  return lost && `${lost[0]} is not what it brought`;
}

/** What an earlier import brought is wanted as far as it is here: a missing file must not unpin it, and no registry has it. */
export const usableOf = (node: Node, names: readonly string[]): string[] =>
  names.filter((name) => judge(node, name).is === "usable");

const isSameFile = (file: FileFacts, recorded: FileFacts): boolean =>
  file.size === recorded.size && file.mtimeMs === recorded.mtimeMs && file.ctimeMs === recorded.ctimeMs;

/** What an archive holds, as images to be pinned and proved like any other. */
export const archivedImages = (
  names: readonly string[],
  { required, pin, timeout }: WantedArchive,
): WantedImage[] =>
  names.map(parseReference).flatMap((source) => {
    if (typeof source === "string") return [];
    return [{ source, furtherNames: [], pullPolicy: "IfNotPresent", required, pin, timeout }];
  });

/** The list's images, and those of the archives that the list does not name itself. */
export function withArchived(
  listed: readonly WantedImage[],
  archived: readonly WantedImage[],
): WantedImage[] {
  const named = new Set(listed.flatMap(namesOf));
  const added = archived.filter((image) => !named.has(image.source.name));
  return [...listed, ...new Map(added.map((image) => [image.source.name, image])).values()];
}

/** ctr names after the day what an archive gives a tag and no repository. */
export const isNameless = (name: string): boolean => /^import-\d{4}-\d\d-\d\d[:@]/u.test(name);
