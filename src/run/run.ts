// A run from start to end: look, plan, pull, pin, name, prove. Each step reports what it does as events.
import { isDeepStrictEqual } from "node:util";
import { withArchiveImages, type ArchiveOutcome, type ArchiveRecord } from "../core/archives.ts";
import type { Capabilities } from "../core/capabilities.ts";
import { isFailure } from "../core/failure.ts";
import { directoriesOf, type Node } from "../core/node.ts";
import {
  countDecisions,
  namesOf,
  planRun,
  unwantedPins,
  type Plan,
  type PlanOptions,
  type WantedImage,
} from "../core/plan.ts";
import { limitOf, startSchedule } from "../core/schedule.ts";
import type { DiskRecord } from "../core/written.ts";
import { formatDuration } from "../core/units.ts";
import { archiveReader, importArchives, isUnread, planArchives } from "./archives.ts";
import type { Context } from "./context.ts";
import { flusher } from "./flush.ts";
import { kubeletWarnings } from "./kubelet-records.ts";
import { importer, journalOf, mendImport, type Journal } from "./import.ts";
import { watchDisks } from "./disk.ts";
import { leasesOf, type Leases } from "./lease.ts";
import { lookAtNode } from "./look.ts";
import { examineNames, mend, mendPulled } from "./mend.ts";
import { prove } from "./prove.ts";
import { runtimeWait, untilReady, withRetry } from "./ready.ts";
import { tidy } from "./tidy.ts";
import { pullAndPlace, type Work } from "./work.ts";

/** Records of earlier runs. */
export interface Earlier {
  /** Compressed sizes in bytes, by source name. */
  readonly sizes: ReadonlyMap<string, number>;
  readonly archives: ArchiveRecord;
  readonly disk: DiskRecord;
}

export interface RunOptions {
  readonly runId: string;
  /** Names of the sources to which the run is limited; empty for all. */
  readonly only: ReadonlySet<string>;
  readonly earlier: Earlier;
  readonly recordArchives: (archives: ArchiveRecord) => void;
  readonly recordDisk: (disk: DiskRecord) => void;
}

/** @throws ExitError (runtime not ready or lost), or the Failed that stopped the run */
export async function run(start: Context, options: RunOptions): Promise<void> {
  const can = await ready(start);
  const untilBack = runtimeWait(start);
  const context = { ...start, containerd: withRetry(start.containerd, untilBack) };

  const { only } = options;
  const leases = leasesOf(context.containerd, options.runId, expiry(context));
  const journal = journalOf(options.earlier.archives, options.recordArchives);
  await mendImport(context, journal, leases);
  const known = Object.values(journal.record.imported).flatMap(({ names }) => Object.keys(names));
  const { before, sound } = await lookBelow(context, leases, known, options.earlier.disk);
  const disks = watchDisks({ ...context, directories: directoriesOf(before), leases });
  const base = { context, can, untilBack, leases, disks };
  const { outcomes, node, imported, ...unread } = await archivesOf({ ...base, journal, before, only });
  const wanted = withArchiveImages(context.config.images, outcomes, node);
  const planning: PlanOptions = { pins: can.pins, only, ...unread };
  const plan = planRun(wanted, node, planning);
  announce(context, can, plan);

  const { sizes } = options.earlier;
  const work: Work = { ...base, node, sizes, imported, isRepair: false };
  const here = await pullAndPlace(work, plan.images);
  context.stop.throwIfLost();
  const placed = await mendPulled(context, leases, before, here, options.earlier.disk, (names) =>
    look(context, names),
  );
  const disk = flusher(context, node, { ...options.earlier.disk, sound });
  await disk.flush(placed);
  context.emit({ type: "verifying" });
  const proof = await prove(work, placed, plan.settled, disk.flush);
  if (proof.node !== undefined) {
    const right = proof.right.map(({ image }) => image.source.name);
    const written = disk.known(right, proof.node);
    if (!isDeepStrictEqual(written, options.earlier.disk)) options.recordDisk(written);
    await warnOfKubelet(context, wanted, proof.node);
    await tidy(context, unwantedPins(wanted, proof.node, planning));
  }
  if (proof.right.length === plan.images.length) await leases.release(only.size === 0 ? "all" : "own");
  context.stop.throwIfLost();
  context.stop.throwIfStopped();
}

async function ready(context: Context): Promise<Capabilities> {
  const { config, containerd, clock, emit, stop } = context;
  const delay = config.start_jitter * clock.random();
  if (delay > 0) {
    const why = `a random part of start_jitter, ${formatDuration(delay)}`;
    emit({ type: "waiting", phase: "waiting-for-start", why });
    await clock.sleep(delay, stop.signal);
  }
  if (config.images.some(({ credential }) => credential !== undefined)) containerd.prepareLogin();
  const onWait = (why: string): void => emit({ type: "waiting", phase: "waiting-for-runtime", why });
  const can = await untilReady({ ...context, signal: stop.signal, onWait });
  const concurrency = limitOf(startSchedule(config));
  emit({ type: "runtime-ready", containerd: can.containerd, concurrency });
  return can;
}

/** @param archived names from archives, in addition to those in the list */
const look = ({ config, containerd, machine }: Context, archived: readonly string[]): Promise<Node> =>
  lookAtNode(containerd, machine.platform, [...config.images.flatMap(namesOf), ...archived]);

/** Compares the disk with the database for images that no run has checked since boot, and repairs damage. */
async function lookBelow(context: Context, leases: Leases, archived: readonly string[], disk: DiskRecord) {
  const { clock, config, containerd, emit } = context;
  const names = [...config.images.flatMap(namesOf), ...archived];
  const seen = await look(context, archived);
  const begun = clock.now();
  const { node, images, sound } = await examineNames(containerd, seen, names, disk);
  if (images > 0) emit({ type: "examined", images, damaged: node.damage.size, ms: clock.now() - begun });
  return { sound, before: await mend(context, leases, node, names, () => look(context, archived)) };
}

interface Archives extends Pick<PlanOptions, "isUnread"> {
  readonly outcomes: readonly ArchiveOutcome[];
  readonly imported: ReadonlySet<string>;
  /** The node after the imports. */
  readonly node: Node;
}

interface Bringing extends Pick<Work, "context" | "can" | "untilBack" | "leases" | "disks"> {
  readonly journal: Journal;
  readonly before: Node;
  readonly only: ReadonlySet<string>;
}

async function archivesOf({ can, before, only, ...base }: Bringing): Promise<Archives> {
  const { context, journal } = base;
  const { config, stop } = context;
  const read = archiveReader(stop.signal);
  const known = { record: journal.record, node: before, listed: config.images, read };
  const planned = await planArchives(config.archives, known);
  const imported = new Set<string>();
  let isChanged = false;
  const importOne = importer({ ...base, local: can.transferService, snapshotter: before.snapshotter });
  const outcomes = await importArchives(context, planned, only, async (plan, done) => {
    isChanged = true;
    const result = await importOne(plan, done);
    if (!isFailure(result)) for (const name of Object.keys(result)) imported.add(name);
    return result;
  });
  const names = outcomes.flatMap((outcome) => Object.keys(outcome.names));
  const node = isChanged ? { ...(await look(context, names)), damage: before.damage } : before;
  return { outcomes, imported, node, isUnread: isUnread(planned) };
}

function announce({ emit, config }: Context, can: Capabilities, plan: Plan): void {
  for (const message of config.warnings) emit({ type: "warning", message });
  if (!can.pins && config.images.some((image) => image.pin)) {
    const message = `containerd ${can.containerd} is too old to pin images (1.6.25, 1.7.10 and later can): the kubelet may delete them when the disk fills`;
    emit({ type: "warning", message });
  }
  emit({ type: "planned", images: plan.images });
  if (!can.nodeWideDownloads || countDecisions(plan.images).pull < 2) return;
  // We cannot raise this limit, but the operator can.
  const setting = '[plugins."io.containerd.transfer.v1.local"] max_concurrent_downloads';
  const message = `containerd ${can.containerd} shares its downloads, 3 by default, among all images of the node; ${setting} in its config.toml raises that`;
  emit({ type: "note", message });
}

async function warnOfKubelet(
  { clock, config, emit }: Context,
  wanted: readonly WantedImage[],
  node: Node,
): Promise<void> {
  const messages = await kubeletWarnings(config.kubelet.root_dir, wanted, node, clock.date());
  for (const message of messages) emit({ type: "warning", message });
}

/** Milliseconds after the deadline: time to run again before containerd collects what no image needs. */
const KEPT = 24 * 3_600_000;
const expiry = ({ clock, config }: Context): Date =>
  new Date(clock.date().getTime() + config.deadline + KEPT);
