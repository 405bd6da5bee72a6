// Places an image that is on the node: pins it, and gives it all its names.
import { impossibleName, planImage, type WantedImage } from "../core/plan.ts";
import type { Failure } from "../core/failure.ts";
import type { Unusable, Usable } from "../core/judge.ts";
import type { Containerd } from "../containerd/containerd.ts";
import type { Descriptor, KnownImages } from "../core/node.ts";
import { pinName, pinRecord } from "../core/pins.ts";
import { digestName } from "../core/reference.ts";
import type { Step } from "../core/run-state.ts";
import type { Context } from "./context.ts";
import { slots } from "./slots.ts";
import { toFailure } from "./tool-failure.ts";

export interface Unplaced {
  readonly step: Step;
  readonly failure: Failure;
}

/** Pins and names an image. `node` is the current state, at least of what the image needs. */
export type Place = (image: WantedImage, node: KnownImages) => Promise<Usable | Unplaced>;

/** One for all images, because they can share records: an archive can bring one image under thousands of names. */
export function placer({ containerd, emit, stop }: Context, pins: boolean): Place {
  const maker = recordMaker(containerd);
  const failed = async (step: Step, what: string, act: Promise<unknown>): Promise<Unplaced | undefined> => {
    try {
      await act;
      return undefined;
    } catch (error) {
      const failure = toFailure(error, stop.ended);
      return { step, failure: { ...failure, message: `it is on the node, but ${what}: ${failure.message}` } };
    }
  };
  return async (image, node) => {
    const source = image.source.name;
    const { judgement, names, pin } = planImage(image, node, pins);
    if (judgement.is !== "usable") return { step: "pull", failure: unusable(judgement) };
    const impossible = impossibleName(image, judgement);
    if (impossible !== undefined) return { step: "tag", failure: otherDigest(impossible.name, judgement) };
    const { target } = judgement;
    const changed = names.filter(({ action }) => action !== "keep");
    const lacking = changed.map(({ name }) => name);
    const byDigest = digestName(image.source, target.digest);
    const [unpinned, unnamed] = await Promise.all([
      pin === "create" ? failed("pin", "not pinned", maker.pin(target, image.archive?.path)) : undefined,
      failed("tag", "without all its names", maker.name(byDigest, target, lacking)),
    ]);
    if (pin === "create" && unpinned === undefined)
      emit({ type: "pinned", image: source, digest: target.digest });
    const unplaced = unpinned ?? unnamed;
    if (unplaced !== undefined) return unplaced;
    for (const { name, action } of changed)
      emit({ type: "tagged", image: source, target: name, moved: action === "move" });
    return judgement;
  };
}

/** Records written at once, in addition to the pulls. containerd's database has a single writer. */
const WRITES_AT_ONCE = 4;

/**
 * Creates each record once, and all names of an image in one call, because starting a tool takes longer than its work.
 * Names are created from a name by digest, because a tag may move between the look and the call.
 */
function recordMaker(containerd: Containerd) {
  const limit = slots(WRITES_AT_ONCE);
  const made = new Map<string, Promise<void>>();
  /** Names that wait for their call, by target digest. */
  const waiting = new Map<string, { readonly names: string[]; readonly call: Promise<void> }>();
  const nextCall = (byDigest: string, target: Descriptor) =>
    waiting.getOrInsertComputed(target.digest, () => {
      const names: string[] = [];
      const call = limit(async () => {
        waiting.delete(target.digest);
        if (names.includes(byDigest)) await containerd.saveRecord({ name: byDigest, labels: {}, target });
        const others = names.filter((name) => name !== byDigest);
        if (others.length > 0) await containerd.tag(byDigest, others);
      });
      return { names, call };
    });
  return {
    pin: (target: Descriptor, archive?: string): Promise<void> =>
      made.getOrInsertComputed(pinName(target), () =>
        limit(() => containerd.saveRecord(pinRecord(target, archive))),
      ),
    /** @param byDigest a name by digest that the image has, or that is in `lacking` */
    name: async (byDigest: string, target: Descriptor, lacking: readonly string[]): Promise<void> => {
      const calls = lacking.map((name) =>
        made.getOrInsertComputed(`${name} ${target.digest}`, () => {
          const { names, call } = nextCall(byDigest, target);
          names.push(name);
          return call;
        }),
      );
      await Promise.all(calls);
    },
  };
}

function unusable({ is, why, mend }: Unusable): Failure {
  const message = `it was pulled, but is ${why}`;
  if (mend === "held") return { class: "damaged", message };
  if (is === "foreign") return { class: "platform", message };
  if (is === "not-an-image") return { class: is, message };
  return { class: "unknown", message, next: "find out what deletes images on this node, then run again" };
}

const otherDigest = (name: string, { target }: Usable): Failure => ({
  class: "reference",
  message: `it has the digest ${target.digest}, so it cannot have the name ${name}`,
  next: "correct the digest in retagAs, or name a tag there",
});
