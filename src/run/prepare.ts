// What comes before the first tag, and for which no pull has to wait: the labels, the rest of the plan, the unpinning.
import { setImmediate } from "node:timers/promises";
import {
  narrow,
  planNames,
  type Listing,
  type NodeState,
  type Plan,
  type PlannedPull,
} from "../core/plan.ts";
import type { Emit } from "../core/run-state.ts";
import type { ImageRuntime } from "../runtime/image-runtime.ts";
import { lookAtLabels, type LabelView } from "./look.ts";
import type { Stopper } from "./stopper.ts";
import { commandFailure, runtimeUnusable } from "./tool-failure.ts";

export interface PrepareOptions {
  readonly runtime: LabelView & Pick<ImageRuntime, "unpin">;
  readonly stop: Stopper;
  readonly emit: Emit;
  /** Source names to which the run is narrowed; all when empty. */
  readonly only: ReadonlySet<string>;
}

export interface Prepared {
  readonly node: NodeState;
  /** The node, where nothing is to be done to it: then what was seen is the proof as well. */
  readonly untouched: NodeState | undefined;
}

/**
 * @param wanted all images that are wanted, whether or not the run is narrowed
 * @throws Interruption, when containerd does not tell its labels: then the pulls are stopped as well
 */
export async function prepareNames(
  options: PrepareOptions,
  wanted: readonly PlannedPull[],
  present: Listing,
  pinning: boolean,
): Promise<Prepared> {
  const { runtime, stop, only } = options;
  // By then the first pulls have been started, and wait for the network.
  await setImmediate();
  const lost = (error: unknown): never => stop.runtimeLost(runtimeUnusable(error));
  const node = await lookAtLabels(runtime, present).catch(lost);
  const plan = narrow(planNames(wanted, node, pinning), only);
  // A tag gives its target the labels of its source, also a pin that is no longer wanted.
  for (const name of plan.unpin) if (!stop.signal.aborted) await unpin(options, name);
  return { node, untouched: isUntouched(plan) ? node : undefined };
}

/** A name that stays pinned costs disk, and fails no run: it may be gone since it was looked at, or be done next time. */
async function unpin({ runtime, emit }: PrepareOptions, name: string): Promise<void> {
  try {
    await runtime.unpin(name);
    emit({ type: "unpinned", name });
  } catch (error) {
    const failure = commandFailure(error);
    emit({ type: "warning", message: `${name} is not unpinned (${failure.class}: ${failure.message})` });
  }
}

const isUntouched = ({ images, unpin: names }: Plan): boolean =>
  names.length === 0 &&
  images.every(
    ({ decision, tags, pins }) =>
      decision.action === "keep" && pins.length === 0 && tags.every((tag) => tag.action === "keep"),
  );
