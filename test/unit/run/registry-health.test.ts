import { describe, expect, test } from "vitest";
import { registryHealth } from "../../../src/run/registry-health.ts";
import { credential, failure } from "../samples.ts";

const POLICY = { attempts: 3, minDelay: 1_000, maxDelay: 30_000 };
const ONE = "r.one";
const TWO = "r.two";

/** A registry's health with a clock that the test turns. */
function clinic() {
  let now = 1_000_000;
  const health = registryHealth(
    POLICY,
    () => now,
    () => 1,
  );
  return { health, pass: (ms: number) => void (now += ms) };
}

describe("a registry is closed", () => {
  test("by a failure that is the whole registry's, longer each round", () => {
    const { health, pass } = clinic();
    const waits = [1, 2, 3].map(() => {
      health.failed(ONE, failure("network"));
      const wait = health.waitFor(ONE);
      pass(wait);
      return wait;
    });
    expect(waits).toEqual([2_000, 4_000, 8_000]);
    expect(health.waitFor(ONE)).toBe(0);
  });

  test("at least five seconds when it limits its rate", () => {
    const { health } = clinic();
    const { health: lucky } = {
      health: registryHealth(
        POLICY,
        () => 0,
        () => 0,
      ),
    };
    health.failed(ONE, failure("rate-limit"));
    lucky.failed(ONE, failure("rate-limit"));
    expect([health.waitFor(ONE), lucky.waitFor(ONE)]).toEqual([5_000, 5_000]);
  });

  test("and no other registry with it", () => {
    const { health } = clinic();
    health.failed(ONE, failure("network"));
    expect(health.waitFor(TWO)).toBe(0);
  });

  test.each(["auth", "not-found", "server", "transfer", "stall", "tls", "disk", "unknown"] as const)(
    "not by %s, which may be one image's",
    (name) => {
      const { health } = clinic();
      expect(health.failed(ONE, failure(name))).toBe(false);
      expect(health.waitFor(ONE)).toBe(0);
    },
  );
});

describe("rounds", () => {
  test("are one for all that fail together", () => {
    const { health, pass } = clinic();
    for (let image = 0; image < 10; image += 1) health.failed(ONE, failure("network"));
    expect(health.waitFor(ONE)).toBe(2_000);
    pass(2_000);
    expect(health.failed(ONE, failure("network"))).toBe(false);
    expect(health.waitFor(ONE)).toBe(4_000);
  });

  test("are as many as there are attempts, and then further retries are pointless", () => {
    const { health, pass } = clinic();
    const exhausted = [1, 2, 3, 4, 5].map(() => {
      const answer = health.failed(ONE, failure("network"));
      pass(health.waitFor(ONE));
      return answer;
    });
    expect(exhausted).toEqual([false, false, true, true, true]);
    expect(health.waitFor(ONE)).toBe(0);
  });

  test("begin anew after a success, which also opens the registry", () => {
    const { health, pass } = clinic();
    health.failed(ONE, failure("network"));
    pass(2_000);
    health.failed(ONE, failure("network"));
    health.succeeded(ONE);
    expect(health.waitFor(ONE)).toBe(0);
    health.failed(ONE, failure("network"));
    expect(health.waitFor(ONE)).toBe(2_000);
  });
});

describe("credentials that were refused", () => {
  const login = credential();

  test("are known for exactly this registry and exactly them", () => {
    const { health } = clinic();
    health.refused(ONE, login);
    expect(health.hasRefused(ONE, credential())).toBe(true);
    expect(health.hasRefused(ONE, credential("robot", "other"))).toBe(false);
    expect(health.hasRefused(TWO, login)).toBe(false);
    expect(health.hasRefused(ONE)).toBe(false);
  });

  test("but were taken for another image are right, and it was that one repository", () => {
    const { health } = clinic();
    health.succeeded(ONE, login);
    health.refused(ONE, login);
    expect(health.hasRefused(ONE, login)).toBe(false);
  });

  test("and are taken later are right as well", () => {
    const { health } = clinic();
    health.refused(ONE, login);
    health.succeeded(ONE, login);
    expect(health.hasRefused(ONE, login)).toBe(false);
  });

  test("of an image without any are nothing to remember", () => {
    const { health } = clinic();
    health.refused(ONE);
    expect(health.hasRefused(ONE)).toBe(false);
  });
});
