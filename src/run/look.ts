// Looks at the node: what CRI lists, and the labels of the names.
import type { SemVer } from "semver";
import { listing, type Listing, type NodeState } from "../core/plan.ts";
import type { ImageRuntime } from "../runtime/image-runtime.ts";

export type LabelView = Pick<ImageRuntime, "pinned" | "pinnedByUs">;

/** The labels, to what CRI has listed. They take two calls, which no pull has to wait for. */
export async function lookAtLabels(runtime: LabelView, byName: Listing): Promise<NodeState> {
  const [pinned, ours] = await Promise.all([runtime.pinned(), runtime.pinnedByUs()]);
  return { byName, pinned: new Set(pinned), ours: new Set(ours) };
}

export interface FirstLook {
  readonly version: SemVer;
  readonly present: Listing;
}

/**
 * containerd is nearly always up, so it is asked for its images along with its version, and again if that failed.
 * @param ready gives the version once containerd answers. Throws when it does not in its time
 */
export async function lookWhenReady(
  runtime: Pick<ImageRuntime, "images">,
  ready: () => Promise<SemVer>,
): Promise<FirstLook> {
  const early = new AbortController();
  const looking = runtime.images(early.signal).catch(() => undefined);
  try {
    const version = await ready();
    return { version, present: listing((await looking) ?? (await runtime.images())) };
  } finally {
    early.abort();
  }
}
