import { expect, test } from "vitest";
import { listing, nodeState, planPulls, type NodeState } from "../../../src/core/plan.ts";
import { Interruption } from "../../../src/run/interruption.ts";
import type { Pulled } from "../../../src/run/pull.ts";
import { stopper } from "../../../src/run/stopper.ts";
import { workOff } from "../../../src/run/work.ts";
import { digestOf, failure, present, wanted } from "../samples.ts";

const DIGEST = digestOf("a");
const FIRST = `a.b/app@${DIGEST}`;
const SECOND = `mirror.b/app@${DIGEST}`;

const EMPTY = Promise.resolve(nodeState([], [], []));

interface Setting {
  /** Names on the node. */
  readonly here?: readonly string[];
  readonly pulls?: Readonly<Record<string, Pulled>>;
  readonly tag?: () => Promise<void>;
  readonly node?: Promise<NodeState>;
}

/** The calls that bring both names, in order, and what should be verified in the end. */
async function worked({ here = [], pulls = {}, tag = async () => {}, node = EMPTY }: Setting) {
  const calls: string[] = [];
  const failed: string[] = [];
  const images = here.length === 0 ? [] : [present("id", here)];
  using stop = stopper(new AbortController().signal, 60_000);
  const expected = await workOff({
    pulls: planPulls([wanted(FIRST), wanted(SECOND)], listing(images)),
    present: listing(images),
    node,
    pinning: false,
    local: false,
    runtime: {
      tag: async (source, targets) => {
        calls.push(`tag ${source} ${targets.join(" ")}`);
        await tag();
      },
      pin: async () => {},
    },
    pull: async ({ source }) => {
      calls.push(`pull ${source.name}`);
      return pulls[source.name] ?? { ok: true, id: "id" };
    },
    retry: { attempts: 1, minDelay: 1, maxDelay: 1 },
    observer: { pulled: () => {}, done: () => {} },
    disk: { describe: async () => "" },
    stop,
    imported: new Set(),
    sizeOf: () => undefined,
    emit: (event) =>
      void (event.type === "image-failed" && failed.push(`${event.image} ${event.failure.class}`)),
  });
  return { calls, failed, expected: expected.map(({ image }) => image.source.name) };
}

test("a digest with two names is pulled once, and tagged when it is here", async () => {
  const { calls, expected } = await worked({});
  expect(calls).toEqual([`pull ${FIRST}`, `tag ${FIRST} ${SECOND}`]);
  expect(expected).toEqual([FIRST, SECOND]);
});

test("a digest that is here under another name asks no registry", async () => {
  const here = `c.d/app@${DIGEST}`;
  expect((await worked({ here: [here] })).calls).toEqual([`tag ${here} ${FIRST}`, `tag ${here} ${SECOND}`]);
});

test.each([
  ["the pull under its first name fails", { pulls: { [FIRST]: { ok: false, failure: failure("auth") } } }],
  ["the tag fails", { tag: () => Promise.reject(new Error("not found")) }],
] as const)("a digest is pulled under its second name where %s", async (_what, setting) => {
  const { calls, expected } = await worked(setting);
  expect(calls.at(-1)).toBe(`pull ${SECOND}`);
  expect(expected).toContain(SECOND);
});

test("a digest that is here is named only when it is known which pins to take back", async () => {
  const labels = Promise.withResolvers<NodeState>();
  const calls: string[] = [];
  const working = worked({
    here: [`c.d/app@${DIGEST}`],
    node: labels.promise,
    tag: async () => void calls.push("tag"),
  });
  await new Promise((resolve) => void setImmediate(resolve));
  expect(calls).toEqual([]);
  labels.resolve(nodeState([], [], []));
  await working;
  expect(calls).toEqual(["tag", "tag"]);
});

test("pulls wait for no labels, and an image whose labels cannot be read has failed", async () => {
  const labels = Promise.withResolvers<NodeState>();
  const working = worked({ node: labels.promise });
  await new Promise((resolve) => void setImmediate(resolve));
  labels.reject(new Interruption({ class: "runtime", message: "containerd is gone" }));
  const { calls, failed, expected } = await working;
  expect(calls[0]).toBe(`pull ${FIRST}`);
  expect(failed).toEqual([`${FIRST} runtime`, `${SECOND} runtime`]);
  expect(expected).toEqual([]);
});
