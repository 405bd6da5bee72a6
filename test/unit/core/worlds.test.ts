// Whole runs of the schedule in worlds made by chance: registries that are well, slow, away, limiting, hanging or refuse a
// login, and images of all sizes. No containerd, no clock: what happens next is the earliest event.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decide } from "../../../src/core/decide.ts";
import type { Failure } from "../../../src/core/failure.ts";
import {
  added,
  began,
  failed,
  limitOf,
  patienceOf,
  progressed,
  pulled,
  removed,
  startSchedule,
  type ScheduleSettings,
} from "../../../src/core/schedule.ts";
import { credential, failure, wanted } from "../samples.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

/** How a registry is. Times in milliseconds since the run began. */
type Kind =
  | { readonly is: "well" }
  /** One attempt of each image breaks in the middle. */
  | { readonly is: "breaking" }
  | { readonly is: "away"; readonly from: number; readonly until: number; readonly how: "network" | "server" }
  | { readonly is: "hanging"; readonly until: number }
  | { readonly is: "limiting"; readonly most: number }
  | { readonly is: "refusing"; readonly what: "login" | "repository" };

interface World {
  readonly registries: readonly Kind[];
  /** Milliseconds that each takes once it is served, and its registry. */
  readonly images: readonly { readonly of: number; readonly takes: number; readonly optional: boolean }[];
  readonly concurrency: number | "auto";
  readonly seed: number;
}

const forEver = 99 * 60 * MINUTE;
const kind: fc.Arbitrary<Kind> = fc.oneof(
  fc.constant<Kind>({ is: "well" }),
  fc.constant<Kind>({ is: "breaking" }),
  fc.record({
    is: fc.constant("away" as const),
    from: fc.integer({ min: 0, max: 20 * SECOND }),
    until: fc.oneof(fc.integer({ min: 21 * SECOND, max: 4 * MINUTE }), fc.constant(forEver)),
    how: fc.constantFrom("network" as const, "server" as const),
  }),
  fc.record({
    is: fc.constant("hanging" as const),
    until: fc.constantFrom(30 * SECOND, 2 * MINUTE, forEver),
  }),
  fc.record({ is: fc.constant("limiting" as const), most: fc.integer({ min: 1, max: 12 }) }),
  fc.record({
    is: fc.constant("refusing" as const),
    what: fc.constantFrom("login" as const, "repository" as const),
  }),
);
const world: fc.Arbitrary<World> = fc.record({
  registries: fc.array(kind, { minLength: 1, maxLength: 4 }),
  images: fc.array(
    fc.record({
      of: fc.nat({ max: 3 }),
      takes: fc.integer({ min: 10, max: 3 * MINUTE }),
      optional: fc.boolean(),
    }),
    { minLength: 1, maxLength: 40 },
  ),
  concurrency: fc.oneof(fc.constant("auto" as const), fc.constantFrom(1, 2, 8)),
  seed: fc.integer({ min: 1, max: 2 ** 30 }),
});

interface Ended {
  readonly at: number;
  /** Undefined when it was pulled. */
  readonly failure?: Failure;
  /** By the schedule, while no attempt of it was under way. */
  readonly givenUp: boolean;
}

/** What a run in a world came to. */
interface Told {
  readonly ends: ReadonlyMap<string, Ended>;
  /** Begun attempts, with the time. */
  readonly begins: readonly { readonly name: string; readonly at: number }[];
  /** By registry, when it gave bytes last before each moment at which images of it were given up. */
  readonly problems: readonly string[];
}

const settingsOf = ({ concurrency }: Pick<World, "concurrency">): ScheduleSettings => ({
  retry: { attempts: 5, min_delay: SECOND, max_delay: 30 * SECOND },
  registry_timeout: 5 * MINUTE,
  stall_timeout: MINUTE,
  concurrency,
});

const hostOf = (index: number): string => `r${index}.one`;

/** Lives through a world, event by event. */
function live({ registries, images, concurrency, seed }: World): Told {
  const settings = settingsOf({ concurrency });
  let [schedule, now, chance] = [startSchedule(settings), 0, seed];
  const random = (): number => (chance = (chance * 48_271) % 2_147_483_647) / 2_147_483_647;
  /** The earliest last. */
  const events: { at: number; act: () => void }[] = [];
  const at = (time: number, act: () => void): void => {
    let [from, to] = [0, events.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (events[middle]!.at > time) from = middle + 1;
      else to = middle;
    }
    events.splice(from, 0, { at: time, act });
  };

  const ends = new Map<string, Ended>();
  const begins: { name: string; at: number }[] = [];
  const problems: string[] = [];
  const gaveAt = new Map<string, number>();
  /** Ends an attempt that is under way. */
  const underWay = new Map<string, (why: Failure) => void>();
  const attempts = new Map<string, number>();
  const all = new Map(
    images.map(({ of, ...rest }, index) => {
      const registry = of % registries.length;
      const name = `${hostOf(registry)}/i${index}:1`;
      return [name, { ...rest, registry, kind: registries[registry]! }] as const;
    }),
  );

  const begin = (name: string): void => {
    const { kind: how, takes, registry } = all.get(name)!;
    const number = (attempts.get(name) ?? 0) + 1;
    const host = hostOf(registry);
    const patience = patienceOf(schedule, schedule.pending.get(name)!);
    attempts.set(name, number);
    begins.push({ name, at: now });
    schedule = began(schedule, name, now);
    let isOver = false;
    const over = (why?: Failure): void => {
      if (isOver) return;
      isOver = true;
      underWay.delete(name);
      if (why === undefined) gaveAt.set(host, now);
      schedule =
        why === undefined
          ? pulled(schedule, name, now)
          : failed(schedule, name, { failure: why, now, random: random() });
      if (!schedule.pending.has(name))
        ends.set(name, { at: now, ...(why !== undefined && { failure: why }), givenUp: false });
    };
    const bytes = (): void => {
      if (isOver) return;
      gaveAt.set(host, now);
      schedule = progressed(schedule, name, "bytes", now);
    };
    const serve = (from: number): void => {
      if (how.is === "away" && from < how.from && how.from < from + takes)
        at(how.from, () => over(failure("transfer")));
      for (let t = 0; t < takes; t += 5 * SECOND) at(from + t + 1, bytes);
      if (how.is === "breaking" && number === 1) at(from + takes / 2 + 2, () => over(failure("transfer")));
      else at(from + takes + 2, () => over());
    };
    underWay.set(name, over);
    const others = [...underWay.keys()].filter((other) => other.startsWith(`${host}/`)).length;
    if (how.is === "away" && now >= how.from && now < how.until)
      at(now + random() * 5 * SECOND, () => over({ ...failure(how.how), action: "registry-back-off" }));
    else if (how.is === "hanging" && now < how.until) at(now + patience, () => over(failure("stall")));
    else if (how.is === "limiting" && others > how.most) at(now + 5, () => over(failure("rate-limit")));
    else if (how.is === "refusing") at(now + 20, () => over({ ...failure("auth"), refused: how.what }));
    else serve(now);
  };

  const turn = (): number => {
    const { start, end, giveUp, askAgainAt } = decide(schedule, now);
    for (const { name, failure: why } of giveUp) {
      const one = all.get(name)!;
      const quiet = now - (gaveAt.get(hostOf(one.registry)) ?? Number.NEGATIVE_INFINITY);
      if (why.class !== "auth" && !one.optional && quiet < settings.registry_timeout)
        problems.push(`${name} given up ${quiet} ms after its registry gave bytes`);
      schedule = removed(schedule, name);
      ends.set(name, { at: now, failure: why, givenUp: true });
    }
    for (const { name, failure: why } of end) underWay.get(name)?.(why);
    for (const name of start) begin(name);
    if (underWay.size > limitOf(schedule) && start.length > 0)
      problems.push(`${underWay.size} at once, where ${limitOf(schedule)} may be`);
    return start.length + end.length + giveUp.length > 0 ? now : askAgainAt;
  };

  for (const [name, { optional, kind: how }] of all) {
    const login = how.is === "refusing" ? { credential: credential() } : {};
    schedule = added(schedule, wanted(name, { timeout: 30 * MINUTE, ...login }), optional);
  }
  for (let turns = 0; ends.size < all.size; turns += 1) {
    const again = turn();
    if (ends.size === all.size) break;
    const next = events.at(-1);
    const time = Math.min(again, next?.at ?? Number.POSITIVE_INFINITY);
    if (time === Number.POSITIVE_INFINITY || turns > 50_000) {
      problems.push(`nothing happens any more at ${now}, after ${turns} turns`);
      break;
    }
    now = Math.max(now, time);
    while (events.length > 0 && events.at(-1)!.at <= now) events.pop()!.act();
  }
  return { ends, begins, problems };
}

const kindOf = ({ registries }: World, name: string): Kind => registries[Number(/\d+/u.exec(name)?.[0])]!;
/** Whether every image of such a registry comes in the end. */
const comes = (how: Kind, optional: boolean): boolean => {
  if (how.is === "refusing") return false;
  if (how.is === "away" || how.is === "hanging") return how.until !== forEver && !optional;
  return how.is !== "limiting" || !optional;
};
/** fast-check's own runs, all from one seed, so that a test that fails does so again. */
const check = (property: (given: World) => void, numRuns = 500): void =>
  fc.assert(fc.property(world, property), { numRuns, seed: 7 });

describe("in every world", () => {
  test("each image ends, pulled or with a reason, and what a registry gives in the end is pulled", () => {
    check((given) => {
      const { ends, problems } = live(given);
      expect(problems).toEqual([]);
      for (const [name, { failure: why }] of ends) {
        const optional = given.images[Number(/i(?<index>\d+)/u.exec(name)?.[1])]?.optional ?? false;
        const how = kindOf(given, name);
        if (comes(how, optional)) expect([name, how.is, why]).toEqual([name, how.is, undefined]);
        else if (!optional) expect([how.is, why?.message]).not.toContain("");
      }
    });
  });

  test("a login that is wrong is tried once, or twice where a repository was refused", () => {
    check((given) => {
      const { begins } = live(given);
      given.registries.forEach((how, index) => {
        if (how.is !== "refusing") return;
        const tries = begins.filter(({ name }) => name.startsWith(`${hostOf(index)}/`)).length;
        expect(tries).toBeLessThanOrEqual(how.what === "login" ? 1 : 2);
      });
    });
  });

  test("a registry that is away for good costs registry_timeout in all, and its images end together", () => {
    check((given) => {
      // With places for all: want of one is not a registry's silence.
      const { ends, begins } = live({ ...given, concurrency: 64 });
      given.registries.forEach((how, index) => {
        if (comes(how, false) || how.is === "refusing" || (how.is === "away" && how.from > 0)) return;
        const own = (name: string): boolean => name.startsWith(`${hostOf(index)}/`);
        const first = Math.min(...begins.filter(({ name }) => own(name)).map(({ at }) => at));
        const last = Math.max(...[...ends].filter(([name]) => own(name)).map(([, { at }]) => at));
        expect(last).toBeLessThanOrEqual(first + 5 * MINUTE);
        const together = [...ends].flatMap(([name, { at, failure: why }]) =>
          own(name) && why?.message.includes("gave nothing") === true ? [at] : [],
        );
        expect(new Set(together).size).toBeLessThanOrEqual(1);
      });
    });
  });

  test("the same seed gives the same story", () => {
    check((given) => {
      expect(live(given)).toEqual(live(given));
    }, 100);
  });
});

test("a dead registry delays no image of another one", () => {
  const good = Array.from({ length: 40 }, () => ({ of: 0, takes: 10 * SECOND, optional: false }));
  const dead = Array.from({ length: 40 }, () => ({ of: 1, takes: 1, optional: false }));
  const lastGood = (images: World["images"], how: Kind): number => {
    const { ends } = live({ registries: [{ is: "well" }, how], images, concurrency: "auto", seed: 3 });
    return Math.max(...[...ends].flatMap(([name, { at }]) => (name.startsWith("r0") ? [at] : [])));
  };
  const alone = lastGood(good, { is: "well" });
  const away: Kind = { is: "away", from: 0, until: forEver, how: "network" };
  expect(lastGood([...dead, ...good], away)).toBeLessThanOrEqual(alone + 10 * SECOND);
  // Each of its attempts has a place for a minute, but never more than half of them.
  expect(lastGood([...dead, ...good], { is: "hanging", until: forEver })).toBeLessThanOrEqual(2 * alone);
});

test("a rerun without any registry, of images that are all usable, is over in ten seconds", () => {
  for (const how of [
    { is: "away", from: 0, until: forEver, how: "network" },
    { is: "hanging", until: forEver },
  ] as const) {
    const images = Array.from({ length: 20 }, () => ({ of: 0, takes: 1, optional: true }));
    const { ends } = live({ registries: [how], images, concurrency: "auto", seed: 5 });
    expect(Math.max(...ends.values().map(({ at }) => at))).toBeLessThan(10 * SECOND);
  }
});

test("of a hundred images of a registry that hangs, and of one that answers late, all end in time", () => {
  const images = Array.from({ length: 100 }, () => ({ of: 0, takes: 5 * SECOND, optional: false }));
  const of = (until: number) =>
    live({ registries: [{ is: "hanging", until }], images, concurrency: 8, seed: 5 });
  const hung = of(forEver);
  expect(new Set(hung.ends.values().map(({ at }) => at))).toEqual(new Set([5 * MINUTE]));
  expect([...of(90 * SECOND).ends.values()].filter(({ failure: why }) => why !== undefined)).toEqual([]);
});
