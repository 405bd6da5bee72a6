import { parse } from "semver";
import { expect, test } from "vitest";
import { lookWhenReady } from "../../../src/run/look.ts";
import { present } from "../samples.ts";

const VERSION = parse("1.7.35")!;
const A = "a.b/app:1";

/** A node whose first looks fail, as long as containerd does not answer. */
function node(failures: number) {
  const calls: string[] = [];
  return {
    calls,
    images: async () => {
      calls.push("images");
      if (calls.filter((call) => call === "images").length <= failures) throw new Error("no socket");
      return [present("id", [A])];
    },
    pinned: async () => [A],
    pinnedByUs: async () => [],
  };
}

test("the node is looked at while containerd is asked for its version", async () => {
  const runtime = node(0);
  const asked = Promise.withResolvers<typeof VERSION>();
  const looking = lookWhenReady(runtime, () => asked.promise);
  expect(runtime.calls).toEqual(["images"]);
  asked.resolve(VERSION);
  const { version, node: found } = await looking;
  expect([version, found.byName.get(A)?.id, [...found.pinned]]).toEqual([VERSION, "id", [A]]);
  expect(runtime.calls).toEqual(["images"]);
});

test("the node is looked at again where containerd was not there yet", async () => {
  const runtime = node(1);
  const { node: found } = await lookWhenReady(runtime, async () => VERSION);
  expect(found.byName.has(A)).toBe(true);
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
