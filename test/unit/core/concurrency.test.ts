import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  lowered,
  MOST,
  nextLevel,
  startLevel,
  trafficBetween,
  type Level,
  type Pace,
} from "../../../src/core/concurrency.ts";

const LOOK = 250;

/** How fast a node's images come: bytes a second of one pull and of all, and what one image costs the CPUs in seconds. */
interface Link {
  readonly each: number;
  readonly all: number;
  readonly cpu?: number;
  readonly queued?: boolean;
}

const idle = (more: Partial<Pace> = {}): Pace => ({
  at: 0,
  bytes: 0,
  steadyBytes: 0,
  steadyTime: 0,
  images: 0,
  busy: 0,
  full: false,
  queued: false,
  ...more,
});

/** A run with more images than it can finish, of 10 bytes each. */
function driven(level = startLevel("auto", false, 2)) {
  const levels: Level[] = [level];
  let pace = idle({ full: true });
  const now = (): Level => levels.at(-1) ?? level;
  return {
    levels,
    now,
    at: () => pace.at,
    refuse: (): void => void levels.push(lowered(now(), pace.at)),
    go: (seconds: number, link: Link): void => {
      for (let look = 0; look < (seconds * 1_000) / LOOK; look += 1) {
        const wanted = Math.min(now().images * link.each, link.all) * (LOOK / 1_000);
        const load = (wanted / 10) * (link.cpu ?? 0) * 1_000;
        const share = Math.min(1, LOOK / Math.max(load, 1));
        const bytes = pace.bytes + wanted * share;
        pace = {
          ...pace,
          at: pace.at + LOOK,
          bytes,
          steadyBytes: bytes,
          steadyTime: pace.steadyTime + now().images * LOOK,
          images: Math.floor(bytes / 10),
          busy: pace.busy + Math.min(LOOK, load),
          queued: link.queued ?? false,
        };
        levels.push(nextLevel(now(), pace));
      }
    },
  };
}

const images = (levels: readonly Level[]): number[] => levels.map((level) => level.images);

describe("a run starts with", () => {
  test.each([
    [false, 1, 4],
    [false, 2, 4],
    [false, 3, 6],
    [false, 64, 8],
    [true, 1, 4],
    [true, 64, 4],
  ])("behind a node-wide limit (%s) on %d CPUs: %d images at once", (limited, cpus, expected) => {
    expect(startLevel("auto", limited, cpus).images).toBe(expected);
  });

  test("the operator's number, whatever the machine", () => {
    expect(startLevel(11, true, 2).images).toBe(11);
  });
});

describe("more at once", () => {
  test("while each brings its own bytes, up to the bound within half a second", () => {
    const run = driven();
    run.go(0.5, { each: 2, all: Infinity });

    expect(run.now().images).toBe(MOST);
  });

  test("and no more than brings more: back after two seconds where the link is full already", () => {
    const run = driven();
    run.go(2.75, { each: 20, all: 40 });

    expect(run.now().images).toBe(8);
    expect(Math.max(...images(run.levels))).toBe(16);
  });

  test("is tried again after a rest, which grows", () => {
    const run = driven();
    run.go(120, { each: 20, all: 40 });

    const trials = run.levels.filter(({ images: now }, at) => now === 16 && run.levels[at - 1]?.images === 8);
    expect(trials.length).toBeGreaterThan(3);
    expect(trials.length).toBeLessThan(9);
  });

  test("once the link allows it", () => {
    const run = driven();
    run.go(20, { each: 20, all: 40 });
    run.go(60, { each: 20, all: 400 });

    expect(run.now().images).toBe(MOST);
  });

  test("never while containerd queues downloads", () => {
    const run = driven();
    run.go(30, { each: 2, all: Infinity, queued: true });

    expect(new Set(images(run.levels))).toEqual(new Set([4]));
  });

  test("and no more than the CPUs unpack", () => {
    const run = driven();
    run.go(30, { each: 20, all: Infinity, cpu: 1 });

    expect(run.now().images).toBe(4);
  });

  test("is given up when the CPUs become busy", () => {
    const run = driven();
    run.go(3, { each: 2, all: Infinity });
    run.go(300, { each: 20, all: Infinity, cpu: 1 });

    expect(run.now().images).toBeLessThan(MOST);
  });
});

describe("a registry that refuses", () => {
  test("ends a trial at once", () => {
    const run = driven();
    run.go(0.25, { each: 2, all: Infinity });
    expect(run.now().images).toBe(8);
    run.refuse();

    expect(run.now().images).toBe(4);
  });

  test("halves the number, down to one", () => {
    const run = driven();
    run.refuse();
    expect(run.now().images).toBe(2);
    run.refuse();
    run.refuse();
    expect(run.now().images).toBe(1);
    const last = run.now();
    expect(lowered(last, run.at())).toBe(last);
  });

  test("is asked for one more at a time from then on", () => {
    const run = driven();
    run.go(1, { each: 2, all: Infinity });
    run.refuse();
    const refused = run.levels.length;
    run.go(60, { each: 2, all: Infinity });

    const later = images(run.levels.slice(refused - 1));
    expect(later.every((now, at) => at === 0 || now - (later[at - 1] ?? 0) <= 1)).toBe(true);
    expect(run.now().images).toBe(MOST);
  });
});

test("a trial is not taken back for want of images", () => {
  const run = driven();
  run.go(0.25, { each: 2, all: Infinity });
  const last = idle({ bytes: 4, steadyBytes: 4, steadyTime: 4_000 });
  let level = run.now();
  for (let at = 1_000; at < 20_000; at += 250) level = nextLevel(level, { ...last, at });

  expect(level.images).toBe(8);
});

test("a number that is not in use is left alone", () => {
  let level = startLevel("auto", false, 2);
  for (let at = 250; at < 20_000; at += 250) level = nextLevel(level, idle({ at, bytes: at * at }));

  expect(level.images).toBe(4);
});

const anyPace = fc.record({
  ms: fc.integer({ min: 1, max: 5_000 }),
  bytes: fc.integer({ min: 0, max: 1e9 }),
  steady: fc.float({ min: 0, max: 1, noNaN: true }),
  downloads: fc.integer({ min: 0, max: 50 }),
  images: fc.integer({ min: 0, max: 20 }),
  busy: fc.float({ min: 0, max: 1, noNaN: true }),
  full: fc.boolean(),
  queued: fc.boolean(),
  refused: fc.boolean(),
});

test("whatever happens, it stays between one and the bound", () => {
  fc.assert(
    fc.property(fc.array(anyPace, { maxLength: 200 }), fc.integer({ min: 1, max: 64 }), (steps, cpus) => {
      let level = startLevel("auto", false, cpus);
      let pace = idle();
      for (const { ms, refused, busy, bytes, steady, downloads, images: more, ...rest } of steps) {
        pace = {
          ...rest,
          at: pace.at + ms,
          bytes: pace.bytes + bytes,
          steadyBytes: pace.steadyBytes + bytes * steady,
          steadyTime: pace.steadyTime + ms * downloads,
          images: pace.images + more,
          busy: pace.busy + busy * ms,
        };
        level = refused ? lowered(level, pace.at) : nextLevel(level, pace);
        expect(level.images).toBeGreaterThanOrEqual(1);
        expect(level.images).toBeLessThanOrEqual(MOST);
      }
    }),
  );
});

test("on any steady link it settles: most of the time on one number, which brings nearly all the link has", () => {
  const link = fc.record({ each: fc.integer({ min: 1, max: 50 }), all: fc.integer({ min: 1, max: 400 }) });
  fc.assert(
    fc.property(link, ({ each, all }) => {
      const run = driven();
      run.go(300, { each, all });
      const late = images(run.levels.slice(-800));
      const [most = []] = [...Map.groupBy(late, (now) => now).values()].toSorted(
        (a, b) => b.length - a.length,
      );
      expect(most.length / late.length).toBeGreaterThan(0.8);
      const best = Math.min(MOST * each, all);
      expect(Math.min((most[0] ?? 0) * each, all)).toBeGreaterThan(0.7 * best);
    }),
  );
});

test("what came between two looks: growth, what is new, and the rest of what is complete", () => {
  const before = [
    { ref: "layer-a", offset: 10, total: 100 },
    { ref: "layer-b", offset: 60, total: 80 },
    { ref: "layer-c", offset: 5, total: 50 },
  ];
  const now = [
    { ref: "layer-a", offset: 40, total: 100 },
    { ref: "layer-c", offset: 5, total: 50 },
    { ref: "layer-d", offset: 7, total: 9 },
  ];

  expect(trafficBetween(before, now, 500)).toEqual({
    bytes: 30 + 20 + 7,
    steadyBytes: 30,
    steadyTime: 500,
    together: 1,
  });
});
