// The run itself: wait, look, plan, work, verify. Everything that happens goes out as an event; nothing is returned.
import type { SemVer } from "semver";
import type { Config } from "../config/config.ts";
import {
  chosen,
  countDecisions,
  planPulls,
  probableSizes,
  type Listing,
  type PlannedPull,
} from "../core/plan.ts";
import {
  automaticConcurrency,
  canPin,
  hasNodeWideDownloadLimit,
  usesTransferService,
} from "../core/runtime-version.ts";
import type { Emit } from "../core/run-state.ts";
import type { ContentStore, ImageRuntime } from "../runtime/image-runtime.ts";
import type { ArchiveRecord } from "../state/archive-record.ts";
import { importArchives, withArchived } from "./archives.ts";
import { formatBytes } from "../core/units.ts";
import { diskGuard } from "./disk.ts";
import { holds as holdsFor, type Holds } from "./holds.ts";
import { lookWhenReady } from "./look.ts";
import { observer as observerFor, type Observer } from "./observer.ts";
import { pause } from "./pause.ts";
import { prepareNames } from "./prepare.ts";
import { puller } from "./pull.ts";
import { requireTools, waitUntilReady } from "./ready.ts";
import { registryHealth } from "./registry-health.ts";
import type { Stopper } from "./stopper.ts";
import { settle } from "./verify.ts";
import { workOff } from "./work.ts";

export interface RunOptions {
  readonly config: Config;
  /** Source names to which the run is narrowed; all when empty. */
  readonly only: ReadonlySet<string>;
  readonly runtime: ImageRuntime & ContentStore;
  readonly emit: Emit;
  readonly stop: Stopper;
  /** What earlier runs imported from archives. */
  readonly record: ArchiveRecord;
  /** Whether the earlier run has surely left nothing held. */
  readonly swept: boolean;
  /** Compressed bytes by source name, from an earlier run. */
  readonly sizes: ReadonlyMap<string, number>;
  /** Milliseconds between two looks at the downloads. */
  readonly lookEvery: number;
  readonly cpus: number;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** From 0 to 1. */
  readonly random: () => number;
}

/** @throws ExitError (runtime not ready), or the Interruption that stopped it */
export async function importImages(options: RunOptions): Promise<void> {
  const { config, runtime, emit, stop } = options;
  requireTools(config.containerd);
  await pause(config.startJitter * options.random(), stop.signal);
  if (config.images.some(({ credential }) => credential !== undefined)) runtime.prepareLogin();
  const { version, present: before } = await lookWhenReady(runtime, () => ready(options, stop.signal));
  announce(options, version);
  const archives = { ...archiveOptions(options), containerd: version };
  const { present, images, imported } = await importArchives(archives, before);
  const [pinning, local] = [canPin(version), usesTransferService(version)];
  const wanted = planPulls(withArchived(config.images, images), present);
  const pulls = chosen(wanted, options.only);
  emit({ type: "planned", pulls });
  noteLimit(options, version, pulls);

  const holds = holdsFor(runtime, options);
  const crew = gather(options, { version, holds, present });
  const naming = prepareNames(options, wanted, present, pinning);
  const node = naming.then((prepared) => prepared.node);
  // Whoever waits for it hears of it; nobody may be waiting yet.
  node.catch(() => {});
  try {
    const expected = await workOff({
      ...crew,
      imported,
      stop,
      present,
      node,
      pinning,
      local,
      emit,
      runtime,
      pulls,
      retry: config.retry,
    });
    stop.throwIfLost();
    const { untouched } = await naming;
    emit({ type: "verifying" });
    await Promise.all([
      crew.disk.review(),
      holds.releaseAll(),
      settle({ runtime, emit, pinning, local, expected, untouched }),
    ]);
  } finally {
    crew.observer.stop();
    const left = await holds.releaseAll();
    if (left > 0) emit({ type: "warning", message: stillHeld(left) });
  }
  stop.throwIfStopped();
}

async function ready({ config, runtime, emit }: RunOptions, signal: AbortSignal): Promise<SemVer> {
  const why = `containerd at ${config.containerd.socket} does not answer yet`;
  return waitUntilReady(runtime, config.containerd, signal, () =>
    emit({ type: "waiting", phase: "waiting-for-runtime", why }),
  );
}

/** A run narrowed to some images leaves the archives alone. */
const archiveOptions = ({ config, only, runtime, record, emit, stop }: RunOptions) => ({
  archives: only.size === 0 ? config.archives : [],
  runtime,
  record,
  emit,
  signal: stop.signal,
});

const concurrencyOf = ({ config, cpus }: RunOptions, version: SemVer): number =>
  config.concurrency === "auto" ? automaticConcurrency(version, cpus) : config.concurrency;

function announce(options: RunOptions, version: SemVer): void {
  const { emit, config } = options;
  emit({ type: "runtime-ready", containerd: version.version, concurrency: concurrencyOf(options, version) });
  if (!canPin(version) && config.images.some((image) => image.pin)) {
    const message = `containerd ${version.version} is too old to pin images (1.6.25, 1.7.10 and later can): the kubelet may delete them when the disk fills`;
    emit({ type: "warning", message });
  }
}

/** The operator can lift what we cannot. */
function noteLimit({ emit }: RunOptions, version: SemVer, pulls: readonly PlannedPull[]): void {
  if (!hasNodeWideDownloadLimit(version) || countDecisions(pulls).pull < 2) return;
  const setting = '[plugins."io.containerd.transfer.v1.local"] max_concurrent_downloads';
  const message = `containerd ${version.version} shares its downloads, 3 by default, among all images of the node; ${setting} in its config.toml raises that`;
  emit({ type: "note", message });
}

interface Circumstances {
  readonly version: SemVer;
  readonly holds: Holds;
  readonly present: Listing;
}

/** The parts that pull, wired together. */
function gather(options: RunOptions, { version, holds, present }: Circumstances) {
  const { config, runtime, emit, stop, now, random } = options;
  const nodeWideLimit = hasNodeWideDownloadLimit(version);
  const observer: Observer = observerFor({
    content: runtime,
    holds,
    emit,
    stallTimeout: config.stallTimeout,
    interval: Math.min(options.lookEvery, config.stallTimeout / 4),
    patience: config.containerd.readyTimeout,
    nodeWideLimit,
    complete: [...present.values()].map((image) => image.id),
    now,
  });
  const disk = diskGuard(() => runtime.imageDirectory(), config.minFreePercent, emit);
  const pull = puller({
    runtime,
    concurrency: concurrencyOf(options, version),
    policy: config.retry,
    health: registryHealth(config.retry, now, random),
    emit,
    signal: stop.signal,
    watch: observer.watch,
    admit: disk.admit,
    diskFull: async (image, failure) => {
      const room = await disk.describe();
      const needs = observer.sizeOf(image);
      stop.diskFull(room);
      const needed =
        needs === undefined ? "" : `the image has ${formatBytes(needs)} compressed, and more unpacked; `;
      return { ...failure, message: `${failure.message} (${needed}${room})` };
    },
    untilReady: () => ready(options, stop.signal).catch(stop.runtimeLost),
    now,
    random,
  });
  // Order matters only where each image has its own downloads; behind a node-wide limit the list's order is the operator's.
  const sizeOf = nodeWideLimit ? () => undefined : probableSizes(options.sizes, present);
  return { observer, disk, pull, sizeOf };
}

const stillHeld = (count: number): string =>
  `${count} manifests are still held against garbage collection; the next run lets go of them`;
