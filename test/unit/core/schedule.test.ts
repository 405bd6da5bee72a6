import { describe, expect, test } from "vitest";
import { decide, type Decision } from "../../../src/core/decide.ts";
import type { Failure } from "../../../src/core/failure.ts";
import type { WantedImage } from "../../../src/core/plan.ts";
import {
  added,
  began,
  failed,
  limitOf,
  patienceOf,
  progressed,
  pulled,
  startSchedule,
  type Schedule,
  type ScheduleSettings,
} from "../../../src/core/schedule.ts";
import { credential, failure, wanted } from "../samples.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const DEFAULTS: ScheduleSettings = {
  retry: { attempts: 5, min_delay: SECOND, max_delay: 30 * SECOND },
  registry_timeout: 5 * MINUTE,
  stall_timeout: MINUTE,
  concurrency: "auto",
};
const [A, B, C] = ["r.one/a:1", "r.one/b:1", "r.two/c:1"] as const;
const NETWORK = failure("network", "connection refused");

/** A schedule under test, with the time at which it is looked at. */
function story(settings: Partial<ScheduleSettings> = {}) {
  let schedule: Schedule = startSchedule({ ...DEFAULTS, ...settings });
  let now = 0;
  const act = {
    add: (image: string | WantedImage, optional = false) => {
      const one = typeof image === "string" ? wanted(image, { timeout: 30 * MINUTE }) : image;
      schedule = added(schedule, one, optional);
      return act;
    },
    begin: (...images: readonly string[]) => {
      for (const image of images) schedule = began(schedule, image, now);
      return act;
    },
    fail: (image: string, how: Failure | Failure["class"], random = 1) => {
      // As a registry is told that answers 5xx where the manifest was asked for.
      const whole: Partial<Failure> = how === "server" ? { action: "registry-back-off" } : {};
      const told = typeof how === "string" ? { ...failure(how), ...whole } : how;
      schedule = failed(schedule, image, { failure: told, now, random });
      return act;
    },
    give: (image: string, what: "bytes" | "complete" = "bytes") => {
      schedule = progressed(schedule, image, what, now);
      return act;
    },
    pull: (image: string) => {
      schedule = pulled(schedule, image, now);
      return act;
    },
    wait: (ms: number) => {
      now += ms;
      return act;
    },
    /** One attempt that fails as soon as it has begun. */
    lose: (image: string, how: Failure | Failure["class"], random = 1) =>
      act.begin(image).fail(image, how, random),
    decide: (): Decision => decide(schedule, now),
    starts: (): readonly string[] => decide(schedule, now).start,
    /** Milliseconds until then. */
    again: (): number => decide(schedule, now).askAgainAt - now,
    left: (): string[] => [...schedule.pending.keys()],
    patience: (image: string): number => patienceOf(schedule, schedule.pending.get(image)!),
    limit: (): number => limitOf(schedule),
  };
  return act;
}
const list = (count: number, host = "r.one"): string[] =>
  Array.from({ length: count }, (_, n) => `${host}/i${n}:1`);
const withAll = (images: readonly (string | WantedImage)[], settings?: Partial<ScheduleSettings>) => {
  const act = story(settings);
  for (const image of images) act.add(image);
  return act;
};

describe("which image is next", () => {
  test("is in the order of the list, as many as the limit has places for", () => {
    const images = list(20);
    const act = withAll(images);
    expect(act.starts()).toEqual(images.slice(0, 16));
    act.begin(...act.starts());
    expect(act.starts()).toEqual([]);
    act.pull(images[3]!);
    expect(act.starts()).toEqual([images[16]]);
  });

  test("a due retry goes before images that are not begun", () => {
    const act = withAll([A, B, "r.one/d:1"], { concurrency: 1 }).lose(A, "transfer");
    expect(act.starts()).toEqual([A]);
    act.lose(A, "transfer");
    expect(act.starts()).toEqual([B]);
    act
      .begin(B)
      .give(B)
      .wait(3 * SECOND)
      .pull(B);
    expect(act.starts()).toEqual([A]);
    expect(withAll([A, B], { concurrency: 1 }).lose(B, "transfer").starts()).toEqual([B]);
  });

  test("no registry fills all places while another waits", () => {
    const images = [...list(20, "r.dead"), ...list(20, "r.good")];
    const starts = withAll(images).starts();
    expect(starts.filter((name) => name.startsWith("r.good"))).toHaveLength(8);
  });
});

describe("an image's own failures", () => {
  test.each(["unknown", "transfer", "runtime"] as const)("are no more than its attempts: %s", (how) => {
    const act = withAll([A]);
    for (let n = 1; n < 5; n += 1) expect(act.wait(MINUTE).lose(A, how).left()).toEqual([A]);
    expect(act.wait(MINUTE).lose(A, how).left()).toEqual([]);
  });

  test.each(["auth", "not-found", "disk", "platform"] as const)("end it at once: %s", (how) => {
    expect(withAll([A]).lose(A, how).left()).toEqual([]);
  });

  test("are retried at once when a transfer broke or containerd was away, else after a back-off", () => {
    expect(withAll([A]).lose(A, "transfer").starts()).toEqual([A]);
    expect(withAll([A]).lose(A, "runtime").lose(A, "runtime").starts()).toEqual([A]);
    const act = withAll([A]).lose(A, "unknown");
    expect([act.starts(), act.again()]).toEqual([[], SECOND]);
    expect(act.wait(SECOND).lose(A, "unknown").again()).toBe(2 * SECOND);
  });

  test("that may pass once give it one further attempt, late", () => {
    const rare: Failure = { ...failure("not-found"), action: "once-more" };
    const act = withAll([A]).lose(A, rare);
    expect([act.starts(), act.again()]).toEqual([[], 30 * SECOND]);
    act.wait(30 * SECOND);
    expect(act.starts()).toEqual([A]);
    expect(act.lose(A, rare).left()).toEqual([]);
  });

  test("take of its time what they took, with the delays, and no wait for a turn", () => {
    const act = withAll([wanted(A, { timeout: 10 * SECOND }), B], { concurrency: 1 });
    act
      .wait(MINUTE)
      .begin(A)
      .wait(4 * SECOND)
      .fail(A, "unknown");
    act.begin(B).give(B).wait(MINUTE).pull(B);
    expect(act.starts()).toEqual([A]);
    // 4 s of an attempt, and 1 s of delay.
    act.begin(A);
    expect(act.again()).toBe(5 * SECOND);
    act.wait(5 * SECOND);
    expect(act.decide().end).toEqual([
      { name: A, failure: { class: "timeout", message: "not complete after 10.0s (image_timeout)" } },
    ]);
  });

  test("do not end its time before that, also where bytes come", () => {
    const act = withAll([wanted(A, { timeout: 10 * SECOND })])
      .begin(A)
      .give(A)
      .wait(10 * SECOND - 1);
    expect([act.decide().end, act.again()]).toEqual([[], 1]);
    expect(act.wait(1).decide().end).toMatchObject([{ name: A, failure: { class: "timeout" } }]);
  });

  test("are not followed by a delay that outlasts its time", () => {
    expect(
      withAll([wanted(A, { timeout: SECOND })])
        .lose(A, "unknown")
        .left(),
    ).toEqual([]);
  });
});

test("nothing changes by what is reported of an image that is not pending, or of which no attempt runs", () => {
  const schedule = added(startSchedule(DEFAULTS), wanted(A), false);
  const how = { failure: NETWORK, now: 0, random: 1 };
  expect([
    began(schedule, B, 0),
    progressed(schedule, A, "bytes", 0),
    progressed(schedule, B, "bytes", 0),
    pulled(schedule, B, 0),
    failed(schedule, A, how),
    failed(schedule, B, how),
  ]).toEqual(Array.from({ length: 6 }, () => schedule));
});

describe("a registry that gives nothing", () => {
  test.each(["network", "server", "rate-limit", "stall"] as const)(
    "is asked by one image at a time, with back-off, and costs none an attempt: %s",
    (how) => {
      const images = list(6);
      const act = withAll(images);
      act.begin(...images);
      for (const image of images) act.fail(image, how);
      for (let round = 0; round < 8; round += 1) {
        expect(act.starts()).toEqual([]);
        act.wait(act.again());
        expect(act.starts()).toHaveLength(1);
        act.lose(act.starts()[0]!, how);
      }
      expect(act.left()).toEqual(images);
    },
  );

  test("is asked by each of its images in turn, so that one that is broken does not speak for all", () => {
    const act = withAll([A, B, "r.one/d:1"], { concurrency: 1 }).lose(A, "server");
    const asked = [1, 2, 3].map(() => {
      act.wait(30 * SECOND);
      const [next] = act.starts();
      act.lose(next!, "server");
      return next;
    });
    expect(asked).toEqual([B, "r.one/d:1", A]);
  });

  test("is asked no more while one of its images is asking", () => {
    const act = withAll([A, B]).lose(A, NETWORK).wait(MINUTE).begin(B).wait(MINUTE);
    expect(act.starts()).toEqual([]);
  });

  test("may be asked by one image beside those that had bytes before, or are only unpacked", () => {
    const [D, E] = ["r.one/d:1", "r.one/e:1"];
    const act = withAll([A, B, D, E]).begin(A).give(A).wait(SECOND).lose(B, NETWORK).wait(MINUTE);
    expect(act.starts()).toEqual([D]);
    act.begin(D).give(D, "complete");
    expect(act.starts()).toEqual([E]);
  });

  test("gives its images up together, with one reason, in one moment", () => {
    const act = withAll([A, B, C, "r.one/d:1"]).begin(A, B).fail(A, NETWORK).fail(B, NETWORK);
    act
      .wait(SECOND)
      .begin(A)
      .wait(5 * MINUTE - SECOND - 1);
    expect([act.decide().giveUp, act.decide().end, act.again()]).toEqual([[], [], 1]);
    act.wait(1);
    const why: Failure = {
      class: "network",
      message: "r.one gave nothing for 5m00s (registry_timeout): connection refused",
    };
    expect(act.decide().giveUp).toEqual([
      { name: B, failure: why },
      { name: "r.one/d:1", failure: why },
    ]);
    expect(act.decide().end).toEqual([{ name: A, failure: why }]);
    expect(act.starts()).toEqual([C]);
    // What is ended then does not change the reason.
    act.fail(A, why);
    expect(act.decide().giveUp.map((each) => each.failure)).toEqual([why, why, why]);
  });

  test("is well again with any byte, and all its images may ask", () => {
    const act = withAll([A, B, "r.one/d:1"])
      .lose(A, NETWORK)
      .wait(4 * MINUTE)
      .begin(B)
      .give(B);
    expect(act.starts()).toEqual([A, "r.one/d:1"]);
    act.wait(4 * MINUTE);
    expect(act.decide().giveUp).toEqual([]);
  });

  test("did not give what came no later than an attempt began", () => {
    const act = withAll([A, B, "r.one/d:1"]).begin(A).pull(A).lose(B, NETWORK);
    expect(act.starts()).toEqual([]);
  });

  test("is not one that answered late with an error of its own", () => {
    const act = withAll([A, B]).lose(A, { ...failure("stall"), action: "back-off" });
    expect(act.starts()).toEqual([B]);
  });

  test.each(["auth", "not-found"] as const)("and then answers %s is there", (how) => {
    const act = withAll([A, B, "r.one/d:1"]).lose(A, NETWORK).wait(MINUTE).lose(B, how);
    expect(act.starts()).toEqual([A, "r.one/d:1"]);
  });

  test("to one image, while others have bytes, fails that image by its own attempts", () => {
    const act = withAll([A, B]).begin(B);
    for (let n = 0; n < 5; n += 1) act.wait(MINUTE).begin(A).wait(1).give(B).fail(A, "server");
    expect(act.left()).toEqual([B]);
  });

  test("ends no attempt that had bytes, or that is only unpacked", () => {
    const act = withAll([A, B, "r.one/d:1"]).begin(A, B).give(A).give(B, "complete").wait(SECOND);
    act
      .lose("r.one/d:1", NETWORK)
      .wait(SECOND)
      .begin("r.one/d:1")
      .wait(5 * MINUTE);
    expect(act.decide().end.map(({ name }) => name)).toEqual(["r.one/d:1"]);
  });

  test("is not given up where it was not asked for want of a place", () => {
    const act = withAll([A, B, C], { concurrency: 1 }).lose(A, NETWORK);
    act
      .begin(C)
      .give(C)
      .wait(10 * MINUTE);
    expect(act.decide().giveUp).toEqual([]);
    const beside = withAll([A, B, C], { concurrency: 2 }).begin(A).give(A).wait(SECOND).lose(B, NETWORK);
    beside
      .begin(C)
      .give(C)
      .wait(10 * MINUTE);
    expect(beside.decide().giveUp).toEqual([]);
    act
      .pull(C)
      .begin(B)
      .wait(4 * MINUTE);
    expect(act.decide().end).toEqual([]);
    expect(act.wait(MINUTE).decide().end).toHaveLength(1);
  });

  test("counts from when something was asked of it, not from the last byte long before", () => {
    const act = withAll([A, B])
      .begin(A)
      .give(A)
      .wait(20 * MINUTE)
      .lose(B, NETWORK);
    expect(act.decide().giveUp).toEqual([]);
  });

  test("is asked once more where a pause ends together with its time", () => {
    const act = withAll([A], { registry_timeout: SECOND }).lose(A, NETWORK).wait(SECOND);
    expect([act.decide().giveUp, act.starts()]).toEqual([[], [A]]);
    expect(act.lose(A, NETWORK).decide().giveUp).toHaveLength(1);
  });

  test("gives an attempt without a byte more time with each", () => {
    const act = withAll([A, B]);
    expect(act.patience(A)).toBe(MINUTE);
    act.begin(A, B).wait(MINUTE).fail(A, "stall").fail(B, "stall");
    // Both fell silent together.
    expect(act.patience(B)).toBe(2 * MINUTE);
    act
      .wait(MINUTE)
      .begin(A)
      .wait(2 * MINUTE)
      .fail(A, "stall");
    expect([act.patience(A), act.patience(B)]).toEqual([3 * MINUTE, 3 * MINUTE]);
  });

  test("gives more time to an image that was tried, and to others only after a silence", () => {
    const act = withAll([A, B]).wait(MINUTE).lose(A, NETWORK);
    expect([act.patience(A), act.patience(B)]).toEqual([2 * MINUTE, MINUTE]);
  });

  test("is not asked without a pause, however short the delays are", () => {
    const act = withAll([A], { retry: { attempts: 5, min_delay: 0, max_delay: 0 } });
    for (let n = 0; n < 3; n += 1) expect(act.lose(A, NETWORK).starts()).toEqual([A]);
    expect(act.lose(A, NETWORK).starts()).toEqual([]);
    expect(act.again()).toBe(SECOND);
  });
});

describe("a 429", () => {
  test("pauses its registry whatever else ends, and no other", () => {
    const act = withAll([A, B, C, "r.one/d:1"], { concurrency: 4 })
      .begin(A, B)
      .give(B)
      .fail(A, "rate-limit", 0);
    act.wait(SECOND).pull(B);
    expect(act.starts()).toEqual([C]);
    expect(act.wait(4 * SECOND).starts()).toEqual([A, C, "r.one/d:1"]);
  });

  test("costs no image an attempt while others have bytes", () => {
    const act = withAll([A, B], { concurrency: 4 }).begin(B);
    for (let n = 0; n < 9; n += 1) act.wait(MINUTE).begin(A).wait(1).give(B).fail(A, "rate-limit");
    expect(act.left()).toContain(A);
  });

  test("halves the number at once, if that is ours to choose; those that are refused together do so once", () => {
    const images = list(20);
    const act = withAll(images);
    act
      .begin(...images.slice(0, 16))
      .give(images[0]!)
      .wait(1);
    for (const image of images.slice(8, 16)) act.fail(image, "rate-limit");
    expect(act.limit()).toBe(8);
    // Eight are under way still.
    expect(act.starts()).toEqual([]);
    act.pull(images[0]!);
    expect(act.starts()).toHaveLength(1);
  });

  test("is forgotten one by one, with every round of pulls that goes well", () => {
    const images = list(200);
    const act = withAll(images)
      .begin(...images.slice(0, 2))
      .give(images[0]!)
      .fail(images[1]!, "rate-limit");
    const pullMany = (count: number): number => {
      for (const image of act.left().slice(0, count)) act.begin(image).pull(image);
      return act.limit();
    };
    expect([0, 7, 1, 8, 1].map(pullMany)).toEqual([8, 8, 9, 9, 10]);
    expect(act.wait(600 * SECOND).limit()).toBe(10);
    expect(pullMany(150)).toBe(16);
  });

  test.each([
    ["alone", []],
    ["alone at its registry", [C]],
  ])("of an image that asks %s pauses its registry, because fewer are not the answer", (_how, others) => {
    const act = withAll([A, ...others])
      .begin(...others)
      .lose(A, "rate-limit");
    expect([act.starts(), act.again()]).toEqual([[], 5 * SECOND]);
    expect(act.limit()).toBe(16);
  });

  test("of the last attempt that began before the number was lowered neither lowers it nor pauses", () => {
    const act = withAll([A, B, "r.one/d:1"]).begin(A, B, "r.one/d:1").wait(SECOND).pull("r.one/d:1");
    act.fail(A, "rate-limit").fail(B, "rate-limit");
    expect([act.limit(), act.starts()]).toEqual([8, [A, B]]);
    // These begin after it, if in the same moment.
    act.begin(A, B).fail(A, "rate-limit");
    expect(act.limit()).toBe(4);
    expect(withAll([A, B]).begin(A, B).fail(A, "rate-limit").pull(B).lose(A, "rate-limit").starts()).toEqual(
      [],
    );
  });
});

describe("a login", () => {
  const login = credential();
  const of = (name: string): WantedImage => wanted(name, { credential: login });
  const refused = (what: "login" | "repository"): Failure => ({ ...failure("auth"), refused: what });
  const D = "r.one/d:1";

  test("of which nothing is known is tried by one image at a time, and by all once it is taken", () => {
    const act = withAll([of(A), of(B), wanted("r.one/public:1"), of(C)]);
    expect(act.starts()).toEqual([A, C, "r.one/public:1"]);
    act.begin(A);
    expect(act.starts()).not.toContain(B);
    expect(act.give(A).starts()).toContain(B);
  });

  test("is tried beside another one of the same registry, and beside none", () => {
    const other = wanted(B, { credential: credential("other") });
    expect(withAll([wanted("r.one/public:1"), of(A), other, of(D)]).starts()).toEqual([
      "r.one/public:1",
      A,
      B,
    ]);
  });

  test("is not refused by other failures, nor where none was sent", () => {
    const again = "r.one/a:2";
    expect(
      withAll([of(A), of(again)])
        .lose(A, "not-found")
        .starts(),
    ).toEqual([again]);
    expect(
      withAll([wanted(A), of(again)])
        .lose(A, refused("login"))
        .starts(),
    ).toEqual([again]);
  });

  test("that is refused is not tried again, at this registry alone", () => {
    const act = withAll([of(A), of(B), of(C), wanted(D)]).lose(A, refused("login"));
    expect(act.decide().giveUp).toMatchObject([
      {
        name: B,
        failure: { class: "auth", message: expect.stringContaining("r.one refused these credentials") },
      },
    ]);
    expect(act.starts()).toEqual([C, D]);
  });

  test("that is refused for a repository is tried for one other, and no more", () => {
    const act = withAll([of(A), of("r.one/a:2"), of(B), of(D)]).lose(A, refused("repository"));
    expect(act.decide().giveUp.map(({ name }) => name)).toEqual(["r.one/a:2"]);
    expect(act.starts()).toEqual([B]);
    act.lose(B, refused("repository"));
    expect(act.decide().giveUp.map(({ name }) => name)).toEqual(["r.one/a:2", D]);
  });

  test.each(["pull", "give"] as const)("that was taken once is right: %s", (how) => {
    const act = withAll([of(A), of(B), of("r.one/e:1"), of(D)]).begin(A);
    act[how](A);
    // What is refused then is that repository.
    act.lose(B, refused("login")).lose("r.one/e:1", refused("repository"));
    expect([act.decide().giveUp, act.starts()]).toEqual([[], [D]]);
  });
});

describe("an image that is usable, and of which nobody asked for a newer one", () => {
  test("has two attempts within seconds when its registry gives nothing", () => {
    const act = story().add(A, true).lose(A, NETWORK);
    expect(act.again()).toBe(SECOND);
    act.wait(SECOND).lose(A, NETWORK);
    expect(act.left()).toEqual([]);
  });

  test("is not waited for longer than it takes to answer", () => {
    const act = story().add(A, true).begin(A);
    expect(act.again()).toBe(3 * SECOND);
    act.wait(3 * SECOND);
    expect(act.decide().end).toMatchObject([{ name: A, failure: { class: "stall" } }]);
  });

  test("may take its time where its registry gives bytes", () => {
    const act = story()
      .add(A, true)
      .add(B)
      .begin(A, B)
      .wait(SECOND)
      .give(B)
      .wait(9 * SECOND);
    expect(act.decide().end).toEqual([]);
    const own = story()
      .add(A, true)
      .begin(A)
      .wait(SECOND)
      .give(A)
      .wait(9 * SECOND);
    expect(own.decide().end).toEqual([]);
    const next = story().add(A, true).add(B).begin(B).wait(SECOND).pull(B).begin(A);
    expect(next.wait(9 * SECOND).decide().end).toEqual([]);
  });

  test("is given up with all others once their registry was asked twice in vain", () => {
    const act = story().add(B);
    for (const name of list(20)) act.add(name, true);
    act.begin(...act.starts()).wait(3 * SECOND);
    for (const { name, failure: why } of act.decide().end) act.fail(name, why);
    act.fail(B, NETWORK).wait(SECOND);
    const [prober] = act.starts();
    act
      .begin(prober!)
      .wait(3 * SECOND)
      .fail(prober!, "stall");
    act.decide().giveUp.forEach(({ name }) => expect(name).not.toBe(B));
    expect(act.decide().giveUp.length).toBeGreaterThanOrEqual(19);
  });

  test.each([
    [6 * SECOND, []],
    [6 * SECOND + 1, [A]],
    [MINUTE, [A]],
  ])("is given up at once where the next attempt is far away: %i ms", (delay, expected) => {
    const act = story({ retry: { attempts: 5, min_delay: delay, max_delay: delay } })
      .add(A, true)
      .add(B);
    act.lose(B, NETWORK);
    expect(act.decide().giveUp.map(({ name }) => name)).toEqual(expected);
  });
});
