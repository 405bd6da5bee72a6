// The end state, read back through CRI: what the kubelet will be told is the only proof.
import { setTimeout as sleep } from "node:timers/promises";
import { namesOf, nodeState, type NodeState, type PresentImage, type WantedImage } from "../core/plan.ts";
import type { Emit, Verified } from "../core/run-state.ts";
import type { ImageRuntime } from "../runtime/image-runtime.ts";
import { finishImage } from "./finish.ts";

/** An image that should be complete, with the id that its source had when it was finished. */
export interface Expected {
  readonly image: WantedImage;
  readonly id: string;
  readonly how: "present" | "pulled" | "imported" | "kept";
}

type Verdict =
  | { readonly ok: true; readonly verified: Verified }
  | {
      readonly ok: false;
      readonly problem: string;
      /** CRI may only not have heard of it yet. */
      readonly mayPass: boolean;
    };

/** CRI learns of a tag or label through an event, some milliseconds later. */
const LAG = 5_000;
const POLL = 100;

/** Who pinned a name is nothing to prove. */
const lookAgain = async (runtime: Pick<ImageRuntime, "images" | "pinned">): Promise<NodeState> => {
  const [images, pinned] = await Promise.all([runtime.images(), runtime.pinned()]);
  return nodeState(images, pinned, []);
};

export interface SettleOptions {
  readonly runtime: Pick<ImageRuntime, "images" | "pinned" | "tag" | "pin">;
  readonly emit: Emit;
  readonly pinning: boolean;
  readonly local: boolean;
  readonly expected: readonly Expected[];
  /** The node as it was seen before, if nothing has changed it since. */
  readonly untouched: NodeState | undefined;
}

/**
 * Tells of every expected image whether it is right. What is not gets one repair first: the kubelet pulls beside us,
 * and a pull drops the pin of its name.
 */
export async function settle(options: SettleOptions): Promise<void> {
  const { runtime, emit, pinning, local, expected } = options;
  const first = await verify(options, options.untouched);
  const wrong = expected.filter(({ image }) => first.get(image.source.name)?.ok !== true);
  if (wrong.length === 0) return tell(options, first);
  const node = await lookAgain(runtime);
  for (const { image, id } of wrong) {
    await finishImage({ runtime, node, pinning, local, emit }, image, id, false).catch(() => {});
  }
  tell(options, await verify(options));
}

function tell({ emit, expected }: SettleOptions, verdicts: ReadonlyMap<string, Verdict>): void {
  for (const { image, how } of expected) {
    const name = image.source.name;
    const verdict = verdicts.get(name) ?? { ok: false, problem: "was not looked at", mayPass: false };
    if (verdict.ok) emit({ type: "image-done", image: name, phase: how, verified: verdict.verified });
    else
      emit({
        type: "image-failed",
        image: name,
        step: "verify",
        failure: { class: "unknown", message: verdict.problem },
      });
  }
}

/** Holds every expected image against the node, and looks again for a while where it does not fit. */
async function verify(
  { runtime, expected, pinning }: SettleOptions,
  node?: NodeState,
): Promise<Map<string, Verdict>> {
  const until = performance.now() + LAG;
  for (let look = node ?? (await lookAgain(runtime)); ; look = await lookAgain(runtime)) {
    const verdicts = new Map(expected.map((entry) => [entry.image.source.name, judge(entry, look, pinning)]));
    const waiting = [...verdicts.values()].some((verdict) => !verdict.ok && verdict.mayPass);
    if (!waiting || performance.now() >= until) return verdicts;
    await sleep(POLL);
  }
}

function judge({ image, id }: Expected, node: NodeState, pinning: boolean): Verdict {
  const names = namesOf(image);
  const unlabelled = image.pin && pinning ? names.find((name) => !node.pinned.has(name)) : undefined;
  if (unlabelled !== undefined) return { ok: false, problem: `${unlabelled} is not pinned`, mayPass: false };
  const problem = names
    .map((name) => criProblem(name, id, node, image.pin && pinning))
    .find((text) => text !== undefined);
  const present = node.byName.get(image.source.name);
  if (problem !== undefined || present === undefined)
    return { ok: false, problem: problem ?? "is gone", mayPass: true };
  return { ok: true, verified: verified(image, present) };
}

function criProblem(name: string, id: string, node: NodeState, pin: boolean): string | undefined {
  const present = node.byName.get(name);
  if (present === undefined) return `CRI does not list ${name}`;
  if (present.id !== id) return `${name} points to ${present.id}, expected ${id}`;
  return pin && !present.pinned ? `CRI does not report ${name} as pinned` : undefined;
}

function verified(image: WantedImage, present: PresentImage): Verified {
  const repository = `${image.source.domain}/${image.source.path}@`;
  const reference = present.names.find((name) => name.startsWith(repository));
  const digest = image.source.digest ?? reference?.slice(repository.length);
  const { id, size, pinned } = present;
  return { id, size, pinned, ...(digest === undefined ? {} : { digest }) };
}
