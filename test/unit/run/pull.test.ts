import { describe, expect, test } from "vitest";
import { startLevel } from "../../../src/core/concurrency.ts";
import { Failed, type Failure } from "../../../src/core/failure.ts";
import type { WantedImage } from "../../../src/core/plan.ts";
import type { RunEvent } from "../../../src/core/events.ts";
import { pullImage, type Around, type Puller } from "../../../src/run/pull.ts";
import { RegistryHealth } from "../../../src/run/registry-health.ts";
import { pullSlots } from "../../../src/run/slots.ts";
import { stopper } from "../../../src/run/stopper.ts";
import { CommandError } from "../../../src/containerd/command.ts";
import { inMemoryContainerd, toolError } from "../containerd/in-memory.ts";
import { LINUX, served } from "../containerd/served-image.ts";
import { credential, wanted } from "../samples.ts";
import { config, TEXTS } from "./bench.ts";
import { fakeClock } from "./fake-clock.ts";

const A = "r.one/a:1";
const B = "r.one/b:1";
const C = "r.two/c:1";
const WRONG_PASSWORD =
  "unexpected status from HEAD request to https://r.one/v2/a/manifests/1: 401 Unauthorized";

/** How an attempt goes: the class of its failure, or a step of its own; afterwards attempts succeed. */
type Going = keyof typeof TEXTS | (() => void);

interface Overrides {
  readonly concurrency?: number | "auto";
  readonly retry?: Puller["config"]["retry"];
  readonly signal?: AbortSignal;
  readonly around?: Partial<Around>;
}

function pulling(script: Readonly<Record<string, readonly Going[]>>, overrides: Overrides = {}) {
  const node = inMemoryContainerd();
  const clock = fakeClock();
  const events: RunEvent[] = [];
  const pulls: { readonly name: string; readonly at: number }[] = [];
  const { concurrency = 4, retry = config().retry, signal = new AbortController().signal } = overrides;
  for (const [name, goings] of Object.entries(script)) {
    node.before(
      `pull ${name}`,
      ...goings.map((going) => (typeof going === "function" ? going : throws(TEXTS[going]))),
    );
  }
  const puller: Puller = {
    config: config({ retry }),
    clock,
    emit: (event) => {
      events.push(event);
      if (event.type === "attempt-started") pulls.push({ name: event.image, at: clock.now() });
    },
    stop: stopper(signal, 3_600_000),
    containerd: node.containerd,
    slots: pullSlots(
      {
        config: config({ concurrency }),
        clock,
        machine: { platform: LINUX, cpus: 2, busy: () => 0 },
        emit: () => {},
      },
      startLevel(concurrency, false, 2),
    ),
    health: new RegistryHealth(retry, clock),
    around: {
      admit: async () => {},
      watch: () => () => {},
      comeback: async () => {},
      diskFull: async (_image, failure) => failure,
      ...overrides.around,
    },
  };
  const pullAll = (...images: readonly (string | WantedImage)[]): Promise<(Failure | undefined)[]> => {
    const all = images.map((image) =>
      typeof image === "string" ? wanted(image, { timeout: 600_000 }) : image,
    );
    for (const { source } of all)
      if (!node.registry.has(source.name)) node.registry.set(source.name, served(source.name));
    return Promise.all(all.map((image) => pullImage(puller, image, retry.attempts)));
  };
  const classesOf = async (...images: readonly (string | WantedImage)[]): Promise<string[]> =>
    (await pullAll(...images)).map((failure) => failure?.class ?? "ok");
  return {
    node,
    clock,
    events,
    pulls,
    puller,
    pullAll,
    classesOf,
    attemptsOf: (name: string) => pulls.filter((pull) => pull.name === name).length,
  };
}
const throws = (text: string) => (): void => {
  throw toolError(text);
};
const times = (count: number, going: Going): Going[] => Array.from({ length: count }, () => going);

describe("one image", () => {
  test("that comes at once is one attempt", async () => {
    const { pullAll, events } = pulling({});
    expect(await pullAll(A)).toEqual([undefined]);
    expect(events).toEqual([
      { type: "attempt-started", image: A, attempt: 1 },
      { type: "pulled", image: A, attempt: 1 },
    ]);
  });

  test("whose transfer breaks goes on without any delay", async () => {
    const { classesOf, events, pulls } = pulling({ [A]: ["transfer"] });
    expect(await classesOf(A)).toEqual(["ok"]);
    expect(events).toContainEqual(expect.objectContaining({ type: "attempt-failed", image: A, retryIn: 0 }));
    expect(new Set(pulls.map(({ at }) => at)).size).toBe(1);
  });

  test("whose transfer breaks again waits, and others have its slot meanwhile", async () => {
    const { classesOf, pulls } = pulling({ [A]: ["transfer", "transfer"] }, { concurrency: 1 });
    expect(await classesOf(A, B, C)).toEqual(["ok", "ok", "ok"]);
    expect(pulls.map(({ name }) => name)).toEqual([A, B, C, A, A]);
    expect(pulls.filter(({ name }) => name === A).map(({ at }) => at - (pulls[0]?.at ?? 0))).toEqual([
      0, 0, 2_000,
    ]);
  });

  test("that is refused with its login is the only one that tries it, however many come at once", async () => {
    const { classesOf, pulls } = pulling(
      { [A]: [throws(WRONG_PASSWORD)], [B]: [throws(WRONG_PASSWORD)] },
      { concurrency: 8 },
    );
    const images = [A, B, "r.one/d:1", "r.one/e:1"].map((name) => wanted(name, { credential: credential() }));
    expect(await classesOf(...images)).toEqual(["auth", "auth", "auth", "auth"]);
    expect(pulls.map(({ name }) => name)).toEqual([A]);
  });

  test("with a failure that may pass backs off longer each time", async () => {
    const { classesOf, pulls } = pulling(
      { [A]: ["server", throws("nobody knows this"), "server"] },
      { retry: { attempts: 5, min_delay: 1_000, max_delay: 3_000 } },
    );
    expect(await classesOf(A)).toEqual(["ok"]);
    expect(pulls.map(({ at }) => at - (pulls[0]?.at ?? 0))).toEqual([0, 1_000, 3_000, 6_000]);
  });

  test.each(["server", "transfer", "network", "runtime"] as const)(
    "never has more attempts than it may: %s",
    async (name) => {
      const { classesOf, attemptsOf } = pulling({ [A]: times(9, name) });
      expect(await classesOf(A)).toEqual([name]);
      expect(attemptsOf(A)).toBe(3);
    },
  );

  test.each(["auth", "not-found", "disk"] as const)("that fails with %s is not tried again", async (name) => {
    const { classesOf, attemptsOf, events } = pulling({ [A]: [name] });
    expect(await classesOf(A)).toEqual([name]);
    expect(attemptsOf(A)).toBe(1);
    expect(events.at(-1)).not.toHaveProperty("retryIn");
  });

  test("waits for containerd, and not by the clock, when that went away", async () => {
    let asked = 0;
    const { classesOf, attemptsOf, pulls } = pulling(
      { [A]: ["runtime"] },
      { around: { comeback: async () => void (asked += 1) } },
    );
    expect(await classesOf(A)).toEqual(["ok"]);
    expect([asked, attemptsOf(A)]).toEqual([1, 2]);
    expect(new Set(pulls.map(({ at }) => at)).size).toBe(1);
  });

  test("fails with what was said of a containerd that did not come back", async () => {
    const lost = new Failed({ class: "runtime", message: "did not come back" });
    const { pullAll } = pulling({ [A]: ["runtime"] }, { around: { comeback: () => Promise.reject(lost) } });
    expect(await pullAll(A)).toEqual([{ class: "runtime", message: "did not come back" }]);
  });

  test("is not begun where something that must hold does not", async () => {
    const full = new Failed({ class: "disk", message: "too little free" });
    const { pullAll, node } = pulling({}, { around: { admit: () => Promise.reject(full) } });
    expect(await pullAll(A)).toEqual([{ class: "disk", message: "too little free" }]);
    expect(node.calls).toEqual([]);
  });

  test("that fills the disk tells what was found there, before its slot is given away", async () => {
    const diskFull: Around["diskFull"] = async (image, failure) => ({
      ...failure,
      message: `${image.source.name} needs room`,
    });
    const { pullAll } = pulling({ [A]: ["disk"] }, { around: { diskFull } });
    expect(await pullAll(A)).toMatchObject([{ class: "disk", message: `${A} needs room` }]);
  });

  test("whose bytes are not what was promised has them thrown away before it goes on", async () => {
    const broken = `failed commit on ref "layer-sha256:ab": unexpected commit digest sha256:cd, expected sha256:ab: failed precondition`;
    const { classesOf, node } = pulling({ [A]: [throws(broken)] });
    expect(await classesOf(A)).toEqual(["ok"]);
    expect(node.changes()).toEqual([`pull ${A}`, "abort layer-sha256:ab", `pull ${A}`]);
  });

  test("whose pull is a bug of ours is no failed image: the bug comes out", async () => {
    const bug = (): never => {
      throw new TypeError("x is not a function");
    };
    await expect(pulling({ [A]: [bug] }).pullAll(A)).rejects.toThrow("x is not a function");
  });
});

describe("the time of an image", () => {
  /** What a pull was given, by the order of pulls. */
  function timed(script: Readonly<Record<string, readonly Going[]>>, overrides: Overrides = {}) {
    const set = pulling(script, overrides);
    const given: { name: string; timeout: number }[] = [];
    const pull: Puller["containerd"]["pull"] = (name, options) => {
      given.push({ name, timeout: options.timeout });
      return set.node.containerd.pull(name, options);
    };
    return { ...set, given, puller: { ...set.puller, containerd: { ...set.node.containerd, pull } } };
  }

  test("is shared by its attempts, with the waits between them", async () => {
    const { puller, given, node } = timed({ [A]: ["server"] });
    node.registry.set(A, served(A));
    expect(await pullImage(puller, wanted(A, { timeout: 60_000 }), 3)).toBeUndefined();
    expect(given.map(({ timeout }) => timeout)).toEqual([60_000, 59_000]);
  });

  test("does not run while it waits for a slot", async () => {
    const { puller, given, node, clock } = timed({}, { concurrency: 1 });
    for (const name of [A, B]) node.registry.set(name, served(name));
    node.before(`pull ${A}`, () => clock.pass(50_000));
    await Promise.all([A, B].map((name) => pullImage(puller, wanted(name, { timeout: 60_000 }), 3)));
    expect(given).toEqual([
      { name: A, timeout: 60_000 },
      { name: B, timeout: 60_000 },
    ]);
  });

  test("that is over is terminal, and says which setting it was", async () => {
    const { puller, node } = pulling({});
    const pull = (): Promise<void> =>
      Promise.reject(new CommandError("crictl did not answer in time", "", true));
    const late = { ...puller, containerd: { ...node.containerd, pull } };
    expect(await pullImage(late, wanted(A, { timeout: 90_000 }), 3)).toEqual({
      class: "timeout",
      message: "not complete after 1m30s (image_timeout)",
    });
  });

  test("is not spent on a wait that would outlast it", async () => {
    const { classesOf, attemptsOf } = pulling(
      { [A]: ["server"] },
      { retry: { attempts: 3, min_delay: 600_000, max_delay: 600_000 } },
    );
    expect(await classesOf(wanted(A, { timeout: 10_000 }))).toEqual(["server"]);
    expect(attemptsOf(A)).toBe(1);
  });
});

describe("several images", () => {
  test("are pulled no more at once than there are slots", async () => {
    const names = Array.from({ length: 30 }, (_, n) => `r.${n % 3}x/a${n}:1`);
    let [now, most] = [0, 0];
    const around: Partial<Around> = {
      watch: () => {
        most = Math.max(most, (now += 1));
        return () => (now -= 1);
      },
    };
    const script = Object.fromEntries(
      names.filter((_, n) => n % 4 === 0).map((name): [string, Going[]] => [name, ["transfer"]]),
    );
    const { classesOf } = pulling(script, { concurrency: 3, around });
    expect(new Set(await classesOf(...names))).toEqual(new Set(["ok"]));
    expect([most, now]).toEqual([3, 0]);
  });

  test("go on after one of them failed", async () => {
    const { classesOf } = pulling({ [A]: ["not-found"], [C]: times(3, "server") }, { concurrency: 1 });
    expect(await classesOf(A, B, C, "r.three/d:1")).toEqual(["not-found", "ok", "server", "ok"]);
  });

  test("have the slot of one that waits: no wait holds one", async () => {
    const names = Array.from({ length: 8 }, (_, n) => `r.x/a${n}:1`);
    const script = Object.fromEntries(names.map((name): [string, Going[]] => [name, ["server"]]));
    const { pullAll, pulls } = pulling(script, { concurrency: 1 });
    await pullAll(...names);
    expect(pulls.slice(0, 8).map(({ name }) => name)).toEqual(names);
  });
});

describe("a registry", () => {
  test.each([
    ["rate-limit", 5_000],
    ["network", 1_000],
  ] as const)("that fails with %s is left alone by all its images, others go on", async (name, wait) => {
    const { classesOf, pulls } = pulling({ [A]: [name] }, { concurrency: 1 });
    expect(await classesOf(A, B, C)).toEqual(["ok", "ok", "ok"]);
    expect(pulls.slice(0, 2).map((pull) => pull.name)).toEqual([A, C]);
    const [closed, ...later] = pulls.filter((pull) => pull.name !== C).map(({ at }) => at);
    expect(later.map((at) => at - (closed ?? 0))).toEqual([wait, wait]);
  });

  test("that refuses too many at once costs no image an attempt, and is left alone only when one alone is too many", async () => {
    const { pulls, pullAll, clock } = pulling(
      { [A]: ["rate-limit", "rate-limit", "rate-limit", "rate-limit"] },
      { concurrency: "auto" },
    );
    const began = clock.now();
    expect(await pullAll(A)).toEqual([undefined]);
    const waits = pulls.map(({ at }, index) => at - (pulls[index - 1]?.at ?? began));
    expect(waits.slice(0, 3)).toEqual([0, 0, 0]);
    expect(waits.slice(3).every((ms) => ms >= 5_000)).toBe(true);
    expect(pulls).toHaveLength(5);
  });

  test("that is dead has its rounds once, and then each image a single attempt", async () => {
    const names = Array.from({ length: 12 }, (_, n) => `r.dead/a${n}:1`);
    const script = Object.fromEntries(names.map((name) => [name, times(9, "network")]));
    const { classesOf, pulls } = pulling(script, { concurrency: 1 });
    expect(new Set(await classesOf(...names))).toEqual(new Set(["network"]));
    expect(pulls.length).toBeLessThanOrEqual(names.length + config().retry.attempts);
    expect(new Set(pulls.map(({ name }) => name))).toEqual(new Set(names));
  });

  test("that refused a password is not asked with it for another image", async () => {
    const login = credential();
    const { pullAll, attemptsOf } = pulling({ [A]: [throws(WRONG_PASSWORD)] }, { concurrency: 1 });
    const results = await pullAll(
      wanted(A, { credential: login }),
      wanted(B, { credential: login }),
      wanted(C, { credential: login }),
      wanted("r.one/public:1"),
      wanted("r.one/other:1", { credential: credential("other", "pw") }),
    );
    expect(results.map((failure) => failure?.class)).toEqual([
      "auth",
      "auth",
      undefined,
      undefined,
      undefined,
    ]);
    expect(attemptsOf(B)).toBe(0);
    expect(results[1]?.message).toContain("lock the account");
  });

  test("that denies one repository is still asked for the others", async () => {
    const { classesOf } = pulling({ [A]: ["auth"] }, { concurrency: 1 });
    const images = [A, B].map((name) => wanted(name, { credential: credential() }));
    expect(await classesOf(...images)).toEqual(["auth", "ok"]);
  });
});

describe("an attempt is ended", () => {
  const stopped = new Failed({ class: "cancelled", message: "stopped by SIGTERM" });

  test("when the run is stopped, and so is every wait and queue", async () => {
    const stop = new AbortController();
    const end = (): void => stop.abort(stopped);
    const { node, classesOf, events } = pulling(
      { [B]: ["server"], "r.three/d:1": [end] },
      { concurrency: 2, signal: stop.signal },
    );
    node.registry.set(A, "hangs");
    expect(await classesOf(A, B, C, "r.three/d:1", "r.four/e:1")).toEqual([
      "cancelled",
      "cancelled",
      "ok",
      "cancelled",
      "cancelled",
    ]);
    expect(events.filter(({ type }) => type === "attempt-started")).toHaveLength(4);
  });

  test("before it begins when the run was stopped already", async () => {
    const { classesOf, node } = pulling({}, { signal: AbortSignal.abort(stopped) });
    expect(await classesOf(A, B)).toEqual(["cancelled", "cancelled"]);
    expect(node.calls).toEqual([]);
  });

  test("when its watcher sees it stall, and goes on at once", async () => {
    const stall = new Failed({ class: "stall", message: "no byte came for 60.0s" });
    let unwatched = 0;
    const set = pulling(
      {},
      {
        around: {
          watch: (image, abort) => {
            if (set.node.registry.get(image.source.name) === "hangs") setImmediate(() => abort.abort(stall));
            return () => {
              unwatched += 1;
              set.node.registry.set(A, served(A));
            };
          },
        },
      },
    );
    set.node.registry.set(A, "hangs");
    expect(await set.classesOf(A)).toEqual(["ok"]);
    expect(set.events).toContainEqual({
      type: "attempt-failed",
      image: A,
      attempt: 1,
      failure: { class: "stall", message: "no byte came for 60.0s" },
      retryIn: 0,
    });
    expect(unwatched).toBe(2);
  });
});
