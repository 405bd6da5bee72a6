import { describe, expect, test } from "vitest";
import { nodeState } from "../../../src/core/plan.ts";
import type { RunEvent } from "../../../src/core/run-state.ts";
import { FinishFailed, finishImage } from "../../../src/run/finish.ts";
import type { TagOptions } from "../../../src/runtime/image-runtime.ts";
import { present, reference, wanted } from "../samples.ts";

const A = "a.b/app:1";
const X = "x.y/app:1";
const Y = "x.y/app:2";
const image = wanted(A, { targets: [reference(X), reference(Y)] });

interface Setting {
  /** Names by image id. */
  readonly images?: Readonly<Record<string, readonly string[]>>;
  readonly pinned?: readonly string[];
  /** Of these, by us. */
  readonly ours?: readonly string[];
  readonly pulled?: boolean;
  readonly pinning?: boolean;
  readonly pin?: boolean;
  readonly local?: boolean;
  /** The call that fails. */
  readonly fails?: string;
}

/** What was done, in order, for the image `new`. */
async function done({
  images = {},
  pinned = [],
  ours = [],
  pulled = false,
  pinning = true,
  pin = true,
  local = false,
  fails,
}: Setting) {
  const calls: string[] = [];
  const events: RunEvent[] = [];
  const act = async (...words: readonly string[]): Promise<void> => {
    calls.push(words.join(" "));
    if (words.join(" ") === fails) throw new Error("no");
  };
  const node = nodeState(
    Object.entries(images).map(([id, names]) => present(id, names)),
    pinned,
    ours,
  );
  const runtime = {
    tag: (from: string, to: readonly string[], options: TagOptions) =>
      act("tag", ...(options.local ? ["--local"] : []), from, ...to),
    pin: (name: string) => act("pin", name),
  };
  const options = { runtime, node, pinning, local, emit: (event: RunEvent) => void events.push(event) };
  const error: unknown = await finishImage(options, { ...image, pin }, "new", pulled).catch(
    (thrown: unknown) => thrown,
  );
  return { calls, events, error };
}

describe("tags", () => {
  test("are set where they are missing, and moved where they point elsewhere", async () => {
    const { calls, events } = await done({ images: { new: [A], old: [Y] }, pin: false });
    expect(calls).toEqual([`tag ${A} ${X}`, `tag ${A} ${Y}`]);
    expect(events).toEqual([
      { type: "tagged", image: A, target: X, moved: false },
      { type: "tagged", image: A, target: Y, moved: true },
    ]);
  });

  test("are left alone where they are right, because a tag drops the labels of its target", async () => {
    expect((await done({ images: { new: [A, X, Y] }, pinned: [A, X, Y] })).calls).toEqual([]);
  });

  test("are compared with the image that was pulled, not with the one before", async () => {
    const { calls } = await done({ images: { old: [A, X, Y] }, pinned: [A, X, Y], pulled: true, pin: false });
    expect(calls).toEqual([`tag ${A} ${X} ${Y}`]);
  });

  test("that are missing are set in one call, locally where only that hands on labels", async () => {
    const setting = { images: { new: [A] }, pin: false };
    expect((await done(setting)).calls).toEqual([`tag ${A} ${X} ${Y}`]);
    expect((await done({ ...setting, local: true })).calls).toEqual([`tag --local ${A} ${X} ${Y}`]);
  });

  test("are never moved locally: the name would be missing for a moment", async () => {
    const { calls } = await done({ images: { new: [A], old: [X, Y] }, pin: false, local: true });
    expect(calls).toEqual([`tag ${A} ${X} ${Y}`]);
  });
});

describe("pins", () => {
  test("are set on the source first, and handed on with the tag to names that are new", async () => {
    const { calls, events } = await done({ images: {}, pulled: true });
    expect(calls).toEqual([`pin ${A}`, `tag ${A} ${X} ${Y}`]);
    expect(events.filter(({ type }) => type === "pinned")).toEqual(
      [A, X, Y].map((name) => ({ type: "pinned", image: A, name })),
    );
  });

  test("are handed on by a source that we pinned before", async () => {
    const { calls } = await done({ images: { new: [A, X] }, pinned: [A, X], ours: [A, X] });
    expect(calls).toEqual([`tag ${A} ${Y}`]);
  });

  test("are set beside a tag whose source somebody else pinned, so that we can take them back", async () => {
    const { calls } = await done({ images: { new: [A, X] }, pinned: [A, X], ours: [X] });
    expect(calls).toEqual([`tag ${A} ${Y}`, `pin ${Y}`]);
  });

  test("are set last on every name that is there and lacks one", async () => {
    expect((await done({ images: { new: [A, X, Y] }, pinned: [A, Y] })).calls).toEqual([`pin ${X}`]);
  });

  test("are set anew on a name that was pulled or moved, whose labels are gone", async () => {
    const { calls } = await done({ images: { new: [A, X], old: [Y] }, pinned: [A, X, Y], pulled: true });
    expect(calls).toEqual([`pin ${A}`, `tag ${A} ${Y}`, `pin ${Y}`]);
  });

  test.each([
    ["the operator wants none", { pin: false }],
    ["the runtime ignores them", { pinning: false }],
  ])("are not set where %s", async (_why, setting) => {
    expect((await done({ images: { new: [A, X, Y] }, ...setting })).calls).toEqual([]);
  });
});

describe("a failure", () => {
  test.each([
    [`pin ${A}`, "pin", 1],
    [`tag ${A} ${X} ${Y}`, "tag", 2],
  ])("of %s names the step, keeps what was said, and ends it", async (fails, step, calls) => {
    const result = await done({ images: { new: [A] }, fails });
    expect(result.error).toBeInstanceOf(FinishFailed);
    expect(result.error).toMatchObject({ step, cause: new Error("no") });
    expect(result.calls).toHaveLength(calls);
    expect(result.events).toHaveLength(calls - 1);
  });
});
