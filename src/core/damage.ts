// Describes damage on the disk to an image that containerd's database shows as whole, and how to repair it.
import type { Blob, Damage, Node, Snapshot } from "./node.ts";
import { counted } from "./units.ts";

/** State of a layer's unpacked files. `unknown`: nothing to compare them with. `unchecked`: its blob is truncated. */
export type LayerState = "whole" | "unknown" | "unchecked" | "gone" | "missing" | "empty" | "cut";

export interface CutBlob {
  readonly what: "index" | "manifest" | "config" | "layer";
  readonly blob: Blob;
  /** Bytes on the disk. */
  readonly length: number;
}

/** @param layers state of each unpacked layer, by chain id. @returns undefined if nothing is damaged */
export function damageOf(
  { snapshots }: Pick<Node, "snapshots">,
  cut: readonly CutBlob[],
  layers: ReadonlyMap<string, LayerState>,
): Damage | undefined {
  const broken = new Map(
    [...layers].flatMap(([id, state]) => (isBroken(state) ? [[id, state] as const] : [])),
  );
  // Layer blobs matter only if the image is not unpacked or must be unpacked again.
  const needed = cut.filter(({ what }) => what !== "layer" || layers.size === 0 || broken.size > 0);
  if (broken.size === 0 && needed.length === 0) return undefined;
  const above = withDescendants(snapshots, new Set(broken.keys()));
  const isHeld = above.some(({ isCommitted, name }) => !isCommitted && !name.startsWith(UNPACKING));
  return {
    what: [...needed.map(cutText), ...brokenText([...broken.values()], layers.size)].join(", and "),
    mend: isHeld ? "held" : needed.length > 0 ? "pull" : "unpack",
    blobs: needed.map(({ blob }) => blob.digest),
    snapshots: above.map(({ name }) => name),
  };
}

type Broken = Exclude<LayerState, "whole" | "unknown">;
const isBroken = (state: LayerState): state is Broken => state !== "whole" && state !== "unknown";

/** Key prefix of containerd's unpack snapshots, also of abandoned ones. All other active snapshots are containers'. */
const UNPACKING = "extract-";

const cutText = ({ what, blob, length }: CutBlob): string =>
  `its ${what} has ${length.toLocaleString("en-US")} of ${blob.size.toLocaleString("en-US")} bytes`;

const WORDS: Readonly<Record<Broken, string>> = {
  gone: "directories are gone",
  missing: "files are missing",
  empty: "files are empty",
  cut: "files are cut short",
  unchecked: "files cannot be checked",
};

function brokenText(states: readonly Broken[], count: number): string[] {
  const [first, ...others] = new Set(states);
  if (first === undefined) return [];
  const what = others.length === 0 ? WORDS[first] : "files are damaged";
  return [`${states.length} of ${counted(count, "layer")}${count === 1 ? "'s" : "'"} ${what}`];
}

/** The snapshots and all on top of them, in an order in which they can be removed. */
function withDescendants(snapshots: Node["snapshots"], names: ReadonlySet<string>): Snapshot[] {
  const children = Map.groupBy(snapshots.values(), ({ parent }) => parent);
  const seen = new Set<Snapshot>();
  const visit = (snapshot: Snapshot): void => {
    // A power loss damages many layers at once, and most images are on top of the same ones.
    if (seen.has(snapshot)) return;
    for (const child of children.get(snapshot.name) ?? []) visit(child);
    seen.add(snapshot);
  };
  for (const name of names) {
    const snapshot = snapshots.get(name);
    if (snapshot !== undefined) visit(snapshot);
  }
  return [...seen];
}
