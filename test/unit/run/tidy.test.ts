import { describe, expect, test } from "vitest";
import { pinName, pinRecord } from "../../../src/core/pins.ts";
import type { RunEvent } from "../../../src/core/events.ts";
import { unwantedPins } from "../../../src/core/plan.ts";
import { lookAtNode } from "../../../src/run/look.ts";
import { realClock } from "../../../src/run/clock.ts";
import { stopper } from "../../../src/run/stopper.ts";
import { tidy } from "../../../src/run/tidy.ts";
import { inMemoryContainerd, toolError } from "../containerd/in-memory.ts";
import { LINUX, served } from "../containerd/served-image.ts";
import { config, MACHINE } from "./bench.ts";
import { fakeClock } from "./fake-clock.ts";

const [ONE, TWO] = [served("one"), served("two")];

/** A node with two pins that nobody wants. */
async function untidy(pins = true) {
  const node = inMemoryContainerd();
  node.bring("r.one/a:1", ONE);
  for (const { target } of [ONE, TWO]) node.records.set(pinName(target), pinRecord(target));
  const events: RunEvent[] = [];
  const stop = stopper(new AbortController().signal, 3_600_000, realClock);
  const emit = (event: RunEvent): void => void events.push(event);
  const context = {
    config: config(),
    containerd: node.containerd,
    machine: MACHINE,
    clock: fakeClock(),
    emit,
    stop,
  };
  const seen = await lookAtNode(node.containerd, LINUX, []);
  const act = async (): Promise<void> => {
    using _stop = stop;
    await tidy(context, unwantedPins([], seen, { pins }));
  };
  return { node, stop, events, act };
}

describe("what is left over", () => {
  test("goes, pins first, and each pin is told by the names of its image", async () => {
    const { node, events, act } = await untidy();
    await act();
    expect(node.changes()).toEqual([
      `deleteRecord ${pinName(ONE.target)}`,
      `deleteRecord ${pinName(TWO.target)}`,
    ]);
    expect(events).toEqual([
      { type: "unpinned", name: "r.one/a:1" },
      { type: "unpinned", name: TWO.target.digest },
    ]);
  });

  test("that cannot be taken away is a warning, and the rest goes on", async () => {
    const { node, events, act } = await untidy();
    node.before("deleteRecord", () => {
      throw toolError("nobody knows");
    });
    await act();
    expect(events.map(({ type }) => type)).toEqual(["warning", "unpinned"]);
    expect(node.records.has(pinName(TWO.target))).toBe(false);
  });

  test("stays as it is after the run was stopped", async () => {
    const { node, stop, act } = await untidy();
    stop.diskFull("0B free");
    await act();
    expect(node.changes()).toEqual([]);
  });

  test("keeps its pins where the runtime ignores them", async () => {
    const { node, act } = await untidy(false);
    await act();
    expect(node.changes()).toEqual([]);
  });
});
