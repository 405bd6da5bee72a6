// The kubelet's records of its own pulls, which it keeps below its root directory, and what they mean for imported names.
import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { type KubeletRecords, namesHere, refusedNames, refusedWarnings } from "../core/kubelet-records.ts";
import type { Node } from "../core/node.ts";
import type { WantedImage } from "../core/plan.ts";

/** For people; none when the kubelet will refuse none of these images' names, or keeps no records here. */
export async function kubeletWarnings(
  root: string,
  wanted: readonly WantedImage[],
  node: Node,
): Promise<string[]> {
  return refusedWarnings(root, refusedNames(await readKubeletRecords(root), namesHere(wanted, node)));
}

/** Milliseconds. The kubelet's pull of an image that is here takes seconds; one that takes longer hangs or was broken off. */
const HANGS = 60_000;

/** None when the kubelet keeps no records here: another root directory, or a version before them. */
export async function readKubeletRecords(kubeletRoot: string): Promise<KubeletRecords> {
  const folder = path.join(kubeletRoot, "image_manager");
  const [pulled, pulling] = await Promise.all([
    readFolder(path.join(folder, "pulled"), 0),
    readFolder(path.join(folder, "pulling"), HANGS),
  ]);
  return { pulled, pulling };
}

/** @param age in milliseconds: what is younger is left out */
async function readFolder(folder: string, age: number): Promise<unknown[]> {
  const files = await readdir(folder).catch(() => []);
  // Beside them are files that it is writing, which end in .tmp.
  const records = files.filter((file) => /^sha256-[0-9a-f]{64}$/u.test(file)).toSorted();
  const contents = await Promise.all(records.map((name) => readRecord(path.join(folder, name), age)));
  return contents.flat();
}

async function readRecord(file: string, age: number): Promise<unknown[]> {
  try {
    const isOld = Date.now() - (await stat(file)).mtimeMs >= age;
    return isOld ? [JSON.parse(await readFile(file, "utf8"))] : [];
  } catch {
    // Removed meanwhile, or not JSON: then it is no record for us either.
    return [];
  }
}
