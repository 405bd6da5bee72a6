import { describe, expect, test } from "vitest";
import { pinName, pinRecord } from "../../../src/core/pins.ts";
import type { WantedImage } from "../../../src/core/plan.ts";
import type { RunEvent } from "../../../src/core/events.ts";
import { lookAtNode } from "../../../src/run/look.ts";
import { placer } from "../../../src/run/place.ts";
import { stopper } from "../../../src/run/stopper.ts";
import { inMemoryContainerd, toolError, type InMemory } from "../containerd/in-memory.ts";
import { ARM, LINUX, served } from "../containerd/served-image.ts";
import { reference, wanted } from "../samples.ts";
import { config, MACHINE, TEXTS } from "./bench.ts";
import { fakeClock } from "./fake-clock.ts";

const A = "r.one/a:1";
const Z = "x.y/z:1";
const ONE = served("one");
const image = wanted(A, { furtherNames: [reference(Z)] });
const fails = (text: string) => (): never => {
  throw toolError(text);
};

async function placed(node: InMemory, wish: WantedImage = image, pins = true) {
  const { results, events } = await placedTogether(node, [wish], pins);
  return { result: results[0], events };
}

function placing(node: InMemory, pins = true) {
  const events: RunEvent[] = [];
  const stop = stopper(new AbortController().signal, 3_600_000, fakeClock());
  const context = {
    config: config(),
    containerd: node.containerd,
    machine: MACHINE,
    clock: fakeClock(),
    emit: (event: RunEvent) => void events.push(event),
    stop,
  };
  return { place: placer(context, pins), events };
}

async function placedTogether(node: InMemory, wishes: readonly WantedImage[], pins = true) {
  const seen = await lookAtNode(
    node.containerd,
    LINUX,
    wishes.map((wish) => wish.source.name),
  );
  const { place, events } = placing(node, pins);
  const results: readonly unknown[] = await Promise.all(wishes.map((wish) => place(wish, seen)));
  return { results, events };
}
const withOne = (): InMemory => {
  const node = inMemoryContainerd();
  node.bring(A, ONE);
  return node;
};

describe("an image on the node", () => {
  test("is pinned first, and then named by tag and digest in one call", async () => {
    const node = withOne();
    const { result, events } = await placed(node);
    expect(result).toEqual({ is: "usable", target: ONE.target, id: ONE.id });
    expect(node.changes()).toEqual([
      `saveRecord ${pinName(ONE.target)}`,
      `tag r.one/a@${ONE.target.digest} ${Z},x.y/z@${ONE.target.digest}`,
    ]);
    expect(events.map(({ type }) => type)).toEqual(["pinned", "tagged", "tagged"]);
  });

  test("that lacks its name by digest alone gets it without a tool", async () => {
    const node = withOne();
    node.records.delete(`r.one/a@${ONE.target.digest}`);
    await placed(node, wanted(A));
    expect(node.changes()).toEqual([
      `saveRecord ${pinName(ONE.target)}`,
      `saveRecord r.one/a@${ONE.target.digest}`,
    ]);
  });

  test("that is damaged, and whose parts a container uses, is reported as such", async () => {
    const node = withOne();
    const seen = await lookAtNode(node.containerd, LINUX, [A]);
    const damage = { what: "a file is empty", mend: "held", blobs: [], snapshots: [] } as const;
    const { place } = placing(node);
    expect(await place(image, { ...seen, damage: new Map([[ONE.target.digest, damage]]) })).toEqual({
      step: "pull",
      failure: { class: "damaged", message: "it was pulled, but is damaged: a file is empty" },
    });
  });

  test("that is pinned and named already is left alone", async () => {
    const node = withOne();
    for (const name of [Z, `x.y/z@${ONE.target.digest}`]) node.record(name, ONE);
    node.records.set(pinName(ONE.target), pinRecord(ONE.target));
    expect((await placed(node)).events).toEqual([]);
    expect(node.changes()).toEqual([]);
  });

  test("gets no pin from a runtime that ignores it", async () => {
    const node = withOne();
    await placed(node, image, false);
    expect(node.changes().map((call) => call.split(" ", 1)[0])).toEqual(["tag"]);
  });
});

test.each<[string, (node: InMemory) => void, object]>([
  [
    "whose name is gone",
    () => {},
    {
      class: "unknown",
      message: "it was pulled, but is not on this node",
      next: expect.stringContaining("deletes images"),
    },
  ],
  [
    "that is damaged",
    (node) => (node.bring(A, ONE), node.blobs.delete(ONE.id)),
    { class: "unknown", message: expect.stringContaining("its config") },
  ],
  [
    "for another platform",
    (node) => node.bring(A, served("arm", { platform: ARM })),
    { class: "platform", message: expect.stringContaining("linux/arm64") },
  ],
  [
    "that is no image",
    (node) => node.bring(A, served("chart", { artifact: true })),
    { class: "not-an-image" },
  ],
])("an image %s fails as a pull, and gets nothing", async (_what, arrange, failure) => {
  const node = inMemoryContainerd();
  arrange(node);
  const { result } = await placed(node);
  expect(result).toMatchObject({ step: "pull", failure });
  expect(node.changes()).toEqual([]);
});

test.each([
  ["saveRecord", "pin"],
  ["tag", "tag"],
] as const)("a %s that fails is the step %s of its image", async (call, step) => {
  const node = withOne();
  node.before(call, fails(TEXTS.disk));
  const { result, events } = await placed(node);
  expect(result).toMatchObject({ step, failure: { class: "disk" } });
  expect(events.map(({ type }) => type)).toEqual(step === "pin" ? [] : ["pinned"]);
});

test("a further name by a digest that it does not have is refused before anything is done", async () => {
  const node = withOne();
  const { result } = await placed(
    node,
    wanted(A, { furtherNames: [reference(`x.y/z@${served("other").target.digest}`)] }),
  );
  expect(result).toMatchObject({
    step: "tag",
    failure: { class: "reference", next: expect.stringContaining("retagAs") },
  });
  expect(node.changes()).toEqual([]);
});

describe("images with one digest that are placed together", () => {
  const NAMES = ["r.one/a:1", "r.one/a:2", "r.one/b:1"];
  const images = NAMES.map((name) => wanted(name));
  const withAll = (): InMemory => {
    const node = withOne();
    for (const name of NAMES) node.record(name, ONE);
    node.records.delete(`r.one/a@${ONE.target.digest}`);
    return node;
  };

  test("share one pin and one call of ctr, which makes no name twice", async () => {
    const node = withAll();
    await placedTogether(node, images);
    const { digest } = ONE.target;
    expect(node.changes()).toEqual([
      `saveRecord ${pinName(ONE.target)}`,
      `saveRecord r.one/a@${digest}`,
      `tag r.one/a@${digest} r.one/b@${digest}`,
    ]);
  });

  test("share its failure", async () => {
    const node = withAll();
    node.before("tag", fails(TEXTS.disk));
    const { results } = await placedTogether(node, images);
    expect(results).toMatchObject(NAMES.map(() => ({ step: "tag", failure: { class: "disk" } })));
  });
});
