// Every fault of a registry or network, at the same time and each on a host of its own, through the real agent: once
// for good, and once until the first attempt has failed.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeEveryLine } from "../rig/suite.ts";
import type { ContainerdLine } from "../rig/tools.ts";
import {
  encoded,
  type RegistryFault,
  openSite,
  registryFaults,
  type Target,
  wrongPassword,
} from "./faults-catalogue.ts";
import {
  attemptsOn,
  isTakenOn,
  classes,
  classOn,
  ending,
  faults,
  markdown,
  type Outcome,
  type Outcomes,
} from "./faults-matrix.ts";
import { during } from "./faults-support.ts";
import { type Agent, agentFor, type Ended } from "./support/agent.ts";
import { clientsOf, heldOn } from "./support/node.ts";
import { imageOf } from "./support/status.ts";

const attempts = 4;
const results = new Map<ContainerdLine, Outcomes>();
const marked = encoded("puller", wrongPassword);
/** These are about having none. */
const bare = new Set<RegistryFault>(["no-credentials", "token-no-credentials"]);

interface Case {
  readonly id: string;
  readonly fault: RegistryFault;
  readonly ends: boolean;
  readonly target: Target;
}

const HEADING = `# Fault matrix

The suite \`faults\` writes this page when \`UPDATE_MATRIX=1\` is set. Each cell shows the outcome of an image and its number of
attempts, with \`retry.attempts: ${attempts}\`. In the columns "lasts", the fault stays. In the columns "ends", it ends after the first
failed attempt. The numbers are [lines of containerd](README.md#versions-in-the-real-tests).
`;

const plan = [
  ...faults.map((fault) => ({ id: fault, fault, ends: false })),
  ...ending.map((fault) => ({ id: `${fault}-ends`, fault, ends: true })),
];

afterAll(() => {
  const table = markdown(results);
  console.log(table);
  if (process.env["UPDATE_MATRIX"] === "1") {
    writeFileSync(path.resolve(import.meta.dirname, "..", "fault-matrix.md"), `${HEADING}\n${table}\n`);
  }
});

describeEveryLine("faults of a registry", (line) => {
  let cases: Case[];
  let ended: Ended;
  let agent: Agent;
  let held: string[];
  let outcomes: Outcomes;
  const commandLines = new Set<string>();

  beforeAll(async () => {
    await using cleanup = new AsyncDisposableStack();
    const site = await openSite(line, cleanup);
    const { containerd } = site;
    cases = await Promise.all(
      plan.map(async (planned) => ({
        ...planned,
        target: await registryFaults[planned.fault](site, planned.id),
      })),
    );
    agent = agentFor(containerd);
    const running = agent.start(propertiesFor(cases));
    const healed = new Set<string>();
    ended = await during(running.ended, async () => {
      await healFailed(agent, cases, healed);
      for (const client of clientsOf(containerd)) commandLines.add(client);
    });
    held = await heldOn(containerd);
    outcomes = outcomesOf(agent, cases);
    results.set(line, outcomes);
    // Before containerd's folder goes, which holds it.
    texts = textsOf(agent);
  });
  let texts: string[];

  const outcome = (id: string): Outcome => outcomes[id]!;

  test.each(faults)("reports %s after the fewest attempts", (fault) => {
    if (isTakenOn(line, fault)) return expect(outcome(fault)).toMatchObject({ phase: "pulled", attempts: 1 });
    expect(outcome(fault)).toMatchObject({
      phase: "failed",
      class: classOn(line, fault),
      attempts: attemptsOn(line, fault, attempts) ?? expect.any(Number),
    });
  });

  test.each(ending)("survives %s that ends", (fault) => {
    expect(outcome(`${fault}-ends`)).toMatchObject({ phase: "pulled", class: classOn(line, fault) });
    expect(outcome(`${fault}-ends`).attempts).toBeGreaterThan(1);
  });

  test("ends, and says what failed", () => {
    expect(ended.exitCode).toBe(1);
    const failing = cases.filter(({ ends, fault }) => !ends && !isTakenOn(line, fault));
    // The lines of single steps begin with their time.
    const told = failing.filter(({ target }) => ended.stdout.includes(`\nFAILED ${target.reference} `));
    const counted = [...ended.stdout.matchAll(/^… and (?<count>\d+) more failed in /gmu)];
    const untold = counted.reduce((sum, { groups }) => sum + Number(groups?.["count"]), 0);
    expect(told.length + untold).toBe(failing.length);
    const kinds = new Set(failing.map(({ fault }) => classes[fault]));
    for (const kind of kinds) expect(ended.stdout).toMatch(new RegExp(`^FAILED .*: ${kind}, after`, "mu"));
  });

  test("asks a registry that refuses a password no more than containerd does in one attempt", () => {
    expect(outcome("wrong-password").requests).toBeLessThanOrEqual(6);
    expect(outcome("token-wrong-password").requests).toBeLessThanOrEqual(6);
  });

  test("holds what came of images that failed, each in a lease of its own", () => {
    expect(held.length).toBeGreaterThan(0);
    expect(held.length).toBeLessThanOrEqual(cases.filter(({ ends }) => !ends).length);
  });

  test("shows the password nowhere", () => {
    expect(commandLines.size).toBeGreaterThan(10);
    const places = [ended.stdout, ended.stderr, ...texts, ...commandLines];
    const shown = formsOf("puller", wrongPassword).filter((form) =>
      places.some((text) => text.includes(form)),
    );
    expect(shown).toEqual([]);
  });
});

/** Those that take longest come first, so that they do not run alone at the end. */
const propertiesFor = (cases: readonly Case[]): Record<string, unknown> => ({
  images: cases.toReversed().map(({ fault, target }) => ({
    name: target.reference,
    pullPolicy: "IfNotPresent",
    ...(bare.has(fault) ? {} : { auth: target.auth ?? marked }),
  })),
  retry: { attempts, min_delay: "200ms", max_delay: "800ms" },
  registry_timeout: "30s",
  // Longer than a busy machine leaves a pull alone.
  stall_timeout: "5s",
  concurrency: 16,
});

/** Takes away the faults that end, each once its image has failed. */
async function healFailed(agent: Agent, cases: readonly Case[], healed: Set<string>): Promise<void> {
  const failed = new Set(
    agent.log().flatMap(({ event, image }) => (event === "attempt-failed" ? [image] : [])),
  );
  for (const { id, ends, target } of cases) {
    if (!ends || healed.has(id) || !failed.has(target.reference)) continue;
    healed.add(id);
    await target.heal();
  }
}

function outcomesOf(agent: Agent, cases: readonly Case[]): Outcomes {
  const status = agent.status();
  return Object.fromEntries(
    cases.map(({ id, target }) => {
      const { phase, attempts: made, failure } = imageOf(status, target.reference);
      const outcome = { phase, class: failure?.class ?? "", attempts: made, requests: target.asked() };
      return [id, outcome];
    }),
  );
}

/** Every file that the agent wrote. */
const textsOf = ({ logDirectory, stateDirectory }: Agent): string[] =>
  [logDirectory, stateDirectory].flatMap((directory) =>
    readdirSync(directory).map((name) => readFileSync(path.join(directory, name), "latin1")),
  );

function formsOf(user: string, password: string): string[] {
  const both = encoded(user, password);
  return [both, both.replace(/=+$/u, ""), `${user}:${password}`, password, encodeURIComponent(password)];
}
