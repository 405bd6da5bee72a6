// Holds the files of an unpacked layer against the layer itself.
import { lstatSync, readlinkSync, type Stats } from "node:fs";
import path from "node:path";
import type { LayerState } from "../core/damage.ts";
import { tarEntries } from "../containerd/archive-file.ts";

/**
 * Whether each regular file has the length that the layer says.
 * @param file the layer, compressed or not
 * @param directories where it is unpacked, and where those below it are
 * @returns `unknown` where the layer itself cannot be read
 */
export async function compareFiles(file: string, directories: readonly string[]): Promise<LayerState> {
  const expected = await filesIn(file).catch(() => undefined);
  if (expected === undefined) return "unknown";
  for (const [name, size] of expected) {
    const state = stateOf(directories, name, size);
    if (state !== "whole") return state;
  }
  return "whole";
}

/** Length by path. A later entry stands for an earlier one; what deletes a file of a layer below is none. */
async function filesIn(file: string): Promise<Map<string, number>> {
  const files = new Map<string, number>();
  for await (const { path: written, size, isFile } of tarEntries(file)) {
    const name = path.posix.join("/", written).slice(1);
    if (path.posix.basename(name).startsWith(".wh.") || !isFile) files.delete(name);
    else files.set(name, size);
  }
  return files;
}

function stateOf(directories: readonly string[], name: string, size: number): LayerState {
  const [own = ""] = directories;
  const found = lookAt(path.join(own, name)) ?? lookAt(path.join(own, followed(directories, name)));
  if (found === undefined) return "missing";
  if (!found.isFile() || found.size === size) return "whole";
  return found.size === 0 ? "empty" : "cut";
}

/** Also for one whose directory is a file. */
function lookAt(file: string): Stats | undefined {
  try {
    return lstatSync(file, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

const MOST_LINKS = 40;

/** Where a file was unpacked whose directory is a link, in this layer or one below it: containerd follows it. */
function followed(directories: readonly string[], name: string): string {
  let done = "/";
  const parts = name.split("/");
  for (let links = 0; parts.length > 1 && links < MOST_LINKS;) {
    const next = path.posix.join(done, parts.shift() ?? "");
    const target = linkIn(directories, next);
    if (target === undefined) {
      done = next;
      continue;
    }
    links += 1;
    parts.unshift(
      ...path.posix
        .resolve(done, target)
        .split("/")
        .filter((part) => part !== ""),
    );
    done = "/";
  }
  return path.posix.join(done, ...parts);
}

/** What the uppermost of the layers says of a path, where that is a link. */
function linkIn(directories: readonly string[], name: string): string | undefined {
  for (const directory of directories) {
    const file = path.join(directory, name);
    const found = lookAt(file);
    if (found !== undefined) return found.isSymbolicLink() ? readlinkSync(file) : undefined;
  }
  return undefined;
}
