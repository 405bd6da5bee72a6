// Measures the built executable against the bash release and xargs, on real containerd and a real registry.
import { accessSync, constants } from "node:fs";
import { writeFile } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import path from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { startRegistry } from "../rig/registry.ts";
import { type ContainerdLine, containerdLines, missingTools } from "../rig/tools.ts";
import { cases, casesNamed } from "./cases.ts";
import { type Contender, contenders } from "./contenders.ts";
import { type Contest, contest } from "./contest.ts";
import { startup } from "./startup.ts";
import { table } from "./table.ts";

const usage =
  "npm run bench -- [--case NAME]... [--line LINE]... [--runs N] [--parallel N]... [--sync] [--only CONTENDER]... [--json FILE]";
const { values } = parseArgs({
  options: {
    help: { type: "boolean", short: "h" },
    case: { type: "string", multiple: true },
    line: { type: "string", multiple: true, default: ["1.7", "2"] },
    runs: { type: "string", default: "5" },
    parallel: { type: "string", multiple: true, default: ["4"] },
    sync: { type: "boolean", default: false },
    only: { type: "string", multiple: true },
    executable: { type: "string" },
    json: { type: "string" },
  },
});

if (values.help === true) {
  process.stdout.write(`${usage}\nCases: ${cases.map((known) => known.name).join(", ")}\n`);
  process.exit();
}
const dist = path.resolve(import.meta.dirname, "..", "..", "dist");
const executable = path.resolve(values.executable ?? path.join(dist, "import-images"));
const chosen = casesNamed(values.case ?? cases.map((known) => known.name));
const lines = values.line.map(lineNamed);
const runs = Number(values.runs);
const endings = values.sync ? [{ synced: false }, { synced: true }] : [{ synced: false }];
const field = fieldOf(contenders(executable, values.parallel.map(Number), endings), values.only);

accessSync(executable, constants.X_OK);
await using registry = await startRegistry();
const startupMs = startup(executable, 21);
process.stdout.write(
  `--version: median ${startupMs.median.toFixed(0)} ms (${startupMs.min.toFixed(0)} to ${startupMs.max.toFixed(0)}, 21 runs)\n\n`,
);
const contests: Contest[] = [];
for (const bench of chosen) {
  for (const line of lines) {
    const result = await contest(registry, bench, line, { runs, contenders: field });
    contests.push(result);
    process.stdout.write(`${table(result)}\n`);
  }
}
if (values.json !== undefined) {
  const machine = { cpus: availableParallelism(), model: cpus()[0]?.model ?? "", node: process.version };
  await writeFile(values.json, `${JSON.stringify({ machine, startupMs, contests }, undefined, 2)}\n`);
}

function lineNamed(name: string): ContainerdLine {
  const line = containerdLines.find((known) => known === name);
  if (line === undefined) throw new Error(`no containerd line "${name}" (${containerdLines.join(", ")})`);
  const missing = missingTools(line);
  if (missing.length > 0) throw new Error(missing.join("\n"));
  return line;
}

/** By the beginnings of their names: `xargs` is all of them. */
function fieldOf(all: readonly Contender[], only: readonly string[] | undefined): readonly Contender[] {
  return only === undefined ? all : all.filter(({ name }) => only.some((part) => name.startsWith(part)));
}
