import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { decodeConfig } from "../../src/config/decode.ts";
import {
  fillVariables,
  hasRuby,
  jobDir,
  readJobSpec,
  releaseDir,
  renderTemplate,
} from "../bosh/templates.ts";

const SECRET = "hunter2-swordfish";
const AUTH = Buffer.from(`robot:${SECRET}`).toString("base64");
const spec = readJobSpec();

if (!hasRuby) console.warn("SKIPPED: no ruby on the PATH, so the job's templates were not rendered");

const render = (properties: Record<string, unknown>) => renderTemplate("config.json.erb", properties);
const config = (properties: Record<string, unknown>): Record<string, unknown> => {
  const { ok, text, error } = render(properties);
  expect(error).toBe("");
  expect(ok).toBe(true);
  return JSON.parse(text) as Record<string, unknown>;
};
const problemOf = (properties: Record<string, unknown>): string => {
  const { ok, error } = render(properties);
  expect(ok).toBe(false);
  expect(error).not.toContain(SECRET);
  expect(error).not.toContain(AUTH);
  return error.trim();
};

describe.skipIf(!hasRuby)("config.json", () => {
  test("of a list alone holds the list and every default, and leaves out what has none", () => {
    expect(config({ images: [{ name: "harbor.example.com/a:1" }] })).toEqual({
      images: [{ name: "harbor.example.com/a:1" }],
      registries: [],
      pin: true,
      on_failure: "fail",
      concurrency: "auto",
      retry: { attempts: 5, min_delay: "1s", max_delay: "30s" },
      stall_timeout: "60s",
      image_timeout: "30m",
      deadline: "60m",
      start_jitter: "0s",
      disk: { min_free_percent: 0 },
      containerd: {
        crictl: "/var/vcap/packages/containerd/bin/crictl",
        ctr: "/var/vcap/packages/containerd/bin/ctr",
        socket: "/var/vcap/sys/run/containerd/containerd.sock",
        namespace: "k8s.io",
        ready_timeout: "120s",
      },
      archives: [],
      allow_credentials_in_argv: false,
      log_level: "info",
    });
  });

  test("carries every property as the spec's own examples give it", () => {
    const examples = Object.entries(spec.properties).map(
      ([name, { example }]) => [name, fillVariables(example)] as const,
    );
    expect(examples.filter(([, example]) => example === undefined)).toEqual([]);
    const rendered = config(nest(examples));
    for (const [name, example] of examples) expect.soft(at(rendered, name), name).toEqual(example);
  });

  test("keeps false and zero, which are not the same as unset", () => {
    const properties = {
      images: [{ name: "a", pin: false, required: false }],
      pin: false,
      disk: { min_free_percent: 0 },
    };
    expect(config(properties)).toMatchObject(properties);
  });

  test("takes null as unset, as the bash release did for auth and retagAs", () => {
    const rendered = config({
      images: [{ name: "a", auth: null, retagAs: null }],
      pin: null,
      docker_config: null,
    });
    expect(rendered["images"]).toEqual([{ name: "a" }]);
    expect(rendered["pin"]).toBe(true);
    expect(rendered).not.toHaveProperty("docker_config");
  });

  test("keeps an empty auth and an empty retagAs, which count as not given", () => {
    expect(config({ images: [{ name: "a", auth: "", retagAs: "" }] })["images"]).toEqual([
      { name: "a", auth: "", retagAs: "" },
    ]);
  });

  test("drops what the spec does not declare, as the director does", () => {
    expect(config({ images: [], no_such_property: 1 })).not.toHaveProperty("no_such_property");
  });

  test.each([
    'qu"ote',
    "apo'strophe",
    "$(touch x)",
    "`touch x`",
    "two\nlines",
    "back\\slash",
    "-n",
    "</script>",
    "<%= 1 %>",
    "ümlaut \u{1f600}",
  ])("gives a password of %j back exactly", (password) => {
    const registries = [{ host: "harbor.example.com", username: "robot", password }];
    expect(config({ images: [], registries })["registries"]).toEqual(registries);
  });

  test("of the spec's own examples is one that the agent takes", () => {
    const examples = Object.entries(spec.properties).map(
      ([name, { example }]) => [name, fillVariables(example)] as const,
    );
    expect(decodeConfig(config(nest(examples)))).toMatchObject({ ok: true });
  });

  test.each(Object.entries(exampleProperties()))(
    "of the example %s is one that the agent takes",
    (_, properties) => {
      expect(decodeConfig(config(properties))).toMatchObject({ ok: true });
    },
  );

  test("takes one name under two images that are the same one", () => {
    const images = [
      { name: "nginx", retagAs: "registry.k8s.io/nginx:1" },
      { name: "docker.io/library/nginx:latest", retagAs: ["registry.k8s.io/nginx:1"] },
    ];
    expect(config({ images })["images"]).toEqual(images);
  });
});

describe.skipIf(!hasRuby)("a wrong property", () => {
  const image = { name: "harbor.example.com/a:1", auth: AUTH };
  const inFourth = (wrong: Record<string, unknown>) => ({
    images: [image, image, image, { ...image, ...wrong }],
  });

  test.each<[string, Record<string, unknown>, string]>([
    ["a missing list", {}, "images: is required, if only as an empty list"],
    ["a missing name", { images: [image, { auth: AUTH }] }, "images[1].name: is required"],
    ["an empty name", inFourth({ name: "" }), "images[3].name: must be an image reference"],
    ["a number as name", inFourth({ name: 3 }), "images[3].name: must be an image reference, not a number"],
    [
      "a name with a command in it",
      inFourth({ name: `$(${SECRET})` }),
      "images[3].name: must be an image reference",
    ],
    [
      "a name with a quote in it",
      inFourth({ name: `a"${SECRET}` }),
      "images[3].name: must be an image reference",
    ],
    ["a name of two lines", inFourth({ name: `a\n${SECRET}` }), "images[3].name: must be an image reference"],
    [
      "a name that looks like an option",
      inFourth({ name: `--${SECRET}` }),
      "images[3].name: must be an image reference",
    ],
    [
      "a mapping as further name",
      inFourth({ retagAs: { x: SECRET } }),
      "images[3].retagAs: must be an image reference, not a mapping",
    ],
    [
      "a number among further names",
      inFourth({ retagAs: ["a:1", 1.2] }),
      "images[3].retagAs[1]: must be an image reference, not a number",
    ],
    [
      "an auth that is not base64",
      inFourth({ auth: `robot:${SECRET}` }),
      "images[3].auth: must be base64 of user:password",
    ],
    [
      "an auth without a colon",
      inFourth({ auth: Buffer.from(SECRET).toString("base64") }),
      "images[3].auth: must be base64 of user:password",
    ],
    [
      "a user without password",
      inFourth({ auth: "", username: "robot" }),
      "images[3]: username and password belong together",
    ],
    [
      "a policy that Kubernetes has and this has not",
      inFourth({ pullPolicy: "Never" }),
      "images[3].pullPolicy: must be Always or IfNotPresent",
    ],
    ["a YAML no", inFourth({ pin: "no" }), "images[3].pin: must be true or false"],
    [
      "a number as timeout",
      inFourth({ timeout: 60 }),
      "images[3].timeout: must be a duration above zero such as 90s or 5m, not a number",
    ],
    ["a key in other case", inFourth({ retagas: SECRET }), "images[3]: unknown key, did you mean retagAs?"],
    ["a text as item", { images: [image, SECRET] }, "images[1]: must be a mapping, not a string"],
    ["a mapping as list", { images: { name: SECRET } }, "images: must be a list, not a mapping"],
    [
      "a registry without host",
      { images: [], registries: [{ auth: AUTH }] },
      "registries[0].host: is required",
    ],
    [
      "no attempt at all",
      { images: [], retry: { attempts: 0 } },
      "retry.attempts: must be a whole number from 1 to 100",
    ],
    [
      "a concurrency of words",
      { images: [], concurrency: "all" },
      "concurrency: must be auto or a whole number from 1 to 64",
    ],
    [
      "a share of disk above all of it",
      { images: [], disk: { min_free_percent: 120 } },
      "disk.min_free_percent: must be a whole number from 0 to 99",
    ],
    ["an unknown reaction", { images: [], on_failure: "ignore" }, "on_failure: must be fail or warn"],
    [
      "a relative path",
      { images: [], containerd: { ctr: "ctr" } },
      "containerd.ctr: must be an absolute path",
    ],
    [
      "both forms of credentials",
      inFourth({ username: "robot", password: SECRET }),
      "images[3]: has both auth and username, give one of them",
    ],
    [
      "a user name with a colon",
      { images: [], registries: [{ host: "a", username: `robot:${SECRET}`, password: SECRET }] },
      "registries[0].username: must be a user name without a colon",
    ],
    [
      "a registry without credentials",
      { images: [], registries: [{ host: "a" }] },
      "registries[0]: has no credentials",
    ],
    [
      "a docker config that is not JSON",
      { images: [], docker_config: SECRET },
      "docker_config: must be a mapping or JSON text of one",
    ],
    [
      "a metrics file that no collector reads",
      { images: [], metrics_file: "/tmp/metrics" },
      "metrics_file: must be an absolute path that ends in .prom",
    ],
    ["an archive without path", { images: [], archives: [{}] }, "archives[0].path: is required"],
  ])("%s is refused with its place and without its content", (_, properties, message) => {
    expect(problemOf(properties)).toBe(message);
  });

  test("an unknown key is refused without being repeated, as it may be a secret out of place", () => {
    expect(problemOf(inFourth({ [SECRET]: null, [`${SECRET}x`]: 1 }))).toMatch(
      /^images\[3\]: unknown key, known are name, auth, /u,
    );
  });

  test("a name that two images claim is refused with both places", () => {
    const images = [
      { name: "harbor.example.com/a:1", retagAs: "nginx" },
      { name: "harbor.example.com/b:1", retagAs: ["x:1", "docker.io/library/nginx:latest"] },
    ];
    expect(problemOf({ images })).toBe("images[1].retagAs[1]: images[0] has this name already");
  });

  test("a further name that is another image's own is refused", () => {
    const images = [
      { name: "harbor.example.com/a:1" },
      { name: "harbor.example.com/b:1", retagAs: "harbor.example.com/a:1" },
    ];
    expect(problemOf({ images })).toBe("images[1].retagAs: images[0] has this name already");
  });

  test("does not hide the next one: all are reported in one go", () => {
    const problem = problemOf({ images: [{ name: 1 }, {}], pin: "yes" });
    expect(problem.split("; ")).toEqual([
      "images[0].name: must be an image reference, not a number",
      "images[1].name: is required",
      "pin: must be true or false",
    ]);
  });
});

describe("the job", () => {
  test("is both a post-start hook and an errand, and has no process for monit", () => {
    expect(Object.values(spec.templates).toSorted()).toEqual([
      "bin/import-images",
      "bin/post-start",
      "bin/run",
      "config/config.json",
    ]);
    expect(readFileSync(join(jobDir, "monit"), "utf8")).toBe("");
  });

  test("describes every property and gives an example of it", () => {
    for (const [name, property] of Object.entries(spec.properties)) {
      expect.soft(property.description ?? "", name).not.toBe("");
      expect.soft(property.example, name).toBeDefined();
    }
  });

  test("has the same properties in spec, template, schema and README", () => {
    const declared = Object.keys(spec.properties).toSorted();
    expect(templateProperties()).toEqual(declared);
    expect(schemaProperties()).toEqual(declared);
    expect(readmeProperties()).toEqual(declared);
  });
});

describe.skipIf(!hasRuby)("the examples", () => {
  const examples = exampleFiles();

  test.each(examples)("%s parses, and its properties pass the templates", (example) => {
    const jobs = exampleJobs(example);
    expect(jobs).toHaveLength(1);
    for (const { properties } of jobs) config(fillVariables(properties) as Record<string, unknown>);
  });

  test.each(examples)("%s names the release's version, which a runtime config must", (example) => {
    expect(readExample(example)).toMatch(/name: import-images\n\s+version: \d+\.\d+\.\d+\n/u);
  });

  test.each(examples)("%s holds no secret: they come from CredHub, by absolute name", (example) => {
    const secrets = [
      ...readExample(example).matchAll(/^\s*(?:- )?(?:auth|password|docker_config): (?<value>.+)$/gmu),
    ];
    for (const { groups } of secrets)
      expect(groups?.["value"]).toMatch(/^(?:\(\(\/import-images\/[\w.]+\)\)|"")$/u);
  });
});

const exampleFiles = (): string[] =>
  readdirSync(join(releaseDir, "examples")).filter((file) => file.endsWith(".yml"));

/** Properties of each example file, with the variables filled in. */
function exampleProperties(): Record<string, Record<string, unknown>> {
  const files = exampleFiles();
  return Object.fromEntries(
    files.flatMap((file) =>
      exampleJobs(file).map(({ properties }) => [file, fillVariables(properties) as Record<string, unknown>]),
    ),
  );
}

interface AddonJob {
  readonly name: string;
  readonly properties: unknown;
}

interface ExampleDocument {
  readonly addons?: readonly { readonly jobs: readonly AddonJob[] }[];
}

function readExample(name: string): string {
  return readFileSync(join(releaseDir, "examples", name), "utf8");
}

/** The jobs of a runtime config, or of the addons that an ops file puts into a manifest. */
function exampleJobs(name: string): readonly AddonJob[] {
  const documents = parseAllDocuments(readExample(name));
  const content = documents.map((document) => document.toJS() as unknown);
  const addons = content.flatMap((document) =>
    Array.isArray(document)
      ? (document as { path: string; value: { jobs: readonly AddonJob[] } }[])
          .filter(({ path }) => path.startsWith("/addons"))
          .map(({ value }) => value)
      : ((document as ExampleDocument).addons ?? []),
  );
  return addons.flatMap(({ jobs }) => jobs).filter((job) => job.name === "import-images");
}

function nest(flat: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  const tree: Record<string, unknown> = {};
  for (const [name, value] of flat) {
    const [group, key] = name.split(".");
    if (group === undefined) continue;
    if (key === undefined) tree[group] = value;
    else tree[group] = { ...(tree[group] as object | undefined), [key]: value };
  }
  return tree;
}

function at(tree: unknown, name: string): unknown {
  return name.split(".").reduce((value, key) => (value as Record<string, unknown>)[key], tree);
}

function templateProperties(): string[] {
  const template = readFileSync(join(jobDir, "templates/config.json.erb"), "utf8");
  const table = /^ {2}properties = \{\n(?<rows>.*?)^ {2}\}$/msu.exec(template)?.groups?.["rows"] ?? "";
  return [...table.matchAll(/^ {4}'(?<name>[\w.]+)' =>/gmu)]
    .map(({ groups }) => groups?.["name"] ?? "")
    .toSorted();
}

interface Schema {
  readonly $schema?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
}

function schemaProperties(): string[] {
  const schema = JSON.parse(readFileSync(join(jobDir, "properties_schema.json"), "utf8")) as Schema;
  expect(schema.$schema).toBe("https://json-schema.org/draft/2020-12/schema");
  return Object.entries(schema.properties ?? {})
    .flatMap(([name, { properties }]) =>
      properties === undefined ? [name] : Object.keys(properties).map((key) => `${name}.${key}`),
    )
    .toSorted();
}

/** First column of the README's table; of items of a list only the list counts. */
function readmeProperties(): string[] {
  const readme = readFileSync(join(releaseDir, "README.md"), "utf8");
  const table = /^\| property \|.*\n\|[-| ]+\|\n(?<rows>(?:\|.*\n)+)/mu.exec(readme)?.groups?.["rows"] ?? "";
  const names = table
    .split("\n")
    .flatMap((row) => [...(row.split("|")[1] ?? "").matchAll(/`(?<name>[^`]+)`/gu)]);
  return [...new Set(names.map(({ groups }) => (groups?.["name"] ?? "").replace(/\[\].*$/u, "")))].toSorted();
}
