// The kubelet's records of its own pulls, which it keeps below its root directory, and what they mean for imported names.
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { namesHere, type PulledRecord, refusedNames, refusedWarning } from "../core/kubelet-records.ts";
import type { Node } from "../core/node.ts";
import type { WantedImage } from "../core/plan.ts";

/** For people; undefined when the kubelet will refuse none of these images' names, or keeps no records here. */
export async function kubeletWarning(
  root: string,
  wanted: readonly WantedImage[],
  node: Node,
): Promise<string | undefined> {
  return refusedWarning(refusedNames(await readPulledRecords(root), namesHere(wanted, node)));
}

/** None when the kubelet keeps no records here: another root directory, or a version before them. */
export async function readPulledRecords(kubeletRoot: string): Promise<PulledRecord[]> {
  const folder = path.join(kubeletRoot, "image_manager", "pulled");
  const files = await readdir(folder).catch(() => []);
  // Beside them are files that it is writing, which end in .tmp.
  const records = files.filter((file) => /^sha256-[0-9a-f]{64}$/u.test(file));
  return Promise.all(
    records.toSorted().map(async (name) => {
      const file = path.join(folder, name);
      // Removed meanwhile, or not JSON: then it is no record for us either.
      const content = readFile(file, "utf8").then((text): unknown => JSON.parse(text));
      return { file, content: await content.catch(() => undefined) };
    }),
  );
}
