// One look at the node: what CRI lists, and the labels of the names, in three calls side by side.
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
