// Names and pins of an image that is on the node.
import { decideTag, type NodeState, type TagDecision, type WantedImage } from "../core/plan.ts";
import type { Emit, Step } from "../core/run-state.ts";
import type { ImageRuntime } from "../runtime/image-runtime.ts";

export interface FinishOptions {
  readonly runtime: Pick<ImageRuntime, "tag" | "pin">;
  /** The node before the run. */
  readonly node: NodeState;
  readonly pinning: boolean;
  /** Whether ctr has to be told to give a new name the labels of its source. */
  readonly local: boolean;
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
  options: FinishOptions,
  image: WantedImage,
  id: string,
  pulled: boolean,
): Promise<void> {
  const { runtime, local, emit } = options;
  const source = image.source.name;
  const { pinFirst, create, move, inherits, pinLast } = decideFinish(options, image, id, pulled);
  const pin = async (name: string): Promise<void> => {
    await attempt("pin", () => runtime.pin(name));
    emit({ type: "pinned", image: source, name });
  };
  const tag = async (targets: readonly string[], moved: boolean): Promise<void> => {
    if (targets.length === 0) return;
    await attempt("tag", () => runtime.tag(source, targets, { local: local && !moved }));
    for (const target of targets) emit({ type: "tagged", image: source, target, moved });
  };
  if (pinFirst) await pin(source);
  await tag(create, false);
  if (inherits) for (const name of create) emit({ type: "pinned", image: source, name });
  await tag(move, true);
  for (const name of pinLast) await pin(name);
}

interface Finish {
  readonly pinFirst: boolean;
  readonly create: readonly string[];
  readonly move: readonly string[];
  /** Whether a created name gets both our labels with those of its source. */
  readonly inherits: boolean;
  readonly pinLast: readonly string[];
}

/**
 * The source is pinned before it is tagged: ctr gives a name that it makes the labels of the source, so that one call
 * tags and pins all of them. A moved name is pinned by itself, because containerd 2 moves it without labels.
 */
function decideFinish(
  { node, pinning }: FinishOptions,
  image: WantedImage,
  id: string,
  pulled: boolean,
): Finish {
  const source = image.source.name;
  const tags = image.targets.map((target) => decideTag(target, id, node));
  const named = (action: TagDecision["action"]): string[] =>
    tags.filter((tag) => tag.action === action).map((tag) => tag.target.name);
  const [create, move, keep] = [named("create"), named("move"), named("keep")];
  if (!image.pin || !pinning) return { pinFirst: false, create, move, inherits: false, pinLast: [] };
  const pinFirst = pulled || !node.pinned.has(source);
  // A source that somebody else pinned would hand on a pin that we never take back.
  const inherits = pinFirst || node.ours.has(source);
  const unpinned = keep.filter((name) => !node.pinned.has(name));
  return { pinFirst, create, move, inherits, pinLast: [...(inherits ? [] : create), ...move, ...unpinned] };
}

async function attempt(name: Step, act: () => Promise<void>): Promise<void> {
  await act().catch((error: unknown) => {
    throw new FinishFailed(name, error);
  });
}
