// Reads the end state back. What is wrong is repaired once, because other clients pull and delete at the same time.
import type { Failure } from "../core/failure.ts";
import type { Node } from "../core/node.ts";
import { pinName } from "../core/pins.ts";
import { namesOf, namesToGive, planImages, type Plan, type WantedImage } from "../core/plan.ts";
import type { Verified } from "../core/run-state.ts";
import { verdictOn } from "../core/verdict.ts";
import type { Flush } from "./flush.ts";
import { lookAtNode } from "./look.ts";
import { toFailure } from "./tool-failure.ts";
import { pullAndPlace, type Placed, type Work } from "./work.ts";

export interface Proof {
  readonly right: readonly (Placed & { readonly verified: Verified })[];
  /** `mayPass`: CRI may not know of it yet. */
  readonly wrong: readonly (Placed & { readonly failure: Failure; readonly mayPass: boolean })[];
  /** The node as last read; undefined if it could not be read. */
  readonly node: Node | undefined;
}

/** @param seen the node that the plan is based on, if the plan changes nothing: then it need not be read again */
export async function prove(
  work: Work,
  placed: readonly Placed[],
  seen: Plan["settled"],
  flush: Flush["flush"],
): Promise<Proof> {
  const { emit, stop } = work.context;
  let proof = await waitForCri(work, placed, seen);
  // A node that could not be read does not show what is wrong.
  if (proof.node !== undefined && proof.wrong.length > 0 && !stop.signal.aborted) {
    const repaired = await repair(work, proof.wrong, proof.node);
    await flush(repaired);
    proof = await waitForCri(work, [...proof.right, ...repaired], undefined);
  }
  for (const { image, how, verified } of proof.right)
    emit({ type: "image-done", image: image.source.name, phase: how, verified });
  for (const { image, failure } of proof.wrong)
    emit({ type: "image-failed", image: image.source.name, step: "verify", failure });
  return proof;
}

async function repair(work: Work, wrong: Proof["wrong"], seen: Node): Promise<Placed[]> {
  const node = await forgetUnheard(work, wrong, seen);
  // The pulls before have already looked for newer images.
  const images = wrong.map(({ image }): WantedImage => ({ ...image, pullPolicy: "IfNotPresent" }));
  const planned = planImages(images, node, work.can.pins).map((plan, nth) => ({
    ...plan,
    image: wrong[nth]?.image ?? plan.image,
  }));
  const mended = await pullAndPlace({ ...work, isRepair: true, node }, planned);
  // An image that was pulled, and since then lost only names, still counts as pulled.
  return mended.map((each) =>
    each.how === "present" ? (wrong.find(({ image }) => image === each.image) ?? each) : each,
  );
}

/**
 * CRI never lists a record whose image was damaged when CRI started, but notices one that is written again.
 * @returns the node without the further names, so that these are created again
 */
async function forgetUnheard({ context }: Work, wrong: Proof["wrong"], node: Node): Promise<Node> {
  const records = new Map(node.records);
  for (const { image } of wrong.filter(({ mayPass }) => mayPass)) {
    const source = node.records.get(image.source.name);
    if (source === undefined) continue;
    const { target } = source;
    const pin = node.records.get(pinName(target));
    for (const record of [{ ...source, labels: {} }, ...(pin === undefined ? [] : [pin])])
      await context.containerd.saveRecord(record).catch(toFailure);
    for (const name of namesToGive(image, target.digest)) records.delete(name);
  }
  return { ...node, records };
}

/** Milliseconds. CRI learns of a name or pin from an event, some milliseconds later; of 1,000 in some ten seconds. */
const LAG = 5_000;
const LAG_EACH = 20;
const POLL = 100;

/** Compares every image with the node, and reads the node again for a while if CRI may not know of an image yet. */
async function waitForCri(
  { context, can }: Work,
  placed: readonly Placed[],
  seen: Node | undefined,
): Promise<Proof> {
  const { containerd, clock, machine, stop } = context;
  const names = placed.flatMap(({ image }) => namesOf(image));
  const until = clock.now() + LAG + LAG_EACH * names.length;
  try {
    for (let node = seen; ; node = undefined) {
      node ??= await lookAtNode(containerd, machine.platform, names);
      const proof = judged(placed, node, can.pins);
      if (!proof.wrong.some(({ mayPass }) => mayPass) || clock.now() >= until) return proof;
      await clock.sleep(POLL, stop.ended);
    }
  } catch (error) {
    const unread = toFailure(error, stop.ended);
    const message = `it is in place, but could not be read back: ${unread.message}`;
    const failure = { ...unread, message };
    return {
      right: [],
      wrong: placed.map((each) => ({ ...each, failure, mayPass: false })),
      node: undefined,
    };
  }
}

function judged(placed: readonly Placed[], node: Node, pins: boolean) {
  const verdicts = placed.map((each) => ({ ...each, verdict: verdictOn(each.image, node, pins) }));
  return {
    right: verdicts.flatMap(({ verdict, ...each }) =>
      verdict.ok ? [{ ...each, verified: verdict.verified }] : [],
    ),
    wrong: verdicts.flatMap(({ verdict, ...each }) => {
      if (verdict.ok) return [];
      const next = `find out what deletes or moves ${each.image.source.name} on this node, then run again`;
      const failure: Failure = { class: "unknown", message: verdict.problem, next };
      return [{ ...each, failure, mayPass: verdict.mayPass }];
    }),
    node,
  };
}
