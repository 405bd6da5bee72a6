// A run on a containerd of maps and a clock on which waiting takes no time.
import type { Config } from "../../../src/config/config.ts";
import type { ServedImage } from "../containerd/served-image.ts";
import type { FailureClass } from "../../../src/core/failure.ts";
import type { WantedImage } from "../../../src/core/plan.ts";
import type { RunEvent } from "../../../src/core/events.ts";
import type { Context, Machine } from "../../../src/run/context.ts";
import { listed } from "../../../src/commands/run.ts";
import { applyEvent } from "../../../src/core/events.ts";
import { startState, totals, type RunState } from "../../../src/core/run-state.ts";
import { NOTHING_KNOWN } from "../../../src/core/written.ts";
import { run, type Earlier } from "../../../src/run/run.ts";
import { stopper } from "../../../src/run/stopper.ts";
import { inMemoryContainerd } from "../containerd/in-memory.ts";
import { LINUX } from "../containerd/served-image.ts";
import { wanted } from "../samples.ts";
import { fakeClock } from "./fake-clock.ts";

/** Half empty, whatever is looked at: a look at a real disk takes time, which the clock here would not wait for. */
export const MACHINE: Machine = {
  platform: LINUX,
  usage: async () => ({
    device: 1,
    bsize: 4_096,
    blocks: 1_000_000,
    bavail: 500_000,
    files: 1_000,
    ffree: 500,
  }),
};

export const config = (overrides: Partial<Config> = {}): Config => ({
  images: [],
  archives: [],
  on_failure: "fail",
  concurrency: 4,
  retry: { attempts: 3, min_delay: 1_000, max_delay: 30_000 },
  registry_timeout: 300_000,
  stall_timeout: 60_000,
  deadline: 3_600_000,
  start_jitter: 0,
  disk: { min_free_percent: 0 },
  containerd: {
    crictl: "/x/crictl",
    ctr: "/x/ctr",
    socket: "/c.sock",
    ready_timeout: 120_000,
  },
  allow_credentials_in_argv: false,
  log_level: "info",
  credentials: [],
  kubelet: { root_dir: "/nowhere" },
  warnings: [],
  ...overrides,
});

export interface Ran {
  readonly events: readonly RunEvent[];
  /** What each image came to: `pulled`, `present`, `failed in pull: auth`. */
  readonly outcomes: Readonly<Record<string, string>>;
  /** What the run threw. */
  readonly error: unknown;
  /** What it handed over to be kept. */
  readonly recorded: Earlier["archives"];
}

interface Circumstances {
  readonly only?: readonly string[];
  readonly archives?: Earlier["archives"];
  readonly disk?: Earlier["disk"];
  readonly signal?: AbortSignal;
  readonly machine?: Machine;
  /** Compressed bytes by source name, as an earlier run recorded them. */
  readonly sizes?: ReadonlyMap<string, number>;
  /** Beside those that the wanted names are. */
  readonly onEvent?: (event: RunEvent) => void;
  /** Told what is to be kept for the next run, when it is. */
  readonly onRecord?: (archives: Earlier["archives"]) => void;
}

/** @param random what the clock's chance gives */
export function bench(version?: string, random = 1) {
  const clock = fakeClock(random);
  const node = inMemoryContainerd(version, () => clock.now());
  let runs = 0;
  let disk = NOTHING_KNOWN;
  return {
    node,
    clock,
    /** What the last run knew of the disk. */
    disk: () => disk,
    /** A run for these images, which the registry serves unless the test put something else there. */
    run: async (
      images: readonly (string | WantedImage)[],
      overrides: Partial<Config> = {},
      more: Circumstances = {},
    ): Promise<Ran> => {
      const list = images.map((image) => (typeof image === "string" ? wanted(image) : image));
      const events: RunEvent[] = [];
      let state = startState("r", "1.0.0", 1, clock.now());
      const only = new Set(more.only);
      const fold = (event: RunEvent): void => void (state = applyEvent(state, event, clock.now()));
      const emit = (event: RunEvent): void => {
        events.push(event);
        fold(event);
        more.onEvent?.(event);
      };
      using stop = stopper(more.signal ?? new AbortController().signal, 3_600_000, {
        after: clock.eventually,
      });
      const made = config({ images: list, ...overrides });
      fold({ type: "run-started", images: listed(made, only) });
      const context: Context = {
        config: made,
        containerd: node.containerd,
        machine: more.machine ?? MACHINE,
        clock,
        emit,
        stop,
      };
      let recorded: Earlier["archives"] = more.archives ?? { imported: {} };
      const error: unknown = await run(context, {
        runId: `run-${(runs += 1)}`,
        only,
        earlier: { sizes: more.sizes ?? new Map(), archives: recorded, disk: more.disk ?? disk },
        recordDisk: (known) => void (disk = known),
        recordArchives: (archives) => {
          recorded = archives;
          more.onRecord?.(archives);
        },
      }).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      const outcomes = outcomesOf(events);
      if (error === undefined) requireSame(state, outcomes);
      return { events, outcomes, error, recorded };
    },
    /** Puts an image under these names into their registries. */
    serve: (image: ServedImage, ...names: readonly string[]): ServedImage => {
      for (const name of names) node.registry.set(name, image);
      return image;
    },
  };
}

/** What was told, one by one, and what that adds up to have to be the same. */
function requireSame({ images }: RunState, outcomes: Ran["outcomes"]): void {
  const sums = totals(images);
  const untold = images.filter(({ name }) => !(name in outcomes)).map(({ name }) => name);
  const phases = images.map(({ name, phase }) => [name, phase, outcomes[name]] as const);
  const wrong = phases.filter(
    ([, phase, told = ""]) => phase !== (told.startsWith("failed") ? "failed" : told),
  );
  if (wrong.length > 0 || sums.unfinished + sums.unverified > 0 || untold.length > 0)
    throw new Error(`the state says otherwise: ${JSON.stringify([wrong, sums, untold])}`);
}

const outcomesOf = (events: readonly RunEvent[]): Record<string, string> =>
  Object.fromEntries(
    events.flatMap((event) => {
      if (event.type === "image-done") return [[event.image, event.phase]];
      return event.type === "image-failed"
        ? [[event.image, `failed in ${event.step}: ${event.failure.class}`]]
        : [];
    }),
  );

export const typesOf = (events: readonly RunEvent[], image?: string): string[] =>
  events
    .filter((event) => image === undefined || ("image" in event && event.image === image))
    .map(({ type }) => type);

/** Texts of real tools, by the class that they lead to. */
export const TEXTS = {
  network:
    'failed to do request: Head "https://r.one/v2/": dial tcp 10.0.0.1:443: connect: connection refused',
  server: "unexpected status from HEAD request to https://r.one/v2/a/manifests/1: 503 Service Unavailable",
  "rate-limit":
    "unexpected status from HEAD request to https://r.one/v2/a/manifests/1: 429 Too Many Requests",
  auth: "unexpected status from HEAD request to https://r.one/v2/a/manifests/1: 403 Forbidden",
  "not-found": "failed to resolve image: r.one/a:1: not found",
  transfer: "failed to copy: httpReadSeeker: failed open: unexpected EOF",
  disk: "write /var/lib/containerd/x: no space left on device",
  runtime: "rpc error: code = Unavailable desc = connection error: desc = x",
} as const satisfies Partial<Record<FailureClass, string>>;
