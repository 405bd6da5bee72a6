// Names and pins of an image that is on the node: tags first, pins last, because a tag or a pull drops labels.
import { decideTag, namesOf, type NodeState, type WantedImage } from "../core/plan.ts";
import type { Emit, Step } from "../core/run-state.ts";
import type { ImageRuntime } from "../runtime/image-runtime.ts";

export interface FinishOptions {
  readonly runtime: Pick<ImageRuntime, "tag" | "pin">;
  /** The node before the run. */
  readonly node: NodeState;
  readonly pinning: boolean;
  readonly emit: Emit;
}

/** A tag or pin that did not succeed; `cause` is what the tool said. */
export class FinishFailed extends Error {
  override readonly name = "FinishFailed";
  readonly step: Step;

  constructor(step: Step, cause: unknown) {
    super(`${step} failed`, { cause });
    this.step = step;
  }
}

/**
 * @param id of the image that the source's name has now
 * @param pulled whether this run pulled it, and so dropped the labels of its name
 * @throws FinishFailed
 */
export async function finishImage(
  { runtime, node, pinning, emit }: FinishOptions,
  image: WantedImage,
  id: string,
  pulled: boolean,
): Promise<void> {
  const source = image.source.name;
  const touched = new Set(pulled ? [source] : []);
  for (const { target, action } of image.targets.map((name) => decideTag(name, id, node))) {
    if (action === "keep") continue;
    await attempt("tag", () => runtime.tag(source, target.name));
    touched.add(target.name);
    emit({ type: "tagged", image: source, target: target.name, moved: action === "move" });
  }
  if (!image.pin || !pinning) return;
  for (const name of namesOf(image).filter((wanted) => touched.has(wanted) || !node.pinned.has(wanted))) {
    await attempt("pin", () => runtime.pin(name));
    emit({ type: "pinned", image: source, name });
  }
}

async function attempt(name: Step, act: () => Promise<void>): Promise<void> {
  await act().catch((error: unknown) => {
    throw new FinishFailed(name, error);
  });
}
