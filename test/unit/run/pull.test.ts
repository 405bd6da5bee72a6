import { expect, describe, test } from "vitest";
import type { WantedImage } from "../../../src/core/plan.ts";
import type { RunEvent } from "../../../src/core/run-state.ts";
import { Interruption } from "../../../src/run/interruption.ts";
import { puller, type Pulled, type PullerOptions } from "../../../src/run/pull.ts";
import { registryHealth } from "../../../src/run/registry-health.ts";
import { credential, wanted } from "../samples.ts";
import { scriptedRuntime, type Ending, type ScriptedRuntime } from "./scripted-runtime.ts";

const A = "r.one/a:1";
const B = "r.one/b:1";
const C = "r.two/c:1";
const POLICY = { attempts: 3, minDelay: 5, maxDelay: 10 };
/** With delays that outlast any test. */
const FOREVER = { attempts: 3, minDelay: 600_000, maxDelay: 600_000 };
const OK: Ending = { id: "sha256:ok" };
const fail = (...classes: readonly Extract<Ending, { fail: unknown }>["fail"][]): Ending[] =>
  classes.map((name) => ({ fail: name }));

interface Bench {
  readonly runtime: ScriptedRuntime;
  readonly events: RunEvent[];
  /** Pulls all of them side by side. */
  readonly pullAll: (...images: readonly (string | WantedImage)[]) => Promise<Pulled[]>;
  readonly attemptsOf: (name: string) => number;
}

function bench(
  script: Readonly<Record<string, readonly Ending[]>>,
  overrides: Partial<PullerOptions> = {},
): Bench {
  const runtime = scriptedRuntime(script);
  const events: RunEvent[] = [];
  const policy = overrides.policy ?? POLICY;
  const pull = puller({
    runtime,
    concurrency: 4,
    policy,
    health: registryHealth(policy, Date.now, () => 1),
    emit: (event) => void events.push(event),
    signal: new AbortController().signal,
    watch: () => () => {},
    admit: async () => {},
    untilReady: async () => {},
    now: Date.now,
    random: () => 1,
    ...overrides,
  });
  return {
    runtime,
    events,
    pullAll: (...images) =>
      Promise.all(
        images.map((image) => pull(typeof image === "string" ? wanted(image) : image, policy.attempts)),
      ),
    attemptsOf: (name) => runtime.pulls.filter((pulled) => pulled.name === name).length,
  };
}
const classes = (results: readonly Pulled[]): string[] =>
  results.map((result) => (result.ok ? "ok" : result.failure.class));

describe("one image", () => {
  test("that comes at once is one attempt, and gives its id", async () => {
    const { pullAll, events } = bench({ [A]: [OK] });
    expect(await pullAll(A)).toEqual([{ ok: true, id: "sha256:ok" }]);
    expect(events).toEqual([
      { type: "attempt-started", image: A, attempt: 1 },
      { type: "pulled", image: A, attempt: 1, id: "sha256:ok" },
    ]);
  });

  test("whose transfer breaks goes on without any delay", async () => {
    const { pullAll, events } = bench({ [A]: [...fail("transfer"), OK] }, { policy: FOREVER });
    expect(classes(await pullAll(A))).toEqual(["ok"]);
    expect(events).toContainEqual(expect.objectContaining({ type: "attempt-failed", image: A, retryIn: 0 }));
  });

  test("whose transfer breaks again waits, and others have its slot meanwhile", async () => {
    const { pullAll, runtime, events } = bench(
      { [A]: [...fail("transfer", "transfer"), OK] },
      { concurrency: 1, policy: { attempts: 5, minDelay: 40, maxDelay: 40 } },
    );
    expect(classes(await pullAll(A, B, C))).toEqual(["ok", "ok", "ok"]);
    expect(runtime.pulls.map(({ name }) => name)).toEqual([A, B, C, A, A]);
    const waits = events.flatMap((event) => (event.type === "attempt-failed" ? [event.retryIn] : []));
    expect(waits).toEqual([0, 40]);
  });

  test("that is refused with its login is the only one that tries it, however many come at once", async () => {
    const { pullAll, runtime } = bench(
      { [A]: fail("wrong-password"), [B]: fail("wrong-password") },
      { concurrency: 8 },
    );
    const images = [A, B, "r.one/d:1", "r.one/e:1"].map((name) => wanted(name, { credential: credential() }));
    expect(classes(await pullAll(...images))).toEqual(["auth", "auth", "auth", "auth"]);
    expect(runtime.pulls.map(({ name }) => name)).toEqual([A]);
  });

  test.each(["server", "unknown"] as const)(
    "with a failure of class %s backs off and tries again",
    async (name) => {
      const { pullAll, runtime } = bench(
        { [A]: [...fail(name), OK] },
        { policy: { attempts: 3, minDelay: 30, maxDelay: 30 } },
      );
      expect(classes(await pullAll(A))).toEqual(["ok"]);
      const [first, second] = runtime.pulls;
      expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(29);
    },
  );

  test("never has more attempts than it may", async () => {
    for (const name of ["server", "transfer", "network", "runtime"] as const) {
      const { pullAll, attemptsOf } = bench({ [A]: fail(name) });
      expect(classes(await pullAll(A))).toEqual([name]);
      expect(`${name} ${attemptsOf(A)}`).toBe(`${name} 3`);
    }
  });

  test.each(["auth", "not-found", "disk"] as const)("that fails with %s is not tried again", async (name) => {
    const { pullAll, attemptsOf, events } = bench({ [A]: fail(name) });
    expect(classes(await pullAll(A))).toEqual([name]);
    expect(attemptsOf(A)).toBe(1);
    expect(events.at(-1)).not.toHaveProperty("retryIn");
  });

  test("waits for containerd, and not by the clock, when that went away", async () => {
    let asked = 0;
    const { pullAll, attemptsOf } = bench(
      { [A]: [...fail("runtime"), OK] },
      { untilReady: async () => void (asked += 1) },
    );
    expect(classes(await pullAll(A))).toEqual(["ok"]);
    expect([asked, attemptsOf(A)]).toEqual([1, 2]);
  });

  test("fails with what was said of a containerd that did not come back", async () => {
    const gone = new Interruption({ class: "runtime", message: "did not come back" });
    const { pullAll } = bench({ [A]: fail("runtime") }, { untilReady: () => Promise.reject(gone) });
    expect(await pullAll(A)).toEqual([
      { ok: false, failure: { class: "runtime", message: "did not come back" } },
    ]);
  });

  test("is not begun where something that must hold does not", async () => {
    const full = new Interruption({ class: "disk", message: "too little free" });
    const { pullAll, runtime } = bench({}, { admit: () => Promise.reject(full) });
    expect(await pullAll(A)).toEqual([{ ok: false, failure: { class: "disk", message: "too little free" } }]);
    expect(runtime.pulls).toEqual([]);
  });

  test("is pulled with its credentials, and without any when it has none", async () => {
    const login = credential();
    const { pullAll, runtime } = bench({});
    await pullAll(wanted(A, { credential: login }), B);
    expect(runtime.pulls[0]?.options.credential).toBe(login);
    expect(runtime.pulls[1]?.options).not.toHaveProperty("credential");
  });

  test("whose pull is a bug of ours is no failed image: the bug comes out", async () => {
    const broken = { pull: () => Promise.reject(new TypeError("x is not a function")) };
    await expect(bench({}, { runtime: broken }).pullAll(A)).rejects.toThrow("x is not a function");
  });
});

describe("the time of an image", () => {
  test("is shared by its attempts", async () => {
    const { pullAll, runtime } = bench(
      { [A]: [...fail("server"), OK] },
      { policy: { attempts: 3, minDelay: 30, maxDelay: 30 } },
    );
    await pullAll(wanted(A, { timeout: 1_000 }));
    const [first, second] = runtime.pulls.map(({ options }) => options.timeout);
    expect(first).toBeGreaterThan(950);
    expect(first).toBeLessThanOrEqual(1_000);
    expect(second).toBeLessThanOrEqual((first ?? 0) - 25);
  });

  test("does not run while it waits for a slot", async () => {
    const slow: Ending[] = [...fail("transfer"), OK];
    const { pullAll, runtime } = bench({ [A]: slow }, { concurrency: 1, now: tickingClock(400) });
    await pullAll(wanted(A, { timeout: 10_000 }), wanted(B, { timeout: 1_000 }));
    expect(runtime.pulls.find(({ name }) => name === B)?.options.timeout).toBeGreaterThan(500);
  });

  test("that is over is terminal, and says which setting it was", async () => {
    const { pullAll, attemptsOf } = bench({ [A]: ["timed-out"] });
    expect(await pullAll(wanted(A, { timeout: 90_000 }))).toEqual([
      { ok: false, failure: { class: "timeout", message: "not complete after 1m30s (image_timeout)" } },
    ]);
    expect(attemptsOf(A)).toBe(1);
  });

  test("is not spent on a wait that would outlast it", async () => {
    const { pullAll, attemptsOf } = bench({ [A]: fail("server") }, { policy: FOREVER });
    expect(classes(await pullAll(wanted(A, { timeout: 10_000 })))).toEqual(["server"]);
    expect(attemptsOf(A)).toBe(1);
  });
});

/** A clock on which each look takes that many milliseconds. */
function tickingClock(step: number): () => number {
  let now = 0;
  return () => (now += step);
}

describe("several images", () => {
  test("are pulled no more at once than there are slots", async () => {
    const names = Array.from({ length: 30 }, (_, n) => `r.${n % 3}x/a${n}:1`);
    const script = Object.fromEntries(
      names.map((name, n) => [name, n % 4 === 0 ? [...fail("transfer"), OK] : [OK]]),
    );
    const { pullAll, runtime } = bench(script, { concurrency: 3 });
    expect(new Set(classes(await pullAll(...names)))).toEqual(new Set(["ok"]));
    expect(runtime.most()).toBe(3);
  });

  test("go on after one of them failed", async () => {
    const { pullAll } = bench({ [A]: fail("not-found"), [C]: fail("server") }, { concurrency: 1 });
    expect(classes(await pullAll(A, B, C, "r.three/d:1"))).toEqual(["not-found", "ok", "server", "ok"]);
  });

  test("have the slot of one that waits: no wait holds one", async () => {
    const names = Array.from({ length: 8 }, (_, n) => `r.x/a${n}:1`);
    const script = Object.fromEntries(names.map((name) => [name, [...fail("server"), OK]]));
    const { pullAll, runtime } = bench(script, {
      concurrency: 1,
      policy: { attempts: 2, minDelay: 60, maxDelay: 60 },
    });
    await pullAll(...names);
    expect(runtime.pulls.slice(0, 8).map(({ name }) => name)).toEqual(names);
  });
});

describe("a registry", () => {
  test.each(["rate-limit", "network"] as const)(
    "that fails with %s is left alone by all its images, others go on",
    async (name) => {
      const policy = { attempts: 3, minDelay: 60, maxDelay: 60 };
      const { pullAll, runtime } = bench({ [A]: [...fail(name), OK] }, { concurrency: 1, policy });
      expect(classes(await pullAll(A, B, C))).toEqual(["ok", "ok", "ok"]);
      expect(runtime.pulls.map((pull) => pull.name).slice(0, 2)).toEqual([A, C]);
      const [closed, ...later] = runtime.pulls.filter((pull) => pull.name !== C).map(({ at }) => at);
      for (const at of later) expect(at - (closed ?? 0)).toBeGreaterThanOrEqual(59);
    },
  );

  test("that is dead has its rounds once, and then each image a single attempt", async () => {
    const names = Array.from({ length: 12 }, (_, n) => `r.dead/a${n}:1`);
    const script = Object.fromEntries(names.map((name) => [name, fail("network")]));
    const { pullAll, runtime, attemptsOf } = bench(script, { concurrency: 1 });
    expect(new Set(classes(await pullAll(...names)))).toEqual(new Set(["network"]));
    expect(runtime.pulls.length).toBeLessThanOrEqual(names.length + POLICY.attempts);
    for (const name of names) expect(attemptsOf(name)).toBeGreaterThanOrEqual(1);
  });

  test("that refused a password is not asked with it for another image", async () => {
    const login = credential();
    const { pullAll, attemptsOf } = bench({ [A]: fail("wrong-password") }, { concurrency: 1 });
    const results = await pullAll(
      wanted(A, { credential: login }),
      wanted(B, { credential: login }),
      wanted(C, { credential: login }),
      wanted("r.one/public:1"),
      wanted("r.one/other:1", { credential: credential("other", "pw") }),
    );
    expect(classes(results)).toEqual(["auth", "auth", "ok", "ok", "ok"]);
    expect(attemptsOf(B)).toBe(0);
    expect(results[1]).toMatchObject({ failure: { message: expect.stringContaining("lock the account") } });
  });

  test("that denies one repository is still asked for the others", async () => {
    const login = credential();
    const { pullAll } = bench({ [A]: fail("auth") }, { concurrency: 1 });
    expect(
      classes(await pullAll(wanted(A, { credential: login }), wanted(B, { credential: login }))),
    ).toEqual(["auth", "ok"]);
  });
});

describe("an attempt is ended", () => {
  const stopped = new Interruption({ class: "cancelled", message: "stopped by SIGTERM" });

  test("when the run is stopped, and so is every wait and queue", async () => {
    const stop = new AbortController();
    const { pullAll, runtime, events } = bench(
      { [A]: ["hang"], [B]: fail("server") },
      { concurrency: 2, signal: stop.signal, policy: { attempts: 3, minDelay: 60_000, maxDelay: 60_000 } },
    );
    const results = pullAll(A, wanted(B, { timeout: 600_000 }), wanted(C), "r.three/d:1", "r.four/e:1");
    await expect
      .poll(() => events.some((event) => event.type === "attempt-failed" && event.image === B))
      .toBe(true);
    stop.abort(stopped);
    const [a, b] = await results;
    expect([a, b]).toEqual([
      { ok: false, failure: { class: "cancelled", message: "stopped by SIGTERM" } },
      { ok: false, failure: { class: "cancelled", message: "stopped by SIGTERM" } },
    ]);
    expect(runtime.underWay()).toBe(0);
  });

  test("before it begins when the run was stopped already", async () => {
    const { pullAll, runtime } = bench({}, { signal: AbortSignal.abort(stopped) });
    expect(classes(await pullAll(A, B))).toEqual(["cancelled", "cancelled"]);
    expect(runtime.pulls).toEqual([]);
  });

  test("when its watcher sees it stall, and goes on at once", async () => {
    const stall = new Interruption({ class: "stall", message: "no byte came for 60.0s" });
    let watched = 0;
    let unwatched = 0;
    const { pullAll, events } = bench(
      { [A]: ["hang", OK] },
      {
        watch: (_image, abort) => {
          watched += 1;
          if (watched === 1) setImmediate(() => abort.abort(stall));
          return () => (unwatched += 1);
        },
      },
    );
    expect(classes(await pullAll(A))).toEqual(["ok"]);
    expect(events).toContainEqual({
      type: "attempt-failed",
      image: A,
      attempt: 1,
      failure: { class: "stall", message: "no byte came for 60.0s" },
      retryIn: 0,
    });
    expect([watched, unwatched]).toEqual([2, 2]);
  });
});
