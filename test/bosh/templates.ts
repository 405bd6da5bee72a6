import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";

export const releaseDir = join(import.meta.dirname, "../../bosh-release");
export const jobDir = join(releaseDir, "jobs/import-images");

export interface Rendered {
  readonly ok: boolean;
  /** What the template gave. */
  readonly text: string;
  /** What the director would show in its task log. */
  readonly error: string;
}

export interface JobProperty {
  readonly description?: string;
  readonly default?: unknown;
  readonly example?: unknown;
}

export interface JobSpec {
  readonly templates: Readonly<Record<string, string>>;
  readonly packages: readonly string[];
  readonly properties: Readonly<Record<string, JobProperty>>;
}

export function readJobSpec(): JobSpec {
  return parse(readFileSync(join(jobDir, "spec"), "utf8")) as JobSpec;
}

export const hasRuby = spawnSync("ruby", ["--version"]).status === 0;

/** Renders a template of the job with Debian's ruby, as a director does. */
export function renderTemplate(template: string, properties: unknown): Rendered {
  const script = join(import.meta.dirname, "render-template.rb");
  const { status, stdout, stderr } = spawnSync("ruby", [script, jobDir, template], {
    input: JSON.stringify(properties),
    encoding: "utf8",
  });
  return { ok: status === 0, text: stdout, error: stderr };
}

type Tree = Readonly<Record<string, unknown>>;

const isTree = (value: unknown): value is Tree =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** `((variables))` as the config server would fill them in. */
export function fillVariables(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fillVariables);
  if (isTree(value))
    return Object.fromEntries(Object.entries(value).map(([key, of]) => [key, fillVariables(of)]));
  const variable =
    typeof value === "string" ? /^\(\((?<name>\S+)\)\)$/u.exec(value)?.groups?.["name"] : undefined;
  if (variable === undefined) return value;
  if (variable.endsWith("_auth")) return Buffer.from("robot:secret").toString("base64");
  return variable.endsWith("docker_config") ? { auths: {} } : "text";
}
