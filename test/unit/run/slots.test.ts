import { describe, expect, test } from "vitest";
import { startLevel } from "../../../src/core/concurrency.ts";
import type { RunEvent } from "../../../src/core/events.ts";
import { pullSlots } from "../../../src/run/slots.ts";
import { LINUX } from "../containerd/served-image.ts";
import { config } from "./bench.ts";
import { fakeClock } from "./fake-clock.ts";

function pulling(concurrency: number | "auto") {
  const clock = fakeClock();
  const events: RunEvent[] = [];
  const slots = pullSlots(
    {
      config: config({ concurrency }),
      clock,
      machine: { platform: LINUX, cpus: 2, busy: () => 0 },
      emit: (event) => void events.push(event),
    },
    startLevel(concurrency, false, 2),
  );
  let under = 0;
  let [bytes, time] = [0, 0];
  return {
    clock,
    slots,
    events,
    /** Pulls that never end. */
    ask: (count: number): void => {
      for (let each = 0; each < count; each += 1)
        void slots.take(() => {
          under += 1;
          return new Promise(() => {});
        });
    },
    underWay: () => under,
    /** Looks at downloads of which each brings ten bytes a look. */
    look: async (times: number, queued = false): Promise<void> => {
      for (let each = 0; each < times; each += 1) {
        await clock.sleep(250);
        bytes += under * 10;
        time += under * 250;
        slots.looked({ bytes, steadyBytes: bytes, steadyTime: time, queued });
      }
      // What begins now has begun.
      await clock.sleep(1);
    },
  };
}

describe("pulls at once", () => {
  test("grow while that brings more, and each step is told", async () => {
    const run = pulling("auto");
    run.ask(30);
    await run.look(1);
    expect(run.underWay()).toBe(8);
    await run.look(1);
    expect(run.underWay()).toBe(16);
    expect(run.events).toEqual([
      { type: "concurrency", images: 8, why: "to see whether more bring more" },
      { type: "concurrency", images: 16, why: "to see whether more bring more" },
    ]);
  });

  test("do not grow where nobody waits", async () => {
    const run = pulling("auto");
    run.ask(4);
    await run.look(40);
    expect(run.events).toEqual([]);
  });

  test("do not grow behind containerd's limit for the node", async () => {
    const run = pulling("auto");
    run.ask(30);
    await run.look(40, true);
    expect(run.underWay()).toBe(4);
  });

  test("are the operator's number, whatever is measured", async () => {
    const run = pulling(3);
    run.ask(30);
    await run.look(40);
    expect([run.underWay(), run.slots.refused(0), run.events]).toEqual([3, false, []]);
  });
});

describe("a 429", () => {
  test("makes them fewer, once for all that are refused together", async () => {
    const run = pulling("auto");
    const begun = run.clock.now() - 1;
    expect([run.slots.refused(begun), run.slots.refused(begun)]).toEqual([true, true]);
    run.ask(30);
    expect(run.underWay()).toBe(0);
    await run.clock.sleep(1);
    expect(run.underWay()).toBe(2);
    expect(run.events).toEqual([{ type: "concurrency", images: 2, why: "a registry answers 429" }]);
  });

  test("is not answered by fewer where there is only one", async () => {
    const run = pulling("auto");
    const answers: boolean[] = [];
    for (let each = 0; each < 3; each += 1) {
      answers.push(run.slots.refused(run.clock.now()));
      await run.clock.sleep(1_500);
    }
    expect(answers).toEqual([true, true, false]);
  });
});
