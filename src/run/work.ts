// The work on the images: each is pulled if it has to be, pinned, named. One failure never stops another, except that a
// full disk or a lost runtime leaves nothing to try.
import type { Capabilities } from "../core/capabilities.ts";
import { startLevel } from "../core/concurrency.ts";
import { configsOf } from "../core/judge.ts";
import { type Node } from "../core/node.ts";
import type { Failure, FailureClass } from "../core/failure.ts";
import { longestFirst, type PlannedImage, type WantedImage } from "../core/plan.ts";
import type { Step } from "../core/run-state.ts";
import { formatBytes } from "../core/units.ts";
import type { Context } from "./context.ts";
import { diskGuard, type DiskGuard } from "./disk.ts";
import type { Lease } from "./lease.ts";
import { lookAtImage } from "./look.ts";
import { placer, type Place } from "./place.ts";
import { pullImage, type Puller } from "./pull.ts";
import type { Comeback } from "./ready.ts";
import { RegistryHealth } from "./registry-health.ts";
import { pullSlots } from "./slots.ts";
import { toFailure } from "./tool-failure.ts";
import { watchPulls, type Watch } from "./watch.ts";

export interface Work {
  readonly context: Context;
  readonly can: Capabilities;
  readonly lease: Lease;
  /** Resolves when containerd answers again. @throws when it does not in its time */
  readonly comeback: Comeback;
  /** Before the pulls. */
  readonly node: Node;
  /** Whether this is the repair: what fails now has failed. */
  readonly isRepair: boolean;
  /** Compressed bytes by source name, from an earlier run. */
  readonly sizes: ReadonlyMap<string, number>;
  /** Names that this run imported from archives. */
  readonly imported: ReadonlySet<string>;
}

/** An image that should now be right, to be proved. */
export interface Placed {
  readonly image: WantedImage;
  readonly how: "present" | "pulled" | "imported" | "kept";
}

/** What pulls have in common. */
interface Crew {
  readonly puller: Puller;
  readonly watch: Watch;
  readonly disk: DiskGuard;
  readonly place: Place;
}

/** @returns the images that should now be right */
export async function pullAndPlace(work: Work, planned: readonly PlannedImage[]): Promise<Placed[]> {
  const { stop } = work.context;
  const crew = gather(work, planned);
  const pulls = new Map<string, Promise<Obtained | undefined>>();
  try {
    const results = await Promise.allSettled(
      inTurn(work, planned).map(async (each) => {
        const obtaining = obtain(work, crew, each, pulls);
        pulls.set(each.image.source.name, obtaining);
        const found = await obtaining.catch(stop.crashed);
        return found === undefined ? undefined : place(work, crew, each.image, found).catch(stop.crashed);
      }),
    );
    const crash = results.find((result) => result.status === "rejected");
    if (crash !== undefined) throw crash.reason;
    return results.flatMap((result) => (result.status === "fulfilled" ? (result.value ?? []) : []));
  } finally {
    await crew.watch.stop();
    await crew.disk.review();
  }
}

/** Longest first where each image has its own downloads; those that share a digest last, because they wait for the one that is pulled. */
function inTurn({ can, node, sizes }: Work, planned: readonly PlannedImage[]): PlannedImage[] {
  // Behind a node-wide limit the list's order is the operator's.
  const ordered = can.nodeWideDownloads ? [...planned] : longestFirst(planned, sizes, node);
  return ordered.toSorted((a, b) => Number(isShared(a)) - Number(isShared(b)));
}

const isShared = ({ decision }: PlannedImage): boolean => decision.action === "share";

function gather({ context, can, lease, comeback, node }: Work, planned: readonly PlannedImage[]): Crew {
  const { config, clock, emit, stop, machine } = context;
  const damaged = planned
    .filter(({ judgement }) => judgement.is === "damaged")
    .map(({ image }) => image.source.name);
  const ids = new Set([...node.cri.values()].flat().map(({ id }) => id));
  const whole = ids.difference(new Set(configsOf(node, damaged)));
  const { nodeWideDownloads } = can;
  const level = startLevel(config.concurrency, nodeWideDownloads, machine.cpus);
  const pulls = pullSlots(context, level);
  const watch = watchPulls({ ...context, lease, nodeWideDownloads, whole, looked: pulls.looked });
  const disk = diskGuard(node.imageDirectory, config.disk.min_free_percent, emit);
  const puller: Puller = {
    ...context,
    slots: pulls,
    health: new RegistryHealth(config.retry, clock),
    around: {
      admit: disk.admit,
      watch: watch.begin,
      comeback,
      diskFull: async (image, failure) => {
        // What is held for a later attempt is what fills it.
        await lease.release();
        const room = await disk.describe();
        stop.diskFull(room);
        const needs = watch.sizeOf(image);
        const needed =
          needs === undefined
            ? ""
            : `the image is ${formatBytes(needs)} compressed, and larger when unpacked; `;
        return { ...failure, message: `${failure.message} (${needed}${room})` };
      },
    },
  };
  return { puller, watch, disk, place: placer(context, can.pins) };
}

interface Obtained {
  readonly how: Placed["how"];
  /** With the image, as it is now. */
  readonly node: Node;
}

/** Has the image on the node, pulled or not; undefined when it failed. */
async function obtain(
  work: Work,
  crew: Crew,
  planned: PlannedImage,
  pulls: ReadonlyMap<string, Promise<Obtained | undefined>>,
): Promise<Obtained | undefined> {
  const { image, decision, judgement } = planned;
  if (decision.action === "keep")
    return { how: work.imported.has(image.source.name) ? "imported" : "present", node: work.node };
  if (decision.action === "fail") return fail(work, crew, image, "import", decision.failure);
  if (decision.action === "share" && (await share(work, image, decision.sameAs, pulls)))
    return obtained(work, crew, image, "present");
  // Nobody asked for a newer one, so nobody waits for it.
  const optional = image.pullPolicy === "implicit-Always" && judgement.is === "usable";
  const { attempts } = work.context.config.retry;
  const failure = await pullImage(
    crew.puller,
    image,
    optional ? Math.min(attempts, FRESHNESS_ATTEMPTS) : attempts,
  );
  if (failure === undefined) return obtained(work, crew, image, "pulled");
  if (optional && UNREACHABLE.has(failure.class)) return keep(work, image, failure);
  return fail(work, crew, image, "pull", failure);
}

const FRESHNESS_ATTEMPTS = 2;

async function obtained(
  work: Work,
  crew: Crew,
  image: WantedImage,
  how: Placed["how"],
): Promise<Obtained | undefined> {
  const { containerd, stop } = work.context;
  try {
    return { how, node: await lookAtImage(containerd, image, work.node) };
  } catch (error) {
    return fail(work, crew, image, "pull", toFailure(error, stop.ended));
  }
}

/** Gives the image the name of one with the same digest. Whatever is wrong with that one, a pull does not need it. */
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
  } catch {
    return false;
  }
  context.emit({ type: "tagged", image: name, target: name, moved: false });
  return true;
}

/** The registry could not be asked, as opposed to what it answered. */
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
  crew: Crew,
  image: WantedImage,
  { how, node }: Obtained,
): Promise<Placed | undefined> {
  const placed = await crew.place(image, node);
  if ("failure" in placed) {
    // Somebody may have taken the image away under our hands; the proof shows what is to be done once more.
    if (!work.isRepair && PASSING.has(placed.failure.class)) return { image, how };
    return fail(work, crew, image, placed.step, placed.failure);
  }
  crew.watch.pulled(placed.id);
  work.context.emit({ type: "placed", image: image.source.name });
  return { image, how };
}

const PASSING = new Set<FailureClass>(["runtime", "unknown"]);

async function fail(
  { context, lease }: Work,
  { disk }: Crew,
  image: WantedImage,
  step: Step,
  failure: Failure,
): Promise<undefined> {
  const { stop, emit } = context;
  const full = failure.class === "disk" && !stop.signal.aborted;
  if (full) {
    await lease.release();
    stop.diskFull(await disk.describe());
  }
  emit({ type: "image-failed", image: image.source.name, step, failure });
}
