// The job's templates, spec and examples for tests; templates are rendered as a director does it.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
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

export interface Renderer extends AsyncDisposable {
  render(properties: unknown): Promise<Rendered>;
}

/** One Ruby that renders a template of the job again and again, as a director does: to start one takes its time. */
export function startRenderer(template: string): Renderer {
  const script = join(import.meta.dirname, "render-template.rb");
  const ruby = spawn("ruby", [script, jobDir, template], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: ruby.stdout })[Symbol.asyncIterator]();
  return {
    render: async (properties) => {
      ruby.stdin.write(`${JSON.stringify(properties)}\n`);
      const { value } = await lines.next();
      const { text = "", error } = JSON.parse(String(value)) as { text?: string; error?: string };
      return { ok: error === undefined, text, error: error ?? "" };
    },
    [Symbol.asyncDispose]: async () => {
      const ended = once(ruby, "exit");
      ruby.stdin.end();
      await ended;
    },
  };
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
