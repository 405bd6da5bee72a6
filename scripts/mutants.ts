// Usage: npm run mutants [-- FOLDER|FILE...]
// Changes src, one expression at a time, and tells which changes no unit test notices. Without arguments: core, run, config,
// state and containerd, one after the other.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { cp, glob, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import path from "node:path";
import process from "node:process";
import { Instrumenter } from "@stryker-mutator/instrumenter";
import { array, object, parse, string } from "valibot";
import { parse as parseYaml } from "yaml";
import type { Task } from "../test/mutants/runner.ts";

const FOLDERS = ["core", "run", "config", "state", "containerd"];
const SANDBOX = path.resolve(".cache/mutants");
/** Tests that read sources, which are full of mutants here, git or dist, or measure time by the real clock. */
const LEFT_OUT =
  /unit\/(?:rig\/|report\/(?:lines|output)|bench-failure|bosh-scripts|build|build-identity|documents)/u;
/** Milliseconds without a word from a worker: it is in a loop. */
const SILENCE = 90_000;

/** Survivors that are accepted: the line that they are in, what stands there instead, and why nobody need notice. */
const acceptedSchema = array(object({ file: string(), line: string(), becomes: string(), why: string() }));
const accepted = parse(acceptedSchema, parseYaml(await readFile("test/mutants/accepted.yml", "utf8")));

type Mutant = Awaited<ReturnType<Instrumenter["instrument"]>>["mutants"][number];

const silent = (): boolean => false;
const logger = {
  isTraceEnabled: silent,
  isDebugEnabled: silent,
  isInfoEnabled: silent,
  isWarnEnabled: silent,
  isErrorEnabled: silent,
  isFatalEnabled: silent,
  trace: silent,
  debug: silent,
  info: silent,
  warn: silent,
  error: silent,
  fatal: silent,
};

/** A copy of the repository in which every expression of these files can be switched. Texts are for people, and stay. */
async function instrument(files: readonly string[]): Promise<Mutant[]> {
  await rm(SANDBOX, { recursive: true, force: true });
  await mkdir(SANDBOX, { recursive: true });
  for (const entry of ["src", "test", "scripts", "bosh-release", "package.json", "tsconfig.json", "LICENSE"])
    await cp(entry, path.join(SANDBOX, entry), { recursive: true });
  await symlink(path.resolve("node_modules"), path.join(SANDBOX, "node_modules"));
  const sources = await Promise.all(
    files.map(async (name) => ({ name, content: await readFile(name, "utf8"), mutate: true })),
  );
  const options = { plugins: null, ignorers: [], excludedMutations: ["StringLiteral"], noHeader: false };
  const made = await new Instrumenter(logger).instrument(sources, options);
  for (const { name, content } of made.files)
    await writeFile(path.join(SANDBOX, name), `// @ts-nocheck\n${content}`);
  return made.mutants.filter(({ mutatorName }) => mutatorName !== "StringLiteral");
}

/** What became of a mutant: `killed`, `timeout` (both are noticed), `survived`, `uncovered`. */
type Statuses = ReadonlyMap<string, string>;

/** One worker after the other, until each of these mutants has a status. @param nth of those at once */
async function tried(mutants: readonly Mutant[], tests: readonly string[], nth: number): Promise<Statuses> {
  const statuses = new Map<string, string>();
  const left = (): Mutant[] => mutants.filter(({ id }) => !statuses.has(id));
  while (left().length > 0) {
    const lines = (await worker(left(), tests, nth)).trim().split("\n");
    for (const [id = "", status] of lines.map((line) => line.split(" ")))
      if (status === "begun") statuses.set(id, "timeout");
      else if (status !== undefined) statuses.set(id, status);
    if (lines.join("") === "") throw new Error("no mutant was tried: run it in .cache/mutants by hand");
    const done = [...statuses.values()];
    console.error(
      `${done.length} of ${mutants.length}, ${done.filter((status) => status === "survived").length} survive`,
    );
  }
  return statuses;
}

/** @returns a line for each mutant that it began, and for each that it ended; one that says nothing any more is ended */
async function worker(mutants: readonly Mutant[], tests: readonly string[], nth: number): Promise<string> {
  const [task, results] = [path.join(SANDBOX, `task-${nth}.json`), path.join(SANDBOX, `results-${nth}`)];
  const coverage = path.join(SANDBOX, "coverage.json");
  const wanted = mutants.map(({ id, fileName }) => ({ id, file: fileName }));
  await writeFile(results, "");
  await writeFile(task, JSON.stringify({ tests, mutants: wanted, results, coverage } satisfies Task));
  const vitest = path.resolve("node_modules/vitest/vitest.mjs");
  const child = spawn(process.execPath, [vitest, "run", "--config", "test/mutants/vitest.config.ts"], {
    cwd: SANDBOX,
    env: { ...process.env, MUTANTS_TASK: task, CI: "" },
    stdio: "ignore",
    detached: true,
  });
  let [said, since] = ["", performance.now()];
  const watch = setInterval(() => {
    const text = readFileSync(results, "utf8");
    if (text !== said) [said, since] = [text, performance.now()];
    const isSilent = mutants.length > 0 && performance.now() - since > SILENCE;
    if (isSilent && child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  }, 1_000);
  await once(child, "exit");
  clearInterval(watch);
  return readFile(results, "utf8");
}

const rangeOf = ({ fileName, location: { start } }: Mutant): string =>
  `${fileName}:${start.line + 1}:${start.column + 1}`;
const plain = (text: string): string => text.trim().replaceAll(/\s+/gu, " ");

async function report(title: string, mutants: readonly Mutant[], statuses: Statuses) {
  let known = 0;
  const survivors = mutants.filter(({ id }) => !["killed", "timeout"].includes(statuses.get(id) ?? ""));
  for (const mutant of survivors) {
    const lines = (await readFile(mutant.fileName, "utf8")).split("\n");
    const line = plain(lines[mutant.location.start.line] ?? "");
    const becomes = plain(mutant.replacement);
    const isKnown = accepted.some(
      (each) => each.file === mutant.fileName && each.line === line && each.becomes === becomes,
    );
    if (isKnown) known += 1;
    else console.log(`${rangeOf(mutant)} ${statuses.get(mutant.id)}: ${line}\n    becomes ${becomes}`);
  }
  const score = (100 * (1 - survivors.length / mutants.length)).toFixed(1);
  console.log(
    `${title}: ${score} % of ${mutants.length} are noticed, ${survivors.length} are not, ${known} of them accepted`,
  );
}

const targets = process.argv.slice(2);
for (const target of targets.length === 0 ? FOLDERS : targets) {
  const pattern = target.endsWith(".ts") ? target : `src/${path.basename(target)}/**/*.ts`;
  const files = (await Array.fromAsync(glob(pattern))).filter((file) => !file.includes("/generated/"));
  const folder = path.basename(path.dirname(files[0] ?? ""));
  const mutants = await instrument(files);
  const tests = (await Array.fromAsync(glob("test/unit/**/*.test.ts"))).filter(
    (file) => !LEFT_OUT.test(file),
  );
  const isOwn = (file: string): boolean => file.startsWith(`test/unit/${folder}/`);
  const ordered = [...tests.filter(isOwn), ...tests.filter((file) => !isOwn(file))];
  const absolute = ordered.map((file) => path.join(SANDBOX, file));
  // All tests once without a mutant: which of them reach which expression.
  await worker([], absolute, 0);
  const workers = Math.min(2, availableParallelism());
  const parts = Array.from({ length: workers }, (_, nth) =>
    mutants.filter((_mutant, at) => at % workers === nth),
  );
  const statuses = await Promise.all(parts.map((part, nth) => tried(part, absolute, nth)));
  await report(target, mutants, new Map(statuses.flatMap((each) => [...each])));
}
