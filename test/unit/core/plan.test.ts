import { describe, expect, test } from "vitest";
import {
  decideTag,
  listing,
  longestFirst,
  namesOf,
  narrow,
  nodeState,
  planImport,
  planPulls,
  probableSizes,
  type Listing,
  type NodeState,
  type Plan,
  type PullPolicy,
  type WantedImage,
} from "../../../src/core/plan.ts";
import { digestOf, present, reference, wanted } from "../samples.ts";

const A = "harbor.example.com/a:1";
const B = "harbor.example.com/b:1";
const EMPTY = nodeState([], [], []);
const node = (
  images: Record<string, readonly string[]>,
  pinned: readonly string[] = [],
  ours: readonly string[] = [],
): NodeState =>
  nodeState(
    Object.entries(images).map(([id, names]) => present(id, names)),
    pinned,
    ours,
  );
const only = (image: WantedImage, state: NodeState, pinning = true) => {
  const [planned] = planImport([image], state, pinning).images;
  if (planned === undefined) throw new Error("nothing was planned");
  return planned;
};

describe("an image is pulled", () => {
  test("when it is not on the node", () => {
    expect(only(wanted(A), EMPTY).decision).toEqual({ action: "pull", why: "not on this node" });
  });

  test("also when another tag of it is there", () => {
    expect(only(wanted(A), node({ id: ["harbor.example.com/a:2"] })).decision.action).toBe("pull");
  });

  test.each([
    ["IfNotPresent", "keep"],
    ["Always", "pull"],
    ["implicit-Always", "pull"],
  ] as const)("under %s when it is present: %s", (pullPolicy, action) => {
    const { decision } = only(wanted(A, { pullPolicy }), node({ id: [A] }));
    expect(decision.action).toBe(action);
    expect(decision.why).toContain("present");
  });

  test("never again by digest, which cannot change", () => {
    const name = `harbor.example.com/a@${digestOf("a")}`;
    expect(only(wanted(name), node({ id: [name] })).decision).toEqual({
      action: "keep",
      why: "present, by its digest",
    });
  });
});

describe("a digest with several names", () => {
  const digest = digestOf("a");
  const [first, second] = [`a.b/app@${digest}`, `mirror.b/app@${digest}`];
  const decisions = (state: NodeState, pullPolicy: PullPolicy = "IfNotPresent") =>
    planImport([wanted(first), wanted(second, { pullPolicy })], state, true).images;

  test("is pulled once, and then tagged and pinned", () => {
    const [one, other] = decisions(EMPTY);
    expect(one?.decision.action).toBe("pull");
    expect(other?.decision).toEqual({ action: "share", sameAs: first, why: `has the digest of ${first}` });
    expect(other?.pins).toEqual([second]);
  });

  test("is not pulled at all where it is here under another name", () => {
    const here = `c.d/app@${digest}`;
    const planned = decisions(node({ id: [here] }));
    expect(planned.map(({ decision }) => decision)).toMatchObject([{ sameAs: here }, { sameAs: here }]);
  });

  test("is pulled under each of them that the operator wants to be asked for", () => {
    expect(decisions(EMPTY, "Always").map(({ decision }) => decision.action)).toEqual(["pull", "pull"]);
  });
});

describe("a further name", () => {
  const target = reference(B);
  test.each([
    ["is created where it is missing", "one", { one: [A] }, "create"],
    ["is kept where it names this image", "one", { one: [A, B] }, "keep"],
    ["is moved where it names another image", "one", { one: [A], two: [B] }, "move"],
    ["is created for an image that is not here yet", undefined, {}, "create"],
    ["may have to be moved to an image that is not here yet", undefined, { two: [B] }, "move"],
  ] as const)("%s", (_what, id, images, action) => {
    expect(decideTag(target, id, node(images)).action).toBe(action);
  });
});

describe("pins are set", () => {
  const image = wanted(A, { targets: [reference(B)] });

  test("on every name that lacks one", () => {
    expect(only(image, node({ id: [A, B] })).pins).toEqual([A, B]);
    expect(only(image, node({ id: [A, B] }, [B])).pins).toEqual([A]);
    expect(only(image, node({ id: [A, B] }, [A, B])).pins).toEqual([]);
  });

  test("anew on a name whose pull or tag drops it", () => {
    const always = { ...image, pullPolicy: "Always" } as const;
    expect(only(always, node({ id: [A, B] }, [A, B])).pins).toEqual([A]);
    expect(only(image, node({ one: [A], two: [B] }, [A, B])).pins).toEqual([B]);
  });

  test("not where the operator does not want it, or the runtime ignores it", () => {
    expect(only({ ...image, pin: false }, node({ id: [A] })).pins).toEqual([]);
    expect(only(image, node({ id: [A] }), false).pins).toEqual([]);
  });
});

describe("names are unpinned", () => {
  const pinnedByUs = node({ id: [A, B] }, [A, B], [A, B]);

  test("that an earlier run pinned and nobody wants any more, in a stable order", () => {
    expect(planImport([wanted(A)], pinnedByUs, true).unpin).toEqual([B]);
    expect(planImport([], pinnedByUs, true).unpin).toEqual([A, B]);
  });

  test("that are wanted, but no longer pinned", () => {
    expect(planImport([wanted(A, { pin: false })], pinnedByUs, true).unpin).toEqual([A, B]);
  });

  test("but not those of further names", () => {
    expect(planImport([wanted(A, { targets: [reference(B)] })], pinnedByUs, true).unpin).toEqual([]);
  });

  test("but not those that somebody else pinned", () => {
    expect(planImport([], node({ id: [A, B] }, [A, B], [B]), true).unpin).toEqual([B]);
  });

  test("but not by a runtime that ignores pins", () => {
    expect(planImport([], pinnedByUs, false).unpin).toEqual([]);
  });
});

describe("a narrowed plan", () => {
  const plan = planImport([wanted(A), wanted(B)], node({ id: ["c.d/e:1"] }, [], ["c.d/e:1"]), true);
  const sources = ({ images }: Plan): string[] => images.map(({ image }) => image.source.name);

  test("holds the chosen images, and unpins nothing", () => {
    const narrowed = narrow(plan, new Set([B]));
    expect(sources(narrowed)).toEqual([B]);
    expect(narrowed.unpin).toEqual([]);
  });

  test("is the whole plan when nothing was chosen", () => {
    expect(narrow(plan, new Set())).toBe(plan);
  });
});

describe("the order of the pulls", () => {
  const order = (
    names: readonly string[],
    sizes: Record<string, number>,
    here: Listing = new Map(),
  ): string[] => {
    const pulls = planPulls(
      names.map((name) => wanted(name)),
      new Map(),
    );
    const sizeOf = probableSizes(new Map(Object.entries(sizes)), here);
    return longestFirst(pulls, sizeOf).map(({ image }) => image.source.path);
  };

  test("begins with the biggest, after those of unknown size, which keep the list's order", () => {
    const names = ["a.b/small:1", "a.b/new:1", "a.b/big:1", "a.b/newer:1", "a.b/small2:1"];
    const sizes = { "a.b/small:1": 1, "a.b/big:1": 100, "a.b/small2:1": 1 };
    expect(order(names, sizes)).toEqual(["new", "newer", "big", "small", "small2"]);
  });

  test("takes the size of another version, from an earlier run or from the node", () => {
    const here = listing([present("id", ["a.b:5000/here:1"], { size: 50 })]);
    const sizes = { "a.b/big:1": 100, "a.b/small:1": 1 };
    const names = ["a.b/small:2", "a.b:5000/here:2", `a.b/big@${digestOf("a")}`];
    expect(order(names, sizes, here)).toEqual(["big", "here", "small"]);
  });
});

test("an image's names are its source and then the further ones", () => {
  expect(namesOf(wanted(A, { targets: [reference(B)] }))).toEqual([A, B]);
});
