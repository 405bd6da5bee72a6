// Usage: npm run mutants [-- FOLDER|FILE...]
// Changes src, one expression at a time, and tells which changes no unit test notices: first with a folder's own tests,
// then, for what is left, with all of them. Without arguments: core, run, config, state and containerd.
import { readFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { Stryker } from "@stryker-mutator/core";
import { array, object, parse, string } from "valibot";
import { parse as parseYaml } from "yaml";

const FOLDERS = ["core", "run", "config", "state", "containerd"];

type Options = ConstructorParameters<typeof Stryker>[0];
type MutantResult = Awaited<ReturnType<Stryker["runMutationTest"]>>[number];

const OPTIONS: Options = {
  testRunner: "vitest",
  plugins: [import.meta.resolve("@stryker-mutator/vitest-runner")],
  vitest: { pool: "forks", configFile: "test/mutants/vitest.config.ts" },
  // TypeScript 7 has no API of the kind that Stryker calls.
  tsconfigFile: "none.json",
  coverageAnalysis: "perTest",
  concurrency: 2,
  // Texts are for people.
  mutator: { excludedMutations: ["StringLiteral"] },
  tempDirName: ".cache/mutants",
  ignorePatterns: ["dist"],
  reporters: ["progress-append-only"],
  warnings: false,
  // A slow machine is no endless loop.
  timeoutMS: 30_000,
  allowEmpty: true,
};

/** Survivors that are accepted: the line that they are in, what stands there instead, and why nobody need notice. */
const acceptedSchema = array(object({ file: string(), line: string(), becomes: string(), why: string() }));
const accepted = parse(acceptedSchema, parseYaml(readFileSync("test/mutants/accepted.yml", "utf8")));

const isDetected = ({ status }: MutantResult): boolean => status === "Killed" || status === "Timeout";
const isError = ({ status }: MutantResult): boolean => status.endsWith("Error");
const fileOf = ({ fileName }: MutantResult): string => path.relative(".", fileName);
/** Lines and columns count from 1, but in the ranges that Stryker takes columns count from 0. */
const rangeOf = (mutant: MutantResult): string => {
  const { start, end } = mutant.location;
  return `${fileOf(mutant)}:${start.line}:${start.column - 1}-${end.line}:${end.column - 1}`;
};
const keyOf = (mutant: MutantResult): string => `${rangeOf(mutant)} ${mutant.replacement}`;
const lineOf = (mutant: MutantResult): string =>
  readFileSync(mutant.fileName, "utf8").split("\n")[mutant.location.start.line - 1]?.trim() ?? "";
const isAccepted = (mutant: MutantResult): boolean =>
  accepted.some(
    ({ file, line, becomes }) =>
      file === fileOf(mutant) && line === lineOf(mutant) && becomes === mutant.replacement,
  );

/** @param tests a glob; Stryker's own option for it is not heeded for what runs when a module is loaded */
async function mutated(mutate: string[], tests: string): Promise<MutantResult[]> {
  if (mutate.length === 0) return [];
  process.env["MUTANTS_TESTS"] = tests;
  const found = await new Stryker({ ...OPTIONS, mutate }).runMutationTest();
  return found.filter(({ mutatorName }) => mutatorName !== "StringLiteral");
}

/** @param files globs below src */
async function mutantsOf(folder: string, files: readonly string[]): Promise<MutantResult[]> {
  const own = `test/unit/${folder}/**/*.test.ts`;
  const first = await mutated([...files, "!src/containerd/generated/**"], own);
  const left = first.filter((mutant) => !isDetected(mutant) && !isError(mutant));
  const second = await mutated([...new Set(left.map(rangeOf))], "test/unit/**/*.test.ts");
  const again = new Map(second.map((mutant) => [keyOf(mutant), mutant]));
  return first.map((mutant) => (isDetected(mutant) ? mutant : (again.get(keyOf(mutant)) ?? mutant)));
}

function report(title: string, mutants: readonly MutantResult[]): void {
  const valid = mutants.filter((mutant) => !isError(mutant));
  const survivors = valid.filter((mutant) => !isDetected(mutant));
  for (const mutant of survivors.filter((survivor) => !isAccepted(survivor)))
    console.log(
      `${rangeOf(mutant)} ${mutant.status}: ${lineOf(mutant)}\n    becomes ${mutant.replacement?.replaceAll(/\s+/gu, " ")}`,
    );
  const score = (100 * (1 - survivors.length / valid.length)).toFixed(1);
  const known = survivors.filter(isAccepted).length;
  console.log(
    `${title}: ${score} % of ${valid.length} noticed, ${survivors.length} survive, ${known} of them accepted`,
  );
}

const targets = process.argv.slice(2);
const byFolder = Map.groupBy(targets.length === 0 ? FOLDERS : targets, (target) =>
  path.basename(target.endsWith(".ts") ? path.dirname(target) : target),
);
for (const [folder, files] of byFolder)
  report(
    folder,
    await mutantsOf(
      folder,
      files.map((file) => (file.endsWith(".ts") ? file : `src/${folder}/**/*.ts`)),
    ),
  );
