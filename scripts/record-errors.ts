// See scripts/record-errors.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { artifacts, openSite, registryFaults, silentTls, type Stage } from "../test/real/faults-catalogue.ts";
import {
  type ContainerdLine,
  type CrictlVersion,
  crictlVersions,
  missingTools,
  usualLines,
} from "../test/rig/tools.ts";
import { normalise } from "./record-errors-normalise.ts";
import { ctrFaults, runtimeFaults, type Subject } from "./record-errors-runtime.ts";
import { toolsOf } from "./record-errors-tools.ts";

const fixtures = path.resolve(import.meta.dirname, "..", "test", "fixtures", "errors");
/** Milliseconds until a tool is ended that would wait for ever. */
const bound = 3_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    line: { type: "string", multiple: true, default: [...usualLines] },
    crictl: { type: "string", multiple: true, default: [...crictlVersions] },
  },
});
const wanted = (fault: string): boolean => positionals.length === 0 || positionals.includes(fault);

const stages: Readonly<Record<string, Stage>> = { ...registryFaults, ...artifacts, "tls-silent": silentTls };

/** The other crictls where it matters: where CRI pulls, and where the transfer service does. */
const linesOf = (crictl: CrictlVersion): readonly ContainerdLine[] =>
  crictl === "1.30" ? usualLines : ["1.7", "2"];

async function record(line: ContainerdLine, crictl: CrictlVersion): Promise<void> {
  await using cleanup = new AsyncDisposableStack();
  const site = await openSite(line, cleanup, crictl);
  const { containerd } = site;
  const subject = { containerd, crictl, tools: toolsOf(containerd), site };
  await Promise.all(
    Object.entries(stages)
      .filter(([fault]) => wanted(fault))
      .map(async ([fault, stage]) => write(subject, fault, await recordStage(subject, fault, stage))),
  );
  const others = { ...(crictl === "1.30" && ctrFaults), ...runtimeFaults };
  for (const [fault, recording] of Object.entries(others)) {
    if (wanted(fault)) write(subject, fault, await recording(subject));
  }
}

async function recordStage(
  { tools, site }: Subject,
  fault: string,
  stage: Stage,
): Promise<string | undefined> {
  const { reference, auth, endless } = await stage(site, fault);
  return tools.pull(reference, auth, endless === true ? AbortSignal.timeout(bound) : undefined);
}

function write(
  { containerd: { line, folder }, crictl }: Subject,
  fault: string,
  said: string | undefined,
): void {
  const file = path.join(fixtures, `crictl-${crictl}`, `${fault}.${line}.txt`);
  process.stdout.write(`${crictl} ${line.padEnd(7)} ${fault}${said === undefined ? ": did not fail" : ""}\n`);
  if (said === undefined) rmSync(file, { force: true });
  else writeFileSync(file, normalise(said, folder));
}

for (const crictl of crictlVersions.filter((version) => values.crictl.includes(version))) {
  mkdirSync(path.join(fixtures, `crictl-${crictl}`), { recursive: true });
  const lines = linesOf(crictl).filter((line) => values.line.includes(line));
  const missing = lines.flatMap((line) => missingTools(line, undefined, crictl));
  if (missing.length > 0) throw new Error(missing.join("; "));
  await Promise.all(lines.map((line) => record(line, crictl)));
}
