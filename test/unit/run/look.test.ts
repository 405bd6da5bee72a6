import { parse } from "semver";
import { expect, test } from "vitest";
import { lookAtLabels, lookWhenReady } from "../../../src/run/look.ts";
import { listing, nodeState } from "../../../src/core/plan.ts";
import { present } from "../samples.ts";

const VERSION = parse("1.7.35")!;
const [A, B] = ["a.b/app:1", "a.b/app:2"];
const image = (names: readonly string[]) => present("id", names);

test("a look at the labels tells which names carry which", async () => {
  const labels = { pinned: async () => [A, B], pinnedByUs: async () => [B] };
  expect(await lookAtLabels(labels, listing([image([A, B])]))).toEqual(
    nodeState([image([A, B])], [A, B], [B]),
  );
});

/** A node whose first looks fail, as long as containerd does not answer. */
function node(failures: number) {
  const calls: string[] = [];
  return {
    calls,
    images: async () => {
      calls.push("images");
      if (calls.filter((call) => call === "images").length <= failures) throw new Error("no socket");
      return [image([A])];
    },
  };
}

test("containerd is asked for its images while containerd is asked for its version", async () => {
  const runtime = node(0);
  const asked = Promise.withResolvers<typeof VERSION>();
  const looking = lookWhenReady(runtime, () => asked.promise);
  expect(runtime.calls).toEqual(["images"]);
  asked.resolve(VERSION);
  const { version, present: found } = await looking;
  expect([version, found.get(A)?.id]).toEqual([VERSION, "id"]);
  expect(runtime.calls).toEqual(["images"]);
});

test("it is asked again where containerd was not there yet", async () => {
  const runtime = node(1);
  const { present: found } = await lookWhenReady(runtime, async () => VERSION);
  expect(found.has(A)).toBe(true);
  expect(runtime.calls).toEqual(["images", "images"]);
});

test("an early look ends with the wait, when containerd does not come", async () => {
  let early: AbortSignal | undefined;
  const runtime = {
    ...node(0),
    images: (signal?: AbortSignal) => {
      early = signal;
      return new Promise<never>(() => {});
    },
  };
  const looking = lookWhenReady(runtime, () => Promise.reject(new Error("not ready")));
  await expect(looking).rejects.toThrow("not ready");
  expect(early?.aborted).toBe(true);
});
