import { expect, test } from "vitest";
import { type Rule, ruleBook } from "../../rig/fault-rules.ts";

function askerOf(...rules: Rule[]) {
  const book = ruleBook();
  book.add(...rules);
  return (path: string) => book.apply({ method: "GET", path });
}

test("refuses a request while too many are open, and lets one in when another has ended", () => {
  const ask = askerOf({ mostAtOnce: 2 });
  const [first, second, third] = [ask("/a"), ask("/b"), ask("/c")];

  expect([first, second, third].map(({ fault }) => fault.status)).toEqual([undefined, undefined, 429]);
  first.end();
  expect(ask("/c").fault.status).toBeUndefined();
  expect(ask("/d").fault.status).toBe(429);
});

test("does not count a refused request as open", () => {
  const ask = askerOf({ mostAtOnce: 1 });
  const first = ask("/a");
  const refused = [ask("/b"), ask("/c")];
  first.end();

  expect(ask("/d").fault.status).toBeUndefined();
  for (const { end } of refused) end();
  expect(ask("/e").fault.status).toBe(429);
});

test("counts only the requests that the rule is meant for", () => {
  const ask = askerOf({ path: /blobs/, mostAtOnce: 1 }, { latencyMs: 5, retryAfter: "1" });
  ask("/manifests/v1");
  ask("/blobs/one");

  expect(ask("/blobs/two").fault).toMatchObject({ status: 429, latencyMs: 5, retryAfter: "1" });
  expect(ask("/manifests/v2").fault.status).toBeUndefined();
});
