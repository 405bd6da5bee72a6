import { describe, expect, test } from "vitest";
import type { FailureClass } from "../../../src/core/failure.ts";
import type { WantedImage } from "../../../src/core/plan.ts";
import { RegistryHealth, type Visit } from "../../../src/run/registry-health.ts";
import { credential, failure, wanted } from "../samples.ts";

const POLICY = { attempts: 3, min_delay: 1_000, max_delay: 30_000 };
const ONE = "r.one";
const TWO = "r.two";
const LIVE = new AbortController().signal;
const login = credential();
const from = (host: string, image = "a", withLogin?: typeof login): WantedImage =>
  wanted(`${host}/${image}:1`, withLogin && { credential: withLogin });

/** Registries with a clock that only waiting and the test turn. */
function clinic(random = 1) {
  let now = 1_000_000;
  const health = new RegistryHealth(POLICY, {
    now: () => now,
    date: () => new Date(now),
    random: () => random,
    sleep: async (ms) => void (now += ms),
  });
  const enter = (image: WantedImage): Visit => {
    const visit = health.enter(image);
    if (visit === undefined) throw new Error(`${image.source.name} has to wait`);
    return visit;
  };
  return {
    health,
    enter,
    pass: (ms: number) => void (now += ms),
    /** A whole attempt. @returns whether the registry is exhausted */
    fail: (image: WantedImage, name: FailureClass, wrongPassword = false): boolean => {
      using visit = enter(image);
      return visit.failed({ ...failure(name), ...(wrongPassword && { refused: "login" }) });
    },
  };
}

/** Whether a promise is settled by what has happened so far. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol("pending");
  await new Promise<void>((resolve) => void setImmediate(resolve));
  return (await Promise.race([promise.catch(() => undefined), Promise.resolve(pending)])) !== pending;
}

describe("a registry is closed", () => {
  test("by a failure that is the whole registry's, longer each round", () => {
    const { health, fail, pass } = clinic();
    const waits = [1, 2, 3].map(() => {
      fail(from(ONE), "network");
      const wait = health.waitFor(ONE);
      pass(wait);
      return wait;
    });
    expect(waits).toEqual([1_000, 2_000, 4_000]);
    expect(health.waitFor(ONE)).toBe(0);
  });

  test("at least five seconds when it limits its rate", () => {
    for (const random of [0, 1]) {
      const { health, fail } = clinic(random);
      fail(from(ONE), "rate-limit");
      expect(health.waitFor(ONE)).toBe(5_000);
    }
  });

  test("to those who come meanwhile, who wait as long as it is, and not to those of another", async () => {
    const { health, fail } = clinic();
    fail(from(ONE), "network");
    expect([health.enter(from(ONE, "b")), health.waitFor(TWO)]).toEqual([undefined, 0]);
    await health.untilOpen(from(ONE, "b"), LIVE);
    expect(health.waitFor(ONE)).toBe(0);
    expect(health.enter(from(ONE, "b"))).toBeDefined();
  });

  test.each(["auth", "not-found", "server", "transfer", "stall", "tls", "disk", "unknown"] as const)(
    "not by %s, which may be one image's",
    (name) => {
      const { health, fail } = clinic();
      expect(fail(from(ONE), name)).toBe(false);
      expect(health.waitFor(ONE)).toBe(0);
    },
  );
});

describe("rounds", () => {
  test("are one for all that fail together", () => {
    const { health, enter, fail, pass } = clinic();
    const visits = ["a", "b", "c", "d"].map((image) => enter(from(ONE, image)));
    expect(visits.map((visit) => visit.failed(failure("network")))).toEqual([false, false, false, false]);
    expect(health.waitFor(ONE)).toBe(1_000);
    pass(1_000);
    expect(fail(from(ONE), "network")).toBe(false);
    expect(health.waitFor(ONE)).toBe(2_000);
  });

  test("are as many as there are attempts, and then further retries are pointless", () => {
    const { health, enter, fail, pass } = clinic();
    const exhausted = [1, 2, 3, 4, 5].map(() => {
      const answer = fail(from(ONE), "network");
      pass(health.waitFor(ONE));
      return answer;
    });
    expect(exhausted).toEqual([false, false, true, true, true]);
    expect(health.waitFor(ONE)).toBe(0);
    expect([enter(from(ONE)).exhausted, enter(from(TWO)).exhausted]).toEqual([true, false]);
  });

  test("begin anew after a success, which also opens the registry", () => {
    const { health, enter, fail, pass } = clinic();
    const other = enter(from(ONE, "b"));
    fail(from(ONE), "network");
    pass(1_000);
    fail(from(ONE), "network");
    other.succeeded();
    expect(health.waitFor(ONE)).toBe(0);
    fail(from(ONE), "network");
    expect(health.waitFor(ONE)).toBe(1_000);
  });
});

describe("a login that no registry has taken yet", () => {
  test("is tried by one image at a time", async () => {
    const { health, enter } = clinic();
    const first = enter(from(ONE, "a", login));
    const others = ["b", "c"].map((image) => health.untilOpen(from(ONE, image, login), LIVE));
    expect(await Promise.all(others.map(isSettled))).toEqual([false, false]);
    first.failed(failure("server"));
    first[Symbol.dispose]();
    await Promise.all(others);
    enter(from(ONE, "b", login));
    expect(health.enter(from(ONE, "c", login))).toBeUndefined();
  });

  test("does not hold up another login, another registry, or an image without one", () => {
    const { enter } = clinic();
    enter(from(ONE, "a", login));
    for (const image of [from(ONE, "b", credential("other")), from(TWO, "c", login), from(ONE, "d")])
      expect(enter(image).refused).toBe(false);
  });

  test("is free for all from the first bytes on, not only when the image is complete", async () => {
    const { health, enter } = clinic();
    const first = enter(from(ONE, "a", login));
    const second = health.untilOpen(from(ONE, "b", login), LIVE);
    first.answered();
    await second;
    expect([enter(from(ONE, "b", login)).refused, enter(from(ONE, "c", login)).refused]).toEqual([
      false,
      false,
    ]);
  });

  test("is not tried again once it was refused: those who wait are told so", async () => {
    const { health, enter, fail } = clinic();
    const waiting = from(ONE, "b", login);
    const first = enter(from(ONE, "a", login));
    const second = health.untilOpen(waiting, LIVE);
    first.failed({ ...failure("auth"), refused: "login" });
    first[Symbol.dispose]();
    await second;
    expect([enter(waiting).refused, enter(from(ONE, "c", login)).refused]).toEqual([true, true]);
    expect(enter(from(TWO, "c", login)).refused).toBe(false);
    expect(enter(from(ONE, "c", credential("robot", "other"))).refused).toBe(false);
    expect(fail(from(ONE, "d"), "auth", true)).toBe(false);
    expect(enter(from(ONE, "e")).refused).toBe(false);
  });

  test("is right when it was taken for another image: then it was that one repository", () => {
    const { enter, fail } = clinic();
    enter(from(ONE, "a", login)).succeeded();
    fail(from(ONE, "b", login), "auth", true);
    expect(enter(from(ONE, "c", login)).refused).toBe(false);
  });

  test("is waited for no longer than the run lasts", async () => {
    const { health, enter } = clinic();
    enter(from(ONE, "a", login));
    const stop = new AbortController();
    const waiting = health.untilOpen(from(ONE, "b", login), stop.signal);
    const late = waiting.then(() => health.untilOpen(from(ONE, "b", login), stop.signal));
    stop.abort(new Error("stopped"));
    await expect(waiting).rejects.toThrow("stopped");
    await expect(late).rejects.toThrow("stopped");
  });
});

describe("a registry that falls silent", () => {
  const hung = () => {
    const set = clinic();
    set.fail(from(ONE, "a"), "stall");
    set.fail(from(ONE, "b"), "stall");
    return set;
  };

  test("for two images in a row is asked by one at a time", async () => {
    const { health, enter } = hung();
    const alone = enter(from(ONE, "c"));
    const other = health.untilOpen(from(ONE, "d"), LIVE);
    expect(await isSettled(other)).toBe(false);
    expect(enter(from(TWO, "d")).exhausted).toBe(false);
    alone[Symbol.dispose]();
    await other;
    expect(health.enter(from(ONE, "d"))).toBeDefined();
  });

  test("twice for one image is asked for others as before", () => {
    const { enter, fail } = clinic();
    fail(from(ONE, "a"), "stall");
    fail(from(ONE, "a"), "stall");
    expect([enter(from(ONE, "b")), enter(from(ONE, "c"))]).toHaveLength(2);
  });

  test.each(["not-found", "server", "auth", "transfer"] as const)(
    "and answers with %s in between is not hung",
    (name) => {
      const { enter, fail } = clinic();
      fail(from(ONE, "a"), "stall");
      fail(from(ONE, "b"), name);
      fail(from(ONE, "c"), "stall");
      expect([enter(from(ONE, "d")), enter(from(ONE, "e"))]).toHaveLength(2);
    },
  );

  test("is asked by all again once it gave an image, but not at the first bytes, after which it may fall silent", async () => {
    const { health, enter } = hung();
    const alone = enter(from(ONE, "c"));
    const other = health.untilOpen(from(ONE, "d"), LIVE);
    alone.answered();
    expect(await isSettled(other)).toBe(false);
    alone.succeeded();
    await other;
    expect([enter(from(ONE, "d")), enter(from(ONE, "e"))]).toHaveLength(2);
  });

  test("has its rounds once, and then each image one attempt", () => {
    const { enter, fail } = hung();
    expect(["c", "a", "b", "c", "d"].map((image) => fail(from(ONE, image), "stall"))).toEqual([
      false,
      false,
      true,
      true,
      true,
    ]);
    expect(enter(from(ONE, "e")).exhausted).toBe(true);
  });

  test("for all that were under way has used none of its rounds", () => {
    const { enter } = clinic();
    const visits = ["a", "b", "c", "d", "e"].map((image) => enter(from(ONE, image)));
    expect(visits.map((visit) => visit.failed(failure("stall")))).toEqual(visits.map(() => false));
  });
});
