// Reads the node and makes the plan, for commands that change nothing.
import type { Config } from "../config/config.ts";
import type { Containerd } from "../containerd/containerd.ts";
import { expectedOutcome, withArchiveImages, type PlannedArchive } from "../core/archives.ts";
import type { Capabilities } from "../core/capabilities.ts";
import type { Node } from "../core/node.ts";
import { namesOf, planRun, type Plan } from "../core/plan.ts";
import type { Edge } from "../edge.ts";
import { archiveReader, findArchives, isUnread, planArchives } from "../run/archives.ts";
import { realClock } from "../run/clock.ts";
import { examineNames } from "../run/mend.ts";
import { lookAtNode } from "../run/look.ts";
import { requireTools, untilReady } from "../run/ready.ts";
import { runtimeUnusable } from "../run/tool-failure.ts";
import { corrected, NOTHING_KNOWN } from "../core/written.ts";
import { lockIsHeld } from "../state/lock.ts";
import { readArchiveRecord, readDiskRecord, writeDiskRecord } from "../state/records.ts";

export interface Look {
  readonly node: Node;
  readonly archives: readonly PlannedArchive[];
  /** For everything that is wanted, including the images of archives as far as they are known. */
  readonly plan: Plan;
}

/** @param signal ends every call */
export type Connect = (config: Config, signal: AbortSignal) => Containerd;

interface LookOptions {
  readonly only: ReadonlySet<string>;
  /** Whether to read the archives that must be imported, which takes a while. */
  readonly readArchives: boolean;
  /** Whether to examine every file on the disk, even those known to be sound. */
  readonly deep: boolean;
}

/** @throws ExitError (runtime not ready) */
export async function look(
  config: Config,
  edge: Edge,
  connect: Connect,
  { only, readArchives, deep }: LookOptions,
): Promise<Look> {
  requireTools(config.containerd);
  return await asking(config, edge, connect, async (containerd, { pins }) => {
    const record = readArchiveRecord(edge.paths.state, () => {});
    const archived = Object.values(record.imported).flatMap((known) => Object.keys(known.names));
    const listed = config.images;
    const names = [...listed.flatMap(namesOf), ...archived];
    const disk = readDiskRecord(edge.paths.state, () => {});
    const seen = await lookAtNode(containerd, edge.platform, names);
    const { node } = await examineNames(containerd, seen, names, deep ? NOTHING_KNOWN : disk);
    // `status --deep` changes nothing on the node, but the next run has to know what it found. A run in progress
    // writes its own.
    if (deep && node.damage.size > 0 && !lockIsHeld(edge.paths.state))
      writeDiskRecord(edge.paths.state, corrected(disk, node), () => {});
    const read = readArchives ? archiveReader(edge.signal) : async () => [];
    const archives = await planArchives(await findArchives(config.archives), { record, node, listed, read });
    const options = { pins, only, isUnread: isUnread(archives) };
    return {
      node,
      archives,
      plan: planRun(withArchiveImages(listed, archives.map(expectedOutcome), node), node, options),
    };
  });
}

/** Waits for containerd, then calls `ask`. @throws ExitError (runtime not ready), or the signal's reason */
export async function asking<Answer>(
  config: Config,
  edge: Edge,
  connect: Connect,
  ask: (containerd: Containerd, can: Capabilities) => Promise<Answer>,
): Promise<Answer> {
  using containerd = connect(config, edge.signal);
  const waiting = { config, containerd, clock: realClock, signal: edge.signal, onWait: () => {} };
  const can = await untilReady(waiting);
  return await ask(containerd, can).catch((error: unknown) => {
    edge.signal.throwIfAborted();
    throw runtimeUnusable(error);
  });
}

/** For commands that only look: people want an answer now, not after the configured ready_timeout. */
export const answeringSoon = (config: Config): Config => ({
  ...config,
  containerd: { ...config.containerd, ready_timeout: 5_000 },
});
