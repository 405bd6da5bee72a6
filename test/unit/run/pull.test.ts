import { describe, expect, test } from "vitest";
import { Failed, type Failure } from "../../../src/core/failure.ts";
import type { WantedImage } from "../../../src/core/plan.ts";
import type { RunEvent } from "../../../src/core/events.ts";
import { puller, type PullOptions } from "../../../src/run/pull.ts";
import { stopper } from "../../../src/run/stopper.ts";
import { CommandError } from "../../../src/containerd/command.ts";
import { inMemoryContainerd, toolError } from "../containerd/in-memory.ts";
import { served } from "../containerd/served-image.ts";
import { credential, wanted } from "../samples.ts";
import { config, TEXTS } from "./bench.ts";
import { fakeClock } from "./fake-clock.ts";

const A = "r.one/a:1";
const B = "r.one/b:1";
const C = "r.two/c:1";
const SECOND = 1_000;
const WRONG_PASSWORD =
  "failed to authorize: failed to fetch oauth token: unexpected status from GET request to https://r.one/token: 401 Unauthorized";

type Clock = ReturnType<typeof fakeClock>;
/** How an attempt goes: the class of its failure, or a step of its own; afterwards attempts succeed. */
type Going = keyof typeof TEXTS | ((clock: Clock) => unknown);

interface Setting extends Partial<Omit<PullOptions, "config">> {
  readonly config?: Partial<PullOptions["config"]>;
  readonly signal?: AbortSignal;
}

function pulling(script: Readonly<Record<string, readonly Going[]>>, setting: Setting = {}) {
  const node = inMemoryContainerd();
  const clock = fakeClock();
  const events: RunEvent[] = [];
  const pulls: { readonly name: string; readonly at: number }[] = [];
  const { config: overrides = {}, signal = new AbortController().signal, ...parts } = setting;
  const begun = clock.now();
  for (const [name, goings] of Object.entries(script))
    node.before(
      `pull ${name}`,
      ...goings.map((going) => () => (typeof going === "function" ? going(clock) : throws(TEXTS[going]))),
    );
  const pull = puller({
    config: config(overrides),
    clock,
    emit: (event) => {
      events.push(event);
      if (event.type === "attempt-started") pulls.push({ name: event.image, at: clock.now() - begun });
    },
    stop: stopper(signal, 3_600_000, clock),
    containerd: node.containerd,
    watch: { begin: () => () => {} },
    untilBack: async () => {},
    admit: async () => {},
    diskFull: async (_image, failure) => failure,
    ...parts,
  });
  const pullAll = (...images: readonly (string | WantedImage)[]): Promise<(Failure | undefined)[]> => {
    const all = images.map((image) =>
      typeof image === "string" ? wanted(image, { timeout: 600 * SECOND }) : image,
    );
    for (const { source } of all)
      if (!node.registry.has(source.name)) node.registry.set(source.name, served(source.name));
    return Promise.all(all.map((image) => pull(image, false)));
  };
  const classesOf = async (...images: readonly (string | WantedImage)[]): Promise<string[]> =>
    (await pullAll(...images)).map((failure) => failure?.class ?? "ok");
  return { node, clock, events, pulls, pull, pullAll, classesOf, begun };
}
const throws = (text: string): never => {
  throw toolError(text);
};
const many = (going: Going): Going[] => Array.from({ length: 99 }, () => going);

describe("one image", () => {
  test("that comes at once is one attempt", async () => {
    const { pullAll, events } = pulling({});
    expect(await pullAll(A)).toEqual([undefined]);
    expect(events).toEqual([
      { type: "attempt-started", image: A, attempt: 1 },
      { type: "pulled", image: A, attempt: 1 },
    ]);
  });

  test("that fails and comes later tells when it is tried again", async () => {
    const { classesOf, events, pulls } = pulling({ [A]: ["transfer", "transfer"] });
    expect(await classesOf(A)).toEqual(["ok"]);
    expect(events.filter(({ type }) => type === "attempt-failed")).toMatchObject([
      { attempt: 1, failure: { class: "transfer" }, retryIn: 0 },
      { attempt: 2, retryIn: 2_000 },
    ]);
    expect(pulls.map(({ at }) => at)).toEqual([0, 0, 2_000]);
  });

  test("that fails for good is told without a next attempt", async () => {
    const { classesOf, events } = pulling({ [A]: ["auth"] });
    expect(await classesOf(A)).toEqual(["auth"]);
    expect(events.at(-1)).not.toHaveProperty("retryIn");
  });

  test("waits for containerd, and not by the clock, when that went away; nothing else is begun meanwhile", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const set = pulling({ [A]: ["runtime"] }, { untilBack: () => promise, config: { concurrency: 1 } });
    const results = set.classesOf(A, B);
    await set.clock.sleep(90 * SECOND);
    expect(set.pulls.map(({ name }) => name)).toEqual([A]);
    resolve();
    expect(await results).toEqual(["ok", "ok"]);
    expect(set.pulls.map(({ name }) => name)).toEqual([A, A, B]);
  });

  test("is not begun where something that must hold does not", async () => {
    const full = new Failed({ class: "disk", message: "too little free" });
    const { pullAll, node, events } = pulling({}, { admit: () => Promise.reject(full) });
    expect(await pullAll(A)).toEqual([{ class: "disk", message: "too little free" }]);
    expect(node.calls).toEqual([]);
    expect(events.map(({ type }) => type)).not.toContain("attempt-started");
  });

  test("that fills the disk tells what was found there", async () => {
    const diskFull: PullOptions["diskFull"] = async (image, failure) => ({
      ...failure,
      message: `${image.source.name} needs room`,
    });
    const { pullAll } = pulling({ [A]: ["disk"] }, { diskFull });
    expect(await pullAll(A)).toMatchObject([{ class: "disk", message: `${A} needs room` }]);
  });

  test("whose bytes are not what was promised has them thrown away before it goes on", async () => {
    const broken = `failed commit on ref "layer-sha256:ab": unexpected commit digest sha256:cd, expected sha256:ab: failed precondition`;
    const { classesOf, node } = pulling({ [A]: [() => throws(broken)] });
    expect(await classesOf(A)).toEqual(["ok"]);
    expect(node.changes()).toEqual([`pull ${A}`, "abort layer-sha256:ab", `pull ${A}`]);
  });

  test("whose broken bytes cannot be thrown away is tried again all the same", async () => {
    const broken = `failed commit on ref "layer-sha256:ab": unexpected commit digest sha256:cd, expected sha256:ab: failed precondition`;
    const { classesOf, node } = pulling({ [A]: [() => throws(broken)] });
    node.before("abort", () => throws("nobody knows this"));
    expect(await classesOf(A)).toEqual(["ok"]);
  });

  test("whose layer alone is refused fails by its own attempts, and not as its registry", async () => {
    const text =
      "failed to copy: httpReadSeeker: failed open: unexpected status from GET request to https://r.one/v2/a/blobs/sha256:ab: 503 Service Unavailable";
    const { classesOf, pulls } = pulling({ [A]: many(() => throws(text)) });
    expect(await classesOf(A, B)).toEqual(["server", "ok"]);
    expect(pulls.filter(({ name }) => name === A)).toHaveLength(3);
  });

  test("whose tool hangs before it pulls is retried like any step", async () => {
    const hung = new CommandError("crictl did not answer in time", "", true);
    const { classesOf, pulls } = pulling({
      [A]: [
        async (clock) => {
          await clock.sleep(30 * SECOND);
          throw hung;
        },
      ],
    });
    expect(await classesOf(A)).toEqual(["ok"]);
    expect(pulls.map(({ at }) => at)).toEqual([0, 30 * SECOND]);
  });

  test("whose pull is a bug of ours is no failed image: the bug comes out", async () => {
    const bug = (): never => {
      throw new TypeError("x is not a function");
    };
    await expect(pulling({ [A]: [bug] }).pullAll(A)).rejects.toThrow("x is not a function");
  });
});

test("an image that breaks in a long list is retried before the others, with all the time that is left to it", async () => {
  const names = Array.from({ length: 40 }, (_, n) => `r.one/i${n}:1`);
  const minute = (clock: Clock): Promise<void> => clock.sleep(60 * SECOND);
  const script: Record<string, Going[]> = Object.fromEntries(names.map((name) => [name, [minute]]));
  script[names[0]!] = ["transfer", minute];
  const { pullAll, pulls } = pulling(script, { config: { concurrency: 1 } });
  const images = names.map((name) => wanted(name, { timeout: 90 * SECOND }));
  expect(new Set(await pullAll(...images))).toEqual(new Set([undefined]));
  expect(pulls.slice(0, 3).map(({ name }) => name)).toEqual([names[0], names[0], names[1]]);
});

test("an image is over only when its tool has ended, also where the run is stopped", async () => {
  const stop = new AbortController();
  let ended = false;
  const set = pulling(
    {
      [A]: [
        async (clock) => {
          stop.abort(new Failed({ class: "cancelled", message: "stopped by SIGTERM" }));
          await clock.sleep(2 * SECOND);
          ended = true;
        },
      ],
    },
    { signal: stop.signal },
  );
  expect(await set.classesOf(A)).toEqual(["cancelled"]);
  expect(ended).toBe(true);
});

test("containerd is waited for only after it was lost", async () => {
  let waits = 0;
  const untilBack = async (): Promise<void> => void (waits += 1);
  const { classesOf, node } = pulling({ [A]: ["server", "network", "transfer"] }, { untilBack });
  expect(await classesOf(A)).toEqual(["ok"]);
  expect(waits).toBe(0);
  expect(node.calls.filter((call) => call.startsWith("abort"))).toEqual([]);
});

test("an image that is given up takes no other's place when its registry is back", async () => {
  const D = "r.one/d:1";
  const script = { [A]: many("network"), [B]: Array.from({ length: 4 }, () => "network" as const) };
  const { node, pull } = pulling(script, { config: { concurrency: 1 } });
  for (const name of [B, D]) node.registry.set(name, served(name));
  const failures = await Promise.all([A, B, D].map((name) => pull(wanted(name), name === A)));
  expect(failures.map((failure) => failure?.class)).toEqual(["network", undefined, undefined]);
});

test("a full disk is examined once, for the image that filled it, and not for those that it ends", async () => {
  const stop = stopper(new AbortController().signal, 3_600 * SECOND, fakeClock());
  const examined: string[] = [];
  const diskFull: PullOptions["diskFull"] = async (image, failure) => {
    examined.push(image.source.name);
    stop.diskFull("0B free");
    return failure;
  };
  const { node, pullAll } = pulling({ [A]: ["disk"] }, { stop, diskFull });
  node.registry.set(B, "hangs");
  const [first, second] = await pullAll(A, B);
  expect(examined).toEqual([A]);
  expect([first?.class, second]).toEqual(["disk", { class: "disk", message: "not pulled: 0B free" }]);
});

describe("an attempt is ended", () => {
  const stopped = new Failed({ class: "cancelled", message: "stopped by SIGTERM" });

  test("when the run is stopped, and so is everything that waits", async () => {
    const stop = new AbortController();
    const { node, classesOf, events } = pulling(
      { [B]: ["server"], "r.three/d:1": [() => stop.abort(stopped)] },
      { config: { concurrency: 3 }, signal: stop.signal },
    );
    node.registry.set(A, "hangs");
    const classes = await classesOf(A, B, "r.three/d:1", "r.four/e:1");
    expect(classes).toEqual(["cancelled", "cancelled", "cancelled", "cancelled"]);
    expect(events.filter(({ type }) => type === "attempt-started")).toHaveLength(3);
  });

  test("and one that waits for its retry is given up, at once", async () => {
    const stop = new AbortController();
    const { classesOf, clock, begun } = pulling({ [A]: many("server") }, { signal: stop.signal });
    clock.after(500, () => stop.abort(stopped));
    expect(await classesOf(A)).toEqual(["cancelled"]);
    expect(clock.now() - begun).toBe(500);
  });

  test("before it begins when the run was stopped already", async () => {
    const { classesOf, node } = pulling({}, { signal: AbortSignal.abort(stopped) });
    expect(await classesOf(A, B)).toEqual(["cancelled", "cancelled"]);
    expect(node.calls).toEqual([]);
  });

  test("when the time of its image is over, which says which setting it was", async () => {
    const { node, pullAll, clock, begun } = pulling({});
    node.registry.set(A, "hangs");
    expect(await pullAll(wanted(A, { timeout: 90 * SECOND }))).toEqual([
      { class: "timeout", message: "not complete after 1m30s (image_timeout)" },
    ]);
    expect(clock.now() - begun).toBe(90 * SECOND);
  });

  test("when its watcher sees it stall, and another one begins", async () => {
    const stall = new Failed({ class: "stall", message: "no data came for 60.0s" });
    let watched = 0;
    const set = pulling(
      {},
      {
        watch: {
          begin: (image, { abort, progressed }) => {
            progressed("bytes");
            if (set.node.registry.get(image.source.name) === "hangs")
              set.clock.after(1, () => abort.abort(stall));
            return () => {
              watched += 1;
              set.node.registry.set(A, served(A));
            };
          },
        },
      },
    );
    set.node.registry.set(A, "hangs");
    expect(await set.classesOf(A)).toEqual(["ok"]);
    expect(set.events).toContainEqual(
      expect.objectContaining({ failure: { class: "stall", message: "no data came for 60.0s" }, retryIn: 0 }),
    );
    expect(watched).toBe(2);
  });

  test("with its registry, when that has given nothing for registry_timeout, and not before", async () => {
    const { node, pullAll, clock, begun } = pulling({ [B]: many("network") });
    node.registry.set(A, "hangs");
    const [first, second] = await pullAll(A, B);
    expect(clock.now() - begun).toBe(300 * SECOND);
    for (const failure of [first, second])
      expect(failure).toMatchObject({
        class: "network",
        message: expect.stringMatching(/^r\.one gave nothing for 5m00s \(registry_timeout\): .*refused$/u),
      });
  });
});

test("each attempt without a byte is given more time", async () => {
  const given: number[] = [];
  const stall = new Failed({ class: "stall", message: "no byte came" });
  const set = pulling(
    {},
    {
      watch: {
        begin: (_image, { abort, patience }) => {
          given.push(patience / SECOND);
          if (given.length === 3) set.node.registry.set(A, served(A));
          const timer = set.clock.after(patience, () => abort.abort(stall));
          return () => timer[Symbol.dispose]();
        },
      },
    },
  );
  set.node.registry.set(A, "hangs");
  expect(await set.classesOf(A)).toEqual(["ok"]);
  expect(given).toEqual([60, 120, 180]);
});

test("a login that is refused is told of all its images, and tried for one", async () => {
  const { pullAll, pulls } = pulling({ [A]: [() => throws(WRONG_PASSWORD)] });
  const images = [A, B, "r.one/d:1"].map((name) => wanted(name, { credential: credential() }));
  const failures = await pullAll(...images, C);
  expect(failures.map((failure) => failure?.class)).toEqual(["auth", "auth", "auth", undefined]);
  expect(failures[1]?.message).toContain("could lock the account");
  expect(pulls.map(({ name }) => name).toSorted()).toEqual([A, C].toSorted());
});

test("fewer at once after a 429 are told, and so is their recovery", async () => {
  const names = Array.from({ length: 40 }, (_, n) => `r.one/i${n}:1`);
  const slow = (clock: Clock): Promise<void> => clock.sleep(30 * SECOND);
  const script: Record<string, Going[]> = Object.fromEntries(names.map((name) => [name, [slow]]));
  script[names[3]!] = ["rate-limit", slow];
  const { classesOf, events } = pulling(script, { config: { concurrency: "auto" } });
  expect(new Set(await classesOf(...names))).toEqual(new Set(["ok"]));
  expect(events.filter(({ type }) => type === "concurrency").slice(0, 2)).toMatchObject([
    { images: 8, why: "a registry answers 429" },
    { images: 9, why: "the pulls since then were not refused" },
  ]);
});
