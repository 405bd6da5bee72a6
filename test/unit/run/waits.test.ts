// Whole runs with default settings in virtual time, in which pulls take time.
import { describe, expect, test } from "vitest";
import { EXIT } from "../../../src/exit.ts";
import { gone, toolError } from "../containerd/in-memory.ts";
import { served } from "../containerd/served-image.ts";
import { wanted } from "../samples.ts";
import { bench, TEXTS } from "./bench.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const DEFAULTS = {
  concurrency: "auto",
  retry: { attempts: 5, min_delay: SECOND, max_delay: 30 * SECOND },
} as const;
const list = (count: number, host = "r.one"): string[] =>
  Array.from({ length: count }, (_, n) => `${host}/i${n}:1`);
const usual = (name: string) => wanted(name, { timeout: 30 * MINUTE });

/** A bench with a registry whose images take their time, once `how` lets them. */
function slowly(names: readonly string[], takes: number, how: (now: number) => void = () => {}) {
  const set = bench();
  const begun = set.clock.now();
  for (const name of names) {
    set.serve(served(name), name);
    const step = async (): Promise<void> => {
      how(set.clock.now() - begun);
      await set.clock.sleep(takes);
    };
    set.node.before(`pull ${name}`, ...Array.from({ length: 99 }, () => step));
  }
  return { ...set, seconds: () => (set.clock.now() - begun) / SECOND };
}

describe("a registry", () => {
  test("that refuses for 20 s and answers 503 until 45 s costs no image", async () => {
    const names = list(10);
    const { run, seconds } = slowly(names, 2 * SECOND, (now) => {
      if (now < 20 * SECOND) throw toolError(TEXTS.network);
      if (now < 45 * SECOND) throw toolError(TEXTS.server);
    });
    const { outcomes } = await run(names.map(usual), DEFAULTS);
    expect(new Set(Object.values(outcomes))).toEqual(new Set(["pulled"]));
    expect(seconds()).toBeLessThan(85);
  });

  test("that hangs costs a hundred images five minutes, and one reason", async () => {
    const { node, run, clock } = bench();
    const begun = clock.now();
    const names = list(100);
    for (const name of names) node.registry.set(name, "hangs");
    const { events, outcomes } = await run(names.map(usual), { ...DEFAULTS, concurrency: 8 });
    expect(new Set(Object.values(outcomes))).toEqual(new Set(["failed in pull: stall"]));
    expect((clock.now() - begun) / MINUTE).toBeLessThan(5.1);
    const why = events.flatMap((event) => (event.type === "image-failed" ? [event.failure.message] : []));
    expect(new Set(why).size).toBe(1);
  });

  test("that is away holds up no image that is usable", async () => {
    const present = list(80);
    const latest = Array.from({ length: 20 }, (_, n) => `r.one/l${n}:latest`);
    const { node, run, clock } = bench();
    for (const name of [...present, ...latest]) node.bring(name, served(name));
    for (const name of latest) node.registry.set(name, "hangs");
    const begun = clock.now();
    const { outcomes } = await run(
      [
        ...present.map(usual),
        ...latest.map((name) => ({ ...usual(name), pullPolicy: "implicit-Always" }) as const),
      ],
      DEFAULTS,
    );
    expect(Object.values(outcomes).filter((how) => how === "kept")).toHaveLength(20);
    expect(Object.values(outcomes).filter((how) => how === "present")).toHaveLength(80);
    expect((clock.now() - begun) / SECOND).toBeLessThan(10);
  });
});

test("a frozen containerd ends the run within ready_timeout and a minute, with its own code", async () => {
  const { node, run, clock } = bench();
  node.registry.set("r.one/a:1", "hangs");
  const frozen = async (): Promise<never> => {
    await clock.sleep(30 * SECOND);
    throw gone();
  };
  for (const call of ["downloads", "version"])
    node.before(call, () => {}, ...Array.from({ length: 999 }, () => frozen));
  const begun = clock.now();
  const { error } = await run([usual("r.one/a:1")], DEFAULTS);
  expect(error).toMatchObject({ exitCode: EXIT.runtimeNotReady });
  expect((clock.now() - begun) / SECOND).toBeLessThan(180);
});
