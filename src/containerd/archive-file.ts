// What an archive holds, read from its file without containerd.
import { posix } from "node:path";
import {
  damagedArchive,
  namesInArchive,
  ROOT,
  type Documents,
  type ArchivedName,
} from "../core/archive-content.ts";
import { Failed, type Failure } from "../core/failure.ts";
import { codeOf, messageOf } from "../core/plain-text.ts";
import { CUT_OFF, NO_HEADER, tarEntries } from "./tar-file.ts";

/** Maximum bytes of a document to read: of any, and of the few that list what an archive holds. */
const SMALL = 2 ** 20;
const LISTS = new Set(["manifest.json", "index.json", "oci-layout"]);
const LARGEST_LIST = 64 * SMALL;
/** Maximum bytes of all documents. */
const MOST_TEXT = 128 * SMALL;

/** Reads the archive once, without containerd. @throws the system's error if the file cannot be read */
export async function readArchive(path: string, signal: AbortSignal): Promise<ArchivedName[] | Failure> {
  let found: Documents;
  try {
    found = await documentsIn(path, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Failed) return error.failure;
    if (error instanceof Error && "syscall" in error) throw error;
    const why = messageOf(error);
    return codeOf(error) === "ZSTD_error_frameParameter_windowTooLarge"
      ? WINDOW
      : damagedArchive(REASONS[why] ?? why);
  }
  const { createHash } = await import("node:crypto");
  return namesInArchive(found, (text) => `sha256:${createHash("sha256").update(text).digest("hex")}`);
}

async function documentsIn(path: string, signal: AbortSignal): Promise<Documents> {
  const documents = new Map<string, string>();
  const top = new Set<string>();
  let left = MOST_TEXT;
  for await (const entry of tarEntries(path, signal)) {
    const name = posix.normalize(entry.path);
    const [folder = ""] = name.split("/", 1);
    if (ROOT.has(folder)) top.add(folder);
    if (!entry.isFile || entry.size > (LISTS.has(name) ? LARGEST_LIST : Math.min(SMALL, left))) continue;
    const content = await entry.content();
    if (content[0] !== 0x7b && content[0] !== 0x5b) continue;
    left -= content.length;
    documents.set(name, content.toString("utf8"));
  }
  return { documents, top };
}

/** tar-stream's messages, reworded. */
const REASONS: Readonly<Record<string, string>> = {
  [CUT_OFF]: "it ends in the middle of a file",
  [NO_HEADER]: "it has an invalid tar header",
};

const WINDOW: Failure = {
  class: "transfer",
  message: "the archive is compressed with a zstd window of more than 128 MiB, which is not supported",
  next: "compress it without --long, or with --long=27 at most",
};
