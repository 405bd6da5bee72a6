// The work on the images: pulls each if needed, pins it and names it. A failed image never stops the others, but a full
// disk or a lost runtime leaves nothing to try.
import type { Capabilities } from "../core/capabilities.ts";
import { configsOf } from "../core/judge.ts";
import type { KnownImages, Node } from "../core/node.ts";
import type { Failure, FailureClass } from "../core/failure.ts";
import { longestFirst, type PlannedImage, type WantedImage } from "../core/plan.ts";
import type { Step } from "../core/run-state.ts";
import { formatBytes } from "../core/units.ts";
import type { Context } from "./context.ts";
import type { Disks } from "./disk.ts";
import type { Leases } from "./lease.ts";
import { lookAtImage } from "./look.ts";
import { placer, type Place } from "./place.ts";
import { puller, type Pull } from "./pull.ts";
import type { UntilBack } from "./ready.ts";
import { toFailure } from "./tool-failure.ts";
import { watchPulls, type Watch } from "./watch.ts";

export interface Work {
  readonly context: Context;
  readonly can: Capabilities;
  readonly leases: Leases;
  readonly disks: Disks;
  readonly untilBack: UntilBack;
  /** The node before the pulls. */
  readonly node: Node;
  /** Whether this is the repair, in which every failure is final. */
  readonly isRepair: boolean;
  /** Compressed sizes in bytes, by source name, from an earlier run. */
  readonly sizes: ReadonlyMap<string, number>;
  /** Names that this run imported from archives. */
  readonly imported: ReadonlySet<string>;
}

/** An image that should be in place now, and still has to be proved. */
export interface Placed {
  readonly image: WantedImage;
  readonly how: "present" | "pulled" | "imported" | "kept";
}

interface Shared {
  readonly pull: Pull;
  readonly watch: Watch;
  readonly place: Place;
}

export async function pullAndPlace(work: Work, planned: readonly PlannedImage[]): Promise<Placed[]> {
  const { stop } = work.context;
  const shared = sharedBy(work, planned);
  const pulls = new Map<string, Promise<Obtained | undefined>>();
  try {
    const results = await Promise.allSettled(
      inTurn(work, planned).map(async (each) => {
        const obtaining = obtain(work, shared, each, pulls);
        pulls.set(each.image.source.name, obtaining);
        const found = await obtaining.catch(stop.crashed);
        return found === undefined ? undefined : place(work, shared, each.image, found).catch(stop.crashed);
      }),
    );
    const crash = results.find((result) => result.status === "rejected");
    if (crash !== undefined) throw crash.reason;
    return results.flatMap((result) => (result.status === "fulfilled" ? (result.value ?? []) : []));
  } finally {
    await shared.watch.stop();
    await work.disks.review();
  }
}

/** The longest pull first, if each image has its own downloads. Last, those that wait for a pull of the same digest. */
function inTurn({ can, node, sizes }: Work, planned: readonly PlannedImage[]): PlannedImage[] {
  // With a node-wide download limit, the images keep the operator's order.
  const ordered = can.nodeWideDownloads ? [...planned] : longestFirst(planned, sizes, node);
  return ordered.toSorted((a, b) => Number(isShared(a)) - Number(isShared(b)));
}

const isShared = ({ decision }: PlannedImage): boolean => decision.action === "share";

function sharedBy(work: Work, planned: readonly PlannedImage[]): Shared {
  const { context, can, leases, disks, untilBack, node } = work;
  const { stop } = context;
  const damaged = planned
    .filter(({ judgement }) => judgement.is === "damaged")
    .map(({ image }) => image.source.name);
  const ids = new Set([...node.cri.values()].flat().map(({ id }) => id));
  const whole = ids.difference(new Set(configsOf(node, damaged)));
  const { nodeWideDownloads } = can;
  const { crashed } = stop;
  const watch = watchPulls({ ...context, leases, untilBack, nodeWideDownloads, whole, crashed });
  const diskFull = (image: WantedImage, failure: Failure): Promise<Failure> => {
    const size = watch.sizeOf(image);
    const needs =
      size === undefined ? "" : `the image is ${formatBytes(size)} compressed, and larger when unpacked; `;
    return disks.full(failure, watch.stop, needs);
  };
  const pull = puller({ ...context, watch, untilBack, admit: disks.admit, diskFull });
  return { pull, watch, place: placer(context, can.pins) };
}

interface Obtained {
  readonly how: Placed["how"];
  /** The state of the image now. */
  readonly node: KnownImages;
}

/** Brings the image to the node, by a pull if needed. @returns undefined if it failed */
async function obtain(
  work: Work,
  shared: Shared,
  planned: PlannedImage,
  pulls: ReadonlyMap<string, Promise<Obtained | undefined>>,
): Promise<Obtained | undefined> {
  const { image, decision, judgement } = planned;
  if (decision.action === "keep")
    return { how: work.imported.has(image.source.name) ? "imported" : "present", node: work.node };
  if (decision.action === "fail")
    return fail(work, shared, image, image.archive === undefined ? "verify" : "import", decision.failure);
  if (decision.action === "share" && (await share(work, image, decision.sameAs, pulls)))
    return obtained(work, shared, image, "present");
  // Only Kubernetes' rule for `:latest` asks for a newer image here, so its pull must not hold up the run.
  const optional = image.pullPolicy === "implicit-Always" && judgement.is === "usable";
  const failure = await shared.pull(image, optional);
  if (failure === undefined) return obtained(work, shared, image, "pulled");
  if (optional && UNREACHABLE.has(failure.class)) return keep(work, image, failure);
  return fail(work, shared, image, "pull", failure);
}

async function obtained(
  work: Work,
  shared: Shared,
  image: WantedImage,
  how: Placed["how"],
): Promise<Obtained | undefined> {
  const { containerd, stop } = work.context;
  try {
    return { how, node: await lookAtImage(containerd, image, work.node) };
  } catch (error) {
    return fail(work, shared, image, "pull", toFailure(error, stop.ended));
  }
}

/** Makes the source refer to the target of `sameAs`. @returns false if that failed; then a pull is needed */
async function share(
  { context, node }: Work,
  image: WantedImage,
  sameAs: string,
  pulls: ReadonlyMap<string, Promise<Obtained | undefined>>,
): Promise<boolean> {
  const { name } = image.source;
  const target = (node.records.get(sameAs) ?? (await pulls.get(sameAs))?.node.records.get(sameAs))?.target;
  if (target === undefined) return false;
  try {
    await context.containerd.saveRecord({ name, labels: {}, target });
  } catch (error) {
    toFailure(error);
    return false;
  }
  context.emit({ type: "tagged", image: name, target: name, moved: false });
  return true;
}

/** The registry could not be asked, in contrast to a refusal or another answer. */
const UNREACHABLE = new Set<FailureClass>([
  "network",
  "server",
  "rate-limit",
  "transfer",
  "stall",
  "timeout",
]);

function keep({ context, node }: Work, { source }: WantedImage, failure: Failure): Obtained {
  const message = `${source.name} is kept as it is: its registry could not be asked for a newer one (${failure.class}: ${failure.message})`;
  context.emit({ type: "warning", message });
  return { how: "kept", node };
}

async function place(
  work: Work,
  shared: Shared,
  image: WantedImage,
  { how, node }: Obtained,
): Promise<Placed | undefined> {
  const placed = await shared.place(image, node);
  if ("failure" in placed) {
    // Another client may have removed the image meanwhile. The proof finds out what to repair.
    if (!work.isRepair && PASSING.has(placed.failure.class)) return { image, how };
    return fail(work, shared, image, placed.step, placed.failure);
  }
  shared.watch.pulled(placed.id);
  await work.leases.letGo(image.source.name);
  work.context.emit({ type: "placed", image: image.source.name });
  return { image, how };
}

const PASSING = new Set<FailureClass>(["runtime", "unknown"]);

async function fail(
  { context, disks }: Work,
  { watch }: Shared,
  image: WantedImage,
  step: Step,
  failure: Failure,
): Promise<undefined> {
  const { stop, emit } = context;
  const isNews = failure.class === "disk" && !stop.signal.aborted;
  const reported = isNews ? await disks.full(failure, watch.stop) : failure;
  emit({ type: "image-failed", image: image.source.name, step, failure: reported });
}
