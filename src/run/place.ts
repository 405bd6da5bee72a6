// Makes an image that is on the node what pods ask for: pinned, and under all its names.
import { impossibleName, planImage, type WantedImage } from "../core/plan.ts";
import type { Failure } from "../core/failure.ts";
import type { Judgement, Usable } from "../core/judge.ts";
import type { Node } from "../core/node.ts";
import { pinRecord } from "../core/pins.ts";
import type { Step } from "../core/run-state.ts";
import type { Context } from "./context.ts";
import { toFailure } from "./tool-failure.ts";

/** An image could not be made what it should be; nothing that the runtime did wrong. */
export class PlaceFailed extends Error {
  override readonly name = "PlaceFailed";
  readonly step: Step;
  readonly failure: Failure;

  constructor(step: Step, failure: Failure) {
    super(failure.message);
    this.step = step;
    this.failure = failure;
  }
}

/**
 * @param node as it is now, at least the part that the image needs
 * @returns what the image's name leads to. @throws PlaceFailed
 */
export async function placeImage(
  context: Context,
  image: WantedImage,
  node: Node,
  pins: boolean,
): Promise<Usable> {
  const { containerd, emit, stop } = context;
  const source = image.source.name;
  const { judgement, names, pin } = planImage(image, node, pins);
  if (judgement.is !== "usable") throw new PlaceFailed("pull", unusable(judgement));
  const impossible = impossibleName(image, judgement);
  if (impossible !== undefined) throw new PlaceFailed("tag", otherDigest(impossible.name, judgement));
  const step = async (name: keyof typeof LACKING, act: () => Promise<void>): Promise<void> =>
    act().catch((error: unknown) => {
      const failure = toFailure(error, stop.ended);
      const message = `it is on the node, but ${LACKING[name]}: ${failure.message}`;
      throw new PlaceFailed(name, { ...failure, message });
    });
  if (pin === "create") {
    await step("pin", () => containerd.saveRecord(pinRecord(judgement.target)));
    emit({ type: "pinned", image: source, digest: judgement.target.digest });
  }
  const changed = names.filter(({ action }) => action !== "keep");
  if (changed.length === 0) return judgement;
  await step("tag", () =>
    containerd.tag(
      source,
      changed.map(({ name }) => name),
    ),
  );
  for (const { name, action } of changed)
    emit({ type: "tagged", image: source, target: name, moved: action === "move" });
  return judgement;
}

/** What an image lacks when a step of these failed. */
const LACKING = { pin: "not pinned", tag: "without all its names" } as const;

function unusable(judgement: Exclude<Judgement, Usable>): Failure {
  switch (judgement.is) {
    case "absent":
      return {
        class: "unknown",
        message: "it was pulled, but its name was gone at once: something on this node deletes images",
      };
    case "damaged":
      return {
        class: "unknown",
        message: `it was pulled, but lacks ${judgement.missing}: something on this node deletes content`,
      };
    case "foreign":
      return { class: "platform", message: `the image is for ${judgement.platform}` };
    case "not-an-image":
      return { class: "not-an-image", message: "what was pulled is not a container image" };
  }
}

const otherDigest = (name: string, { target }: Usable): Failure => ({
  class: "reference",
  message: `it has the digest ${target.digest}, so it cannot have the name ${name}`,
  next: "correct the digest in retagAs, or name a tag there",
});
