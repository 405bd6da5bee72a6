// A look at the node, and the plan that it leads to, for commands that change nothing.
import type { Config } from "../config/config.ts";
import type { Containerd } from "../containerd/containerd.ts";
import { archivedImages, usableOf, withArchived, type PlannedArchive } from "../core/archives.ts";
import type { Node } from "../core/node.ts";
import { namesOf, planRun, type Plan } from "../core/plan.ts";
import type { Edge } from "../edge.ts";
import { planArchives } from "../run/archives.ts";
import { realClock } from "../run/context.ts";
import { lookAtNode } from "../run/look.ts";
import { requireTools, untilReady } from "../run/ready.ts";
import { runtimeUnusable } from "../run/tool-failure.ts";
import { readArchiveRecord } from "../state/archive-record.ts";

export interface Look {
  readonly node: Node;
  readonly archives: readonly PlannedArchive[];
  /** Of everything that is wanted, the images of archives included as far as they are known. */
  readonly plan: Plan;
}

/** @param signal ends every call */
export type Connect = (config: Config, signal: AbortSignal) => Containerd;

/** @throws ExitError (runtime not ready) */
export async function look(config: Config, edge: Edge, connect: Connect): Promise<Look> {
  requireTools(config.containerd);
  using containerd = connect(config, edge.signal);
  const waiting = { config, containerd, clock: realClock, signal: edge.signal, onWait: () => {} };
  const can = await untilReady(waiting);
  const record = readArchiveRecord(edge.paths.state, () => {});
  const archived = Object.values(record).flatMap((known) => Object.keys(known.names));
  const names = [...config.images.flatMap(namesOf), ...archived];
  const node = await lookAtNode(containerd, edge.platform, names).catch((error: unknown) => {
    edge.signal.throwIfAborted();
    throw runtimeUnusable(error);
  });
  const archives = await planArchives(config.archives, record, node);
  const held = archives.flatMap((planned) => archivedImages(usableOf(node, planned.names), planned.archive));
  return { node, archives, plan: planRun(withArchived(config.images, held), node, can.pins) };
}
