// One look at the node: what CRI lists, and the labels of the names, in three calls side by side.
import type { SemVer } from "semver";
import { nodeState, type NodeState } from "../core/plan.ts";
import type { ImageRuntime } from "../runtime/image-runtime.ts";

export type NodeView = Pick<ImageRuntime, "images" | "pinned" | "pinnedByUs">;

export async function lookAtNode(runtime: NodeView, signal?: AbortSignal): Promise<NodeState> {
  const [images, pinned, ours] = await Promise.all([
    runtime.images(signal),
    runtime.pinned(signal),
    runtime.pinnedByUs(signal),
  ]);
  return nodeState(images, pinned, ours);
}

export interface FirstLook {
  readonly version: SemVer;
  readonly node: NodeState;
}

/**
 * containerd is nearly always up, so the node is looked at while it is asked for its version, and again if that failed.
 * The question for the version comes first: of the four calls those of crictl take longest.
 * @param ready gives the version once containerd answers. Throws when it does not in its time
 */
export async function lookWhenReady(runtime: NodeView, ready: () => Promise<SemVer>): Promise<FirstLook> {
  const early = new AbortController();
  const readying = ready();
  const look = lookAtNode(runtime, early.signal).catch(() => undefined);
  try {
    return { version: await readying, node: (await look) ?? (await lookAtNode(runtime)) };
  } finally {
    early.abort();
  }
}
