import { describe, expect, test } from "vitest";
import type { Node } from "../../../src/core/node.ts";
import { pinName, pinRecord } from "../../../src/core/pins.ts";
import {
  countDecisions,
  impossibleName,
  longestFirst,
  namesOf,
  planRun,
  type Plan,
  type PlannedImage,
  type PullPolicy,
  type WantedImage,
} from "../../../src/core/plan.ts";
import { ARM, served } from "../containerd/served-image.ts";
import { digestOf, nodeOf, reference, wanted } from "../samples.ts";

const A = "harbor.example.com/a:1";
const B = "harbor.example.com/b:1";
const [ONE, TWO] = [served("one"), served("two")];
const AT_ONE = `harbor.example.com/a@${ONE.target.digest}`;
const EMPTY = nodeOf({});
const only = (image: WantedImage, node: Node, pins = true): PlannedImage => {
  const [planned] = planRun([image], node, { pins }).images;
  if (planned === undefined) throw new Error("nothing was planned");
  return planned;
};
const without = (node: Node, digest: string): Node => ({
  ...node,
  blobs: new Map([...node.blobs].filter(([key]) => key !== digest)),
});

/** A has damage below the database. */
const onDisk = (mend: "unpack" | "pull" | "held"): Node => ({
  ...nodeOf({ [A]: ONE }),
  damage: new Map([[ONE.target.digest, { what: "1 of 2 layers is empty", mend, blobs: [], snapshots: [] }]]),
});

describe("an image that is damaged on the disk", () => {
  test("is unpacked again under any policy where its blobs are whole", () => {
    for (const pullPolicy of ["IfNotPresent", "Always", "implicit-Always"] as const)
      expect(only(wanted(A, { pullPolicy }), onDisk("unpack")).decision).toEqual({
        action: "unpack",
        why: "damaged: 1 of 2 layers is empty",
      });
  });

  test("is pulled where they are not", () => {
    expect(only(wanted(A), onDisk("pull")).decision.action).toBe("pull");
  });

  test("fails while a container holds it", () => {
    expect(only(wanted(A), onDisk("held")).decision).toMatchObject({
      action: "fail",
      failure: { class: "damaged", message: "it is damaged: 1 of 2 layers is empty" },
    });
  });
});

describe("an image is pulled", () => {
  test("when it is not on the node", () => {
    expect(only(wanted(A), EMPTY).decision).toEqual({ action: "pull", why: "not on this node" });
  });

  test("also when another tag of it is there", () => {
    expect(only(wanted(A), nodeOf({ "harbor.example.com/a:2": ONE })).decision.action).toBe("pull");
  });

  test.each(["nginx:1", "index.docker.io/library/nginx:1", "library/nginx:1"])(
    "when only %s is there, which no pod that asks for it finds",
    (name) => {
      expect(only(wanted("nginx:1"), nodeOf({ [name]: ONE })).decision.action).toBe("pull");
    },
  );

  test("when it is damaged, under any policy, and the plan says what is missing", () => {
    const node = without(nodeOf({ [A]: ONE }), ONE.config.digest);
    for (const pullPolicy of ["IfNotPresent", "Always", "implicit-Always"] as const)
      expect(only(wanted(A, { pullPolicy }), node).decision).toEqual({
        action: "pull",
        why: "damaged: its config is missing",
      });
  });

  test("when a newer one may be whole, although a container holds what is damaged", () => {
    expect(only(wanted(A, { pullPolicy: "Always" }), onDisk("held")).decision.action).toBe("pull");
  });

  test("when what is there is for another platform, or no image", () => {
    const why = (image: ReturnType<typeof served>): string =>
      only(wanted(A), nodeOf({ [A]: image })).decision.why;
    expect(why(served("arm", { platform: ARM }))).toBe("present, but for linux/arm64");
    expect(why(served("chart", { artifact: true }))).toBe("present, but not a container image");
  });

  test.each([
    ["IfNotPresent", "keep", "present"],
    ["Always", "pull", "present, but pullPolicy is Always"],
    [
      "implicit-Always",
      "pull",
      "present, but :latest is always looked up (set pullPolicy: IfNotPresent to keep it)",
    ],
  ] as const)("under %s when it is present: %s", (pullPolicy, action, why) => {
    expect(only(wanted(A, { pullPolicy }), nodeOf({ [A]: ONE })).decision).toEqual({ action, why });
  });

  test("never again by digest, which cannot change", () => {
    const { decision } = only(wanted(AT_ONE), nodeOf({ [AT_ONE]: ONE }));
    expect(decision).toEqual({ action: "keep", why: "present, by its digest" });
  });
});

describe("a digest with several names", () => {
  const [first, second] = [`a.b/app@${ONE.target.digest}`, `mirror.b/app@${ONE.target.digest}`];
  const decisions = (node: Node, pullPolicy: PullPolicy = "IfNotPresent") =>
    planRun([wanted(first), wanted(second, { pullPolicy })], node, { pins: true }).images.map(
      ({ decision }) => decision,
    );

  test("is pulled once, and then tagged", () => {
    const [one, other] = decisions(EMPTY);
    expect(one?.action).toBe("pull");
    expect(other).toEqual({ action: "share", sameAs: first, why: `has the digest of ${first}` });
  });

  test("is not pulled at all where it is here under another name", () => {
    const here = "c.d/app:1";
    expect(decisions(nodeOf({ [here]: ONE }))).toMatchObject([{ sameAs: here }, { sameAs: here }]);
  });

  test("is tagged from a name and not from the image's pin, which has the same content", () => {
    const pin = pinRecord(ONE.target);
    const { records, ...node } = nodeOf({ "c.d/app:1": ONE }, [pin]);
    for (const ordered of [[...records], [...records].toReversed()])
      expect(decisions({ ...node, records: new Map(ordered) })).toMatchObject([
        { sameAs: "c.d/app:1" },
        { sameAs: "c.d/app:1" },
      ]);
  });

  test.each(["app:1", ONE.id])("is pulled where it is here only as %s, which is no full name", (name) => {
    expect(decisions(nodeOf({ [name]: ONE })).map(({ action }) => action)).toEqual(["pull", "share"]);
  });

  test("is pulled where the other name, or its pin, is damaged", () => {
    const damaged = without(nodeOf({ "c.d/app:1": ONE }), ONE.manifest.digest);
    for (const node of [damaged, nodeOf({}, [pinRecord(ONE.target)])])
      expect(decisions(node).map(({ action }) => action)).toEqual(["pull", "share"]);
  });

  test("is not pulled for a pin alone, nor where one of its names leads elsewhere", () => {
    const { records, ...node } = nodeOf({ "c.d/app:1": ONE }, [pinRecord(ONE.target)]);
    const pin = pinName(ONE.target);
    const pinned = { ...node, records: new Map([...records].filter(([name]) => name === pin)) };
    expect(decisions(pinned)).toMatchObject([{ sameAs: pin }, { sameAs: pin }]);
    expect(decisions(nodeOf({ [first]: TWO, [second]: ONE }))).toMatchObject([
      { action: "share", sameAs: second },
      { action: "keep" },
    ]);
  });

  test("is pulled under each of them that the operator wants to be asked for", () => {
    expect(decisions(EMPTY, "Always").map(({ action }) => action)).toEqual(["pull", "pull"]);
  });
});

describe("an image from an archive", () => {
  const from = (digest?: string, failed = false): WantedImage =>
    wanted(A, { archive: { path: "/x.tar", digest, failed } });
  const failed = (problem: string) => {
    const message = `the archive /x.tar did not provide it: ${problem}`;
    return { action: "fail", why: message, failure: { class: "not-found", message } };
  };
  const IMPORTED_FIRST = { action: "keep", why: "comes from /x.tar, which is imported first" };
  const PRESENT = { action: "keep", why: "present, from /x.tar" };
  const there = nodeOf({ [A]: ONE });

  test.each([
    ["before the import", from(), EMPTY, IMPORTED_FIRST],
    ["before the import, which may bring another image", from(), there, IMPORTED_FIRST],
    ["here", from(ONE.target.digest), there, PRESENT],
    ["here from an earlier import, though this one failed", from(ONE.target.digest, true), there, PRESENT],
    ["gone", from(ONE.target.digest), EMPTY, failed("its name is gone")],
    ["another image", from(TWO.target.digest), there, failed("it points to another image")],
    ["unknown after a failed import", from(undefined, true), there, failed("it is another image")],
    ["absent after a failed import", from(undefined, true), EMPTY, failed("its name is gone")],
  ])("%s is decided by its archive alone", (_what, image, node, decision) => {
    expect(only(image, node).decision).toMatchObject(decision);
  });

  test("is tagged from an image with its digest that is here, but not from one that has to come first", () => {
    const shared = only(from(ONE.target.digest), nodeOf({ [B]: ONE })).decision;
    expect(shared).toMatchObject({ action: "share", sameAs: B });
    const archive = { path: "/x.tar", digest: ONE.target.digest, failed: true };
    const images = [wanted(A, { archive }), wanted(B, { archive }), wanted(AT_ONE)];
    const planned = planRun(images, EMPTY, { pins: true }).images;
    expect(planned.map(({ decision }) => decision.action)).toEqual(["fail", "fail", "pull"]);
  });
});

describe("a further name", () => {
  const image = wanted(A, { furtherNames: [reference(B)] });
  const atOne = `harbor.example.com/b@${ONE.target.digest}`;
  const actions = (node: Node): Record<string, string> =>
    Object.fromEntries(only(image, node).names.map(({ name, action }) => [name, action]));

  test("is created where it is missing, by tag and by digest as a pull of it would", () => {
    expect(actions(nodeOf({ [A]: ONE }))).toEqual({ [B]: "create", [AT_ONE]: "create", [atOne]: "create" });
  });

  test("is kept where it points to this image", () => {
    expect(actions(nodeOf({ [A]: ONE, [B]: ONE, [AT_ONE]: ONE, [atOne]: ONE }))).toEqual({
      [B]: "keep",
      [AT_ONE]: "keep",
      [atOne]: "keep",
    });
  });

  test("is moved where it points to another image", () => {
    expect(actions(nodeOf({ [A]: ONE, [B]: TWO }))).toMatchObject({ [B]: "move" });
  });

  test("of an image that is not here yet is known by its tag alone", () => {
    expect(only(image, EMPTY).names).toEqual([{ name: B, action: "create", why: "not on this node" }]);
    expect(only(image, nodeOf({ [B]: TWO })).names).toEqual([
      { name: B, action: "move", why: "may point to another image" },
    ]);
  });

  test("is none of an image by digest whose source is that digest form", () => {
    expect(only(wanted(AT_ONE), nodeOf({ [AT_ONE]: ONE })).names).toEqual([]);
  });

  test("by a digest that the image does not have is impossible", () => {
    const usable = { is: "usable", target: ONE.target, id: ONE.id } as const;
    const by = (digest: string): WantedImage => wanted(A, { furtherNames: [reference(`x.y/z@${digest}`)] });
    expect(impossibleName(by(ONE.target.digest), usable)).toBeUndefined();
    expect(impossibleName(by(TWO.target.digest), usable)?.name).toBe(`x.y/z@${TWO.target.digest}`);
  });
});

describe("a pin", () => {
  const pinned = nodeOf({ [A]: ONE }, [pinRecord(ONE.target)]);

  test("is made for an image that has none, and kept otherwise", () => {
    expect(only(wanted(A), EMPTY).pin).toBe("create");
    expect(only(wanted(A), nodeOf({ [A]: ONE })).pin).toBe("create");
    expect(only(wanted(A), pinned).pin).toBe("keep");
  });

  test("is made anew where somebody took its label, and is another image's after its name moved", () => {
    expect(only(wanted(A), nodeOf({ [A]: ONE }, [{ ...pinRecord(ONE.target), labels: {} }])).pin).toBe(
      "create",
    );
    expect(only(wanted(A), nodeOf({ [A]: TWO }, [pinRecord(ONE.target)])).pin).toBe("create");
  });

  test("is not for an image that the operator or the runtime does not pin", () => {
    expect(only(wanted(A, { pin: false }), nodeOf({ [A]: ONE })).pin).toBe("none");
    expect(only(wanted(A), nodeOf({ [A]: ONE }), false).pin).toBe("none");
  });
});

describe("an image is unpinned", () => {
  const node = nodeOf({ [A]: ONE, [B]: ONE, "c.d/e:1": TWO }, [pinRecord(ONE.target), pinRecord(TWO.target)]);
  const unpinned = (...images: readonly WantedImage[]): string[] =>
    planRun(images, node, { pins: true }).unpin.map(({ name }) => name);

  test("that nobody wants any more, and told by all its tags", () => {
    expect(unpinned(wanted(A))).toEqual(["c.d/e:1"]);
    expect(unpinned()).toEqual([`${A}, ${B}`, "c.d/e:1"]);
  });

  test("that is wanted, but not pinned", () => {
    expect(unpinned(wanted(A, { pin: false }), wanted("c.d/e:1"))).toEqual([`${A}, ${B}`]);
  });

  test("that comes from an archive, but not while it is unknown what the archive holds", () => {
    const here = nodeOf({}, [pinRecord(ONE.target, "/unread.tar"), pinRecord(TWO.target, "/gone.tar")]);
    const { unpin } = planRun([], here, { pins: true, isUnread: (archive) => archive === "/unread.tar" });
    expect(unpin).toMatchObject([{ record: pinName(TWO.target) }]);
  });

  test("but not one that a further name points to", () => {
    expect(unpinned(wanted("x.y/z:1", { furtherNames: [reference(A)] }), wanted("c.d/e:1"))).toEqual([]);
  });

  test("whose names are all gone, and told by its digest", () => {
    expect(planRun([], nodeOf({}, [pinRecord(ONE.target)]), { pins: true }).unpin).toMatchObject([
      { name: ONE.target.digest },
    ]);
  });

  test("but not by a runtime that ignores pins, and not for somebody else's label", () => {
    expect(planRun([], node, { pins: false }).unpin).toEqual([]);
    const theirs = { name: "o.p/q:1", target: ONE.target, labels: { "io.cri-containerd.pinned": "pinned" } };
    expect(planRun([], nodeOf({}, [theirs]), { pins: true }).unpin).toEqual([]);
  });
});

describe("a narrowed plan", () => {
  const narrowed = (...names: string[]): Plan =>
    planRun([wanted(A), wanted(B)], nodeOf({}, [pinRecord(ONE.target)]), {
      pins: true,
      only: new Set(names),
    });
  const sources = ({ images }: Plan): string[] => images.map(({ image }) => image.source.name);

  test("holds the chosen images, unpins nothing", () => {
    expect(narrowed()).toMatchObject({ unpin: [expect.anything()] });
    expect([sources(narrowed(B)), narrowed(B).unpin].flat()).toEqual([B]);
  });

  test("is the whole plan when nothing was chosen", () => {
    expect(sources(narrowed())).toEqual([A, B]);
  });
});

describe("a plan is done", () => {
  const right = nodeOf({ [A]: ONE, [AT_ONE]: ONE }, [pinRecord(ONE.target)]);

  test("when every image, name and pin is there and nothing else is ours", () => {
    expect(planRun([wanted(A)], right, { pins: true }).settled).toBeDefined();
  });

  test.each<[string, Plan]>([
    ["an image has to be pulled", planRun([wanted(A, { pullPolicy: "Always" })], right, { pins: true })],
    ["a name is missing", planRun([wanted(A, { furtherNames: [reference(B)] })], right, { pins: true })],
    ["a pin is missing", planRun([wanted(A)], nodeOf({ [A]: ONE, [AT_ONE]: ONE }), { pins: true })],
    ["a pin is left over", planRun([], right, { pins: true })],
  ])("not while %s", (_what, plan) => {
    expect(plan.settled).toBeUndefined();
  });

  test("and counts its decisions", () => {
    const shared = [wanted(AT_ONE), wanted(`x.y/z@${ONE.target.digest}`)];
    expect(
      countDecisions(planRun([wanted(A), wanted(B), ...shared], nodeOf({ [A]: ONE }), { pins: true }).images),
    ).toEqual({ pull: 1, share: 2, keep: 1, unpack: 0, fail: 0 });
  });
});

describe("the order of the pulls", () => {
  const order = (names: readonly string[], sizes: Record<string, number>, here: Node = EMPTY): string[] => {
    const { images } = planRun(
      names.map((name) => wanted(name)),
      EMPTY,
      { pins: true },
    );
    return longestFirst(images, new Map(Object.entries(sizes)), here).map(({ image }) => image.source.path);
  };

  test("begins with those of unknown size, which keep the list's order, and then with the biggest", () => {
    const names = ["a.b/small:1", "a.b/new:1", "a.b/big:1", "a.b/newer:1", "a.b/small2:1"];
    const sizes = { "a.b/small:1": 1, "a.b/big:1": 100, "a.b/small2:1": 1 };
    expect(order(names, sizes)).toEqual(["new", "newer", "big", "small", "small2"]);
  });

  test("takes the size of another version, from an earlier run or from the node", () => {
    const sizes = { "a.b/big:1": 2_000, "a.b/small:1.0.0": 1, "a.b/smaller:1": 0 };
    const names = ["a.b/smaller:2.0.0", "a.b/small:2.0.0", "a.b:5000/here:2.0.0", `a.b/big@${digestOf("a")}`];
    const here = nodeOf({ "a.b:5000/here:1.0.0": ONE });
    expect(order(["a.b/new:1", ...names], sizes, here)).toEqual(["new", "big", "here", "small", "smaller"]);
    expect(order([...names, "a.b/new:1"], sizes, here)).toEqual(["new", "big", "here", "small", "smaller"]);
  });
});

test("an image's names are its source and then the further ones", () => {
  expect(namesOf(wanted(A, { furtherNames: [reference(B)] }))).toEqual([A, B]);
});
