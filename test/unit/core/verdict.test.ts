import { describe, expect, test } from "vitest";
import type { CriImage, Node } from "../../../src/core/node.ts";
import { pinName, pinRecord } from "../../../src/core/pins.ts";
import { problemOf } from "../../../src/core/plan.ts";
import { verdictOn } from "../../../src/core/verdict.ts";
import { served } from "../containerd/served-image.ts";
import { nodeOf, reference, wanted } from "../samples.ts";

const A = "r.one/a:1";
const Z = "x.y/z:1";
const [ONE, TWO] = [served("one"), served("two")];
const image = wanted(A, { furtherNames: [reference(Z)] });
const at = (repository: string): string => `${repository}@${ONE.target.digest}`;
const RIGHT = nodeOf({ [A]: ONE, [Z]: ONE, [at("r.one/a")]: ONE, [at("x.y/z")]: ONE }, [
  pinRecord(ONE.target),
]);
const withoutRecord = (name: string): Node => ({
  ...RIGHT,
  records: new Map([...RIGHT.records].filter(([key]) => key !== name)),
});
const withoutBlob = (digest: string): Node => ({
  ...RIGHT,
  blobs: new Map([...RIGHT.blobs].filter(([key]) => key !== digest)),
});
const inCri = (name: string, change: Partial<CriImage> | undefined): Node => {
  const cri = new Map(RIGHT.cri);
  cri.delete(name);
  if (change !== undefined) cri.set(name, [{ id: ONE.id, names: [name], size: 5, pinned: true, ...change }]);
  return { ...RIGHT, cri };
};

describe("an image", () => {
  test("is right when it is whole, pinned, and under all its names to containerd and to CRI", () => {
    expect(verdictOn(image, RIGHT, true)).toEqual({
      ok: true,
      verified: { id: ONE.id, digest: ONE.target.digest, size: 1_000, pinned: true },
    });
  });

  test.each<[string, Node, string]>([
    ["its own name is gone", withoutRecord(A), "its name is gone"],
    ["it is damaged", withoutBlob(ONE.id), "it is damaged: its config is missing"],
    ["a further name is gone", withoutRecord(Z), `${Z} is gone`],
    ["a digest name is gone", withoutRecord(at("x.y/z")), `${at("x.y/z")} is gone`],
    [
      "a further name leads elsewhere",
      { ...RIGHT, records: new Map([...RIGHT.records, [Z, { name: Z, labels: {}, target: TWO.target }]]) },
      `${Z} points to another image`,
    ],
    ["its pin is gone", withoutRecord(pinName(ONE.target)), "its pin is gone"],
  ])("is wrong for good when %s", (_what, node, problem) => {
    expect(verdictOn(image, node, true)).toEqual({ ok: false, problem, mayPass: false });
  });

  test.each<[string, Node, string]>([
    ["does not list it", inCri(A, undefined), `CRI does not list ${A}`],
    ["does not list a further name", inCri(Z, undefined), `CRI does not list ${Z}`],
    [
      "takes it for another image",
      inCri(A, { id: TWO.id }),
      `CRI takes ${A} for ${TWO.id}, expected ${ONE.id}`,
    ],
    ["does not know of its pin", inCri(A, { pinned: false }), `CRI does not report ${A} as pinned`],
  ])("may only not be known to CRI yet when CRI %s", (_what, node, problem) => {
    expect(verdictOn(image, node, true)).toEqual({ ok: false, problem, mayPass: true });
  });

  test("needs no pin where nobody asks for one, or the runtime ignores it", () => {
    const unpinned = inCri(A, { pinned: false });
    const node = { ...unpinned, records: withoutRecord(pinName(ONE.target)).records };
    expect(verdictOn({ ...image, pin: false }, node, true)).toMatchObject({
      ok: true,
      verified: { pinned: false },
    });
    expect(verdictOn(image, node, false)).toMatchObject({ ok: true });
  });

  test("that was pulled for freshness is judged as it is, not by its policy", () => {
    expect(verdictOn({ ...image, pullPolicy: "Always" }, RIGHT, true)).toMatchObject({ ok: true });
  });
});

test.each([
  [{ is: "absent", why: "not on this node" }, "its name is gone"],
  [{ is: "damaged", why: "damaged: 1 of 2 layers missing" }, "it is damaged: 1 of 2 layers missing"],
  [{ is: "elsewhere", why: "points to another image" }, "it points to another image"],
  [{ is: "foreign", why: "for linux/arm64" }, "it is for linux/arm64"],
  [{ is: "not-an-image", why: "not a container image" }, "it is not a container image"],
] as const)("%j is told as: %s", (judgement, said) => {
  expect(problemOf(judgement)).toBe(said);
});
