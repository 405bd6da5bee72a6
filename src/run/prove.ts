// The end state, read back.
import type { Failure } from "../core/failure.ts";
import type { Node } from "../core/node.ts";
import { namesOf, planImage, type PlannedImage, type WantedImage } from "../core/plan.ts";
import { verdictOn, type Verdict } from "../core/verdict.ts";
import { lookAtNode } from "./look.ts";
import { toFailure } from "./tool-failure.ts";
import type { Placed, Work } from "./work.ts";

export interface Proof {
  readonly placed: readonly Placed[];
  /** By source name. */
  readonly verdicts: ReadonlyMap<string, Verdict>;
  readonly wrong: readonly Placed[];
  readonly right: number;
  /** As it was last seen; undefined when it could not be read. */
  readonly node: Node | undefined;
  /** Why it could not be read. */
  readonly failure?: Failure;
}

/** CRI learns of a name or pin through an event, some milliseconds later; of a thousand at once in some ten seconds. */
const LAG = 5_000;
const LAG_EACH = 20;
const POLL = 100;

/**
 * Holds every image against the node, and looks again for a while where CRI has not heard of it yet.
 * @param seen the node as it was seen before, if nothing has changed it since
 */
export async function waitForCri(
  { context, can }: Work,
  placed: readonly Placed[],
  seen: Node | undefined,
): Promise<Proof> {
  const { containerd, clock, machine, stop } = context;
  const names = placed.flatMap(({ image }) => namesOf(image));
  const until = clock.now() + LAG + LAG_EACH * names.length;
  try {
    for (let node = seen; ;) {
      node ??= await lookAtNode(containerd, machine.platform, names);
      const proof = judged(placed, node, can.pins);
      const lags = [...proof.verdicts.values()].some((verdict) => !verdict.ok && verdict.mayPass);
      if (!lags || clock.now() >= until) return proof;
      node = undefined;
      await clock.sleep(POLL, stop.ended);
    }
  } catch (error) {
    return {
      placed,
      verdicts: new Map(),
      wrong: placed,
      right: 0,
      node: undefined,
      failure: toFailure(error, stop.ended),
    };
  }
}

function judged(placed: readonly Placed[], node: Node, pins: boolean): Proof {
  const verdicts = new Map(placed.map(({ image }) => [image.source.name, verdictOn(image, node, pins)]));
  const wrong = placed.filter(({ image }) => verdicts.get(image.source.name)?.ok !== true);
  return { placed, verdicts, wrong, right: placed.length - wrong.length, node };
}

/** What is to be done once more. Nobody asks for a newer image a second time. */
export const repair = ({ wrong, node }: Proof, { can, node: before }: Work): PlannedImage[] =>
  wrong.map(({ image }) => {
    const planned = planImage({ ...image, pullPolicy: "IfNotPresent" }, node ?? before, can.pins);
    return { ...planned, image };
  });

/** Tells of every image whether it is right. */
export function tell({ context }: Work, proof: Proof): Proof {
  for (const { image, how } of proof.placed) {
    const verdict = proof.verdicts.get(image.source.name);
    const name = image.source.name;
    if (verdict?.ok === true)
      context.emit({ type: "image-done", image: name, phase: how, verified: verdict.verified });
    else
      context.emit({
        type: "image-failed",
        image: name,
        step: "verify",
        failure: failureOf(image, verdict, proof.failure),
      });
  }
  return proof;
}

function failureOf(
  image: WantedImage,
  verdict: Exclude<Verdict, { ok: true }> | undefined,
  unread: Failure | undefined,
): Failure {
  if (unread !== undefined)
    return { ...unread, message: `it is in place, but could not be read back: ${unread.message}` };
  return {
    class: "unknown",
    message: verdict?.problem ?? "it was not looked at",
    next: `find out what deletes or moves ${image.source.name} on this node, then run again`,
  };
}
