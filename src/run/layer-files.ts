// Compares the files of an unpacked layer with the layer itself.
import { lstatSync, readlinkSync, type Stats } from "node:fs";
import path from "node:path";
import type { LayerState } from "../core/damage.ts";
import { tarEntries } from "../containerd/tar-file.ts";

/**
 * Checks that each regular file has the length that the layer gives.
 * @param file the layer's blob, compressed or not
 * @param directories the layer's own, then those of the layers below it
 * @returns the state of the first file that differs; `unknown` if the layer cannot be read
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

/** Lengths of the regular files by path. A later entry replaces an earlier one. Whiteouts do not count as files. */
async function filesIn(file: string): Promise<Map<string, number>> {
  const files = new Map<string, number>();
  for await (const { path: written, size, isFile } of tarEntries(file)) {
    const name = path.posix.join("/", written);
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

/** Undefined if it cannot be read: it is missing, or a parent in its path is a file. */
function lookAt(file: string): Stats | undefined {
  try {
    return lstatSync(file, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

const MOST_LINKS = 40;

/** Resolves links among the parents of a file, in this layer and those below it: containerd follows them to unpack. */
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
    parts.unshift(...path.posix.resolve(done, target).split("/"));
    done = "/";
  }
  return path.posix.join(done, ...parts);
}

/** The target of a link, as the topmost layer that contains the path has it; undefined if it is no link there. */
function linkIn(directories: readonly string[], name: string): string | undefined {
  for (const directory of directories) {
    const file = path.join(directory, name);
    const found = lookAt(file);
    if (found !== undefined) return found.isSymbolicLink() ? readlinkSync(file) : undefined;
  }
  return undefined;
}
