// Configurations that went wrong in any way, through the executable as an operator and BOSH call it.
import { writeFileSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { stringify } from "yaml";
import { isMapping, type Mapping } from "../../src/config/value.ts";
import { slots } from "../../src/run/slots.ts";
import { startContainerd } from "../rig/containerd.ts";
import { describeEachLine } from "../rig/suite.ts";
import { jsonOf, mutated, mutation, placed } from "../unit/config/mutations.ts";
import { type Agent, agentFor, type Ended, lastLine } from "./support/agent.ts";
import { namesOn } from "./support/node.ts";

const COUNT = 250;
/** At once: each takes a good tenth of a second, most of it to start. */
const AT_ONCE = 4;

const slips = fc.record({
  mutations: fc.array(mutation, { minLength: 1, maxLength: 3 }),
  form: fc.noBias(fc.constantFrom("JSON", "YAML", "manifest", "cut off")),
  at: fc.noBias(fc.nat(999)),
});
type Slips = typeof slips extends fc.Arbitrary<infer Value> ? Value : never;

/** @param runtime what stays whole: without it a command waits two minutes for a containerd that is not there */
function written({ mutations, form, at }: Slips, runtime?: object): string {
  const config = mutated(placed([]), mutations);
  const whole = runtime === undefined || !isMapping(config) ? config : withFirst(runtime, config);
  if (form === "JSON") return jsonOf(whole);
  const job = { name: "import-images", release: "import-images", properties: whole };
  const text = stringify(form === "manifest" ? { instance_groups: [{ jobs: [job] }] } : whole) ?? "";
  const kept = runtime === undefined ? 0 : stringify({ containerd: runtime }).length;
  return form === "cut off" ? text.slice(0, kept + ((text.length - kept) * at) / 1_000) : text;
}
/** At the beginning, where no cut reaches it. */
const withFirst = (containerd: object, config: Mapping): Mapping =>
  Object.assign({ containerd }, config, { containerd });

function outcomes(agent: Agent, texts: readonly string[], command: readonly string[]) {
  const limit = slots(AT_ONCE);
  return Promise.all(
    texts.map((text, index) =>
      limit(async () => {
        const file = path.join(agent.folder, `mutated-${index}.yml`);
        writeFileSync(file, text);
        return { ...(await agent.exec([...command, file])), text };
      }),
    ),
  );
}

/** A stack, and what a terminal would obey. */
const UNFIT = /^ +at .+:\d+|(?!\n)\p{Cc}/mu;

function expectFit({ exitCode, stdout, stderr, text }: Ended & { text: string }, codes: readonly number[]) {
  expect(codes, `${stderr}\nof ${text}`).toContain(exitCode);
  expect(stderr, text).not.toMatch(UNFIT);
  expect(stdout, text).not.toMatch(UNFIT);
}

describeEachLine(
  "mutated configurations",
  (line) => {
    test("are checked or planned, or refused with what is wrong", async () => {
      await using containerd = await startContainerd(line);
      const agent = agentFor(containerd);
      const before = await namesOn(containerd);
      const { containerd: runtime } = agent.complete({ containerd: { ready_timeout: "1s" } });
      const [first, second] = [1, 2].map((seed) => fc.sample(slips, { numRuns: COUNT, seed }));

      const checked = await outcomes(
        agent,
        first!.map((slip) => written(slip)),
        ["check"],
      );
      for (const ended of checked) {
        expectFit(ended, [0, 2]);
        const told = ended.stdout === "" ? lastLine(ended.stderr) : lastLine(ended.stdout);
        expect(told, ended.text).toMatch(
          ended.exitCode === 0
            ? /: no problem found \(.+\)$/u
            : /: \d+ problems?$|^import-images: \S+ is empty$/u,
        );
      }

      const planned = await outcomes(
        agent,
        second!.map((slip) => written(slip, runtime as object)),
        ["plan", "--config"],
      );
      for (const ended of planned) {
        expectFit(ended, [0, 2, 3]);
        if (ended.exitCode === 0) expect(ended.stdout, ended.text).toMatch(/\d+ images?: \d+ to pull/u);
        else
          expect([ended.stdout, lastLine(ended.stderr)]).toEqual([
            "",
            expect.stringMatching(/^import-images: \S.+/u),
          ]);
      }

      expect([checked.length, planned.length]).toEqual([COUNT, COUNT]);
      for (const all of [checked, planned]) {
        const right = all.filter(({ exitCode }) => exitCode === 0).length;
        expect(Math.min(right, COUNT - right)).toBeGreaterThan(10);
      }
      expect(await namesOn(containerd)).toEqual(before);
    }, 300_000);
  },
  { among: ["1.7"] },
);
