// The kubelet's records of its own pulls, in its root directory, and what they mean for imported names.
import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { type KubeletRecords, namesHere, refusedNames, refusedWarnings } from "../core/kubelet-records.ts";
import type { Node } from "../core/node.ts";
import type { WantedImage } from "../core/plan.ts";

/** @returns warnings for people; none if the kubelet will refuse none of the names, or keeps no records here */
export async function kubeletWarnings(
  root: string,
  wanted: readonly WantedImage[],
  node: Node,
  now: Date,
): Promise<string[]> {
  return refusedWarnings(root, refusedNames(await readKubeletRecords(root, now), namesHere(wanted, node)));
}

/** Milliseconds. The kubelet's pull of a present image takes seconds; a longer one hangs or was interrupted. */
const HANGS = 60_000;

/** Empty if the kubelet keeps no records here: it has another root directory, or is too old. */
export async function readKubeletRecords(kubeletRoot: string, now: Date): Promise<KubeletRecords> {
  const folder = path.join(kubeletRoot, "image_manager");
  const [pulled, pulling] = await Promise.all([
    readFolder(path.join(folder, "pulled"), Number.POSITIVE_INFINITY),
    readFolder(path.join(folder, "pulling"), now.getTime() - HANGS),
  ]);
  return { pulled, pulling };
}

/** @param latest epoch milliseconds; records of later pulls are left out */
async function readFolder(folder: string, latest: number): Promise<unknown[]> {
  const files = await readdir(folder).catch(() => []);
  // Files that end in .tmp are being written.
  const records = files.filter((file) => /^sha256-[0-9a-f]{64}$/u.test(file)).toSorted();
  const contents = await Promise.all(records.map((name) => readRecord(path.join(folder, name), latest)));
  return contents.flat();
}

async function readRecord(file: string, latest: number): Promise<unknown[]> {
  try {
    const isOld = (await stat(file)).mtimeMs <= latest;
    return isOld ? [JSON.parse(await readFile(file, "utf8"))] : [];
  } catch {
    // Removed meanwhile, or not JSON: then it counts as no record.
    return [];
  }
}
