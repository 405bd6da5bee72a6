import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { decodeConfig } from "../../src/config/decode.ts";
import { fillVariables, hasRuby, jobDir, readJobSpec, releaseDir, startRenderer } from "../bosh/templates.ts";
import { generatedFiles } from "../../scripts/generate-properties.ts";

const SECRET = "hunter2-swordfish";
const AUTH = Buffer.from(`robot:${SECRET}`).toString("base64");
const spec = readJobSpec();

if (!hasRuby) console.warn("SKIPPED: no ruby on the PATH, so the job's templates were not rendered");

const ruby = hasRuby ? startRenderer("config.json.erb") : undefined;
afterAll(() => ruby?.[Symbol.asyncDispose]());

const render = async (properties: Record<string, unknown>) => {
  if (ruby === undefined) throw new Error("no ruby");
  return ruby.render(properties);
};
const config = async (properties: Record<string, unknown>): Promise<Record<string, unknown>> => {
  const { ok, text, error } = await render(properties);
  expect(error).toBe("");
  expect(ok).toBe(true);
  return JSON.parse(text) as Record<string, unknown>;
};
const problemOf = async (properties: Record<string, unknown>): Promise<string> => {
  const { ok, error } = await render(properties);
  expect(ok).toBe(false);
  expect(error).not.toContain(SECRET);
  expect(error).not.toContain(AUTH);
  return error.trim();
};

describe.skipIf(!hasRuby)("config.json", () => {
  test("of a list alone holds the list and every default, and leaves out what has none", async () => {
    expect(await config({ images: [{ name: "harbor.example.com/a:1" }] })).toEqual({
      images: [{ name: "harbor.example.com/a:1" }],
      registries: [],
      pin: true,
      on_failure: "fail",
      concurrency: "auto",
      retry: { attempts: 5, min_delay: "1s", max_delay: "30s" },
      registry_timeout: "5m",
      stall_timeout: "60s",
      image_timeout: "30m",
      deadline: "60m",
      start_jitter: "0s",
      disk: { min_free_percent: 0 },
      containerd: {
        crictl: "/var/vcap/packages/containerd/bin/crictl",
        ctr: "/var/vcap/packages/containerd/bin/ctr",
        socket: "/var/vcap/sys/run/containerd/containerd.sock",
        ready_timeout: "120s",
      },
      kubelet: { root_dir: "/var/lib/kubelet" },
      archives: [],
      allow_credentials_in_argv: false,
      log_level: "info",
    });
  });

  test("carries every property as the spec's own examples give it", async () => {
    const examples = Object.entries(spec.properties).map(
      ([name, { example }]) => [name, fillVariables(example)] as const,
    );
    expect(examples.filter(([, example]) => example === undefined)).toEqual([]);
    const rendered = await config(nest(examples));
    for (const [name, example] of examples) expect.soft(at(rendered, name), name).toEqual(example);
  });

  test("keeps false and zero, which are not the same as unset", async () => {
    const properties = {
      images: [{ name: "a", pin: false, required: false }],
      pin: false,
      disk: { min_free_percent: 0 },
    };
    expect(await config(properties)).toMatchObject(properties);
  });

  test("takes null as unset, as the bash release did for auth and retagAs", async () => {
    const rendered = await config({
      images: [{ name: "a", auth: null, retagAs: null }],
      pin: null,
      docker_config: null,
    });
    expect(rendered["images"]).toEqual([{ name: "a", auth: null, retagAs: null }]);
    expect(rendered["pin"]).toBe(true);
    expect(rendered).not.toHaveProperty("docker_config");
  });

  test("keeps an empty auth and an empty retagAs, which count as not given", async () => {
    expect((await config({ images: [{ name: "a", auth: "", retagAs: "" }] }))["images"]).toEqual([
      { name: "a", auth: "", retagAs: "" },
    ]);
  });

  test("drops what the spec does not declare, as the director does", async () => {
    expect(await config({ images: [], no_such_property: 1 })).not.toHaveProperty("no_such_property");
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
  ])("gives a password of %j back exactly", async (password) => {
    const registries = [{ host: "harbor.example.com", username: "robot", password }];
    expect((await config({ images: [], registries }))["registries"]).toEqual(registries);
  });

  test("of the spec's own examples is one that the agent takes", async () => {
    const examples = Object.entries(spec.properties).map(
      ([name, { example }]) => [name, fillVariables(example)] as const,
    );
    expect(decodeConfig(await config(nest(examples)))).toMatchObject({ ok: true });
  });

  test.each(Object.entries(exampleProperties()))(
    "of the example %s is one that the agent takes",
    async (_, properties) => {
      expect(decodeConfig(await config(properties))).toMatchObject({ ok: true });
    },
  );

  test("takes one name under two images that are the same one", async () => {
    const images = [
      { name: "nginx", retagAs: "registry.k8s.io/nginx:1" },
      { name: "docker.io/library/nginx:latest", retagAs: ["registry.k8s.io/nginx:1"] },
    ];
    expect((await config({ images }))["images"]).toEqual(images);
  });
});

describe.skipIf(!hasRuby)("a wrong property", () => {
  const image = { name: "harbor.example.com/a:1", auth: AUTH };
  const inFourth = (wrong: Record<string, unknown>) => ({
    images: [image, image, image, { ...image, ...wrong }],
  });

  test.each<[string, Record<string, unknown>, string]>([
    ["a missing list", {}, "images: is missing"],
    ["a missing name", { images: [image, { auth: AUTH }] }, "images[1].name: is missing"],
    [
      "an empty name",
      inFourth({ name: "" }),
      "images[3].name: must be an image reference, in quotes if it looks like a number",
    ],
    [
      "a number as name",
      inFourth({ name: 3 }),
      "images[3].name: must be an image reference, in quotes if it looks like a number",
    ],
    [
      "a name with a command in it",
      inFourth({ name: `$(${SECRET})` }),
      "images[3].name: must be an image reference, in quotes if it looks like a number",
    ],
    [
      "a name with a quote in it",
      inFourth({ name: `a"${SECRET}` }),
      "images[3].name: must be an image reference, in quotes if it looks like a number",
    ],
    [
      "a name of two lines",
      inFourth({ name: `a\n${SECRET}` }),
      "images[3].name: must be an image reference, in quotes if it looks like a number",
    ],
    [
      "a name that looks like an option",
      inFourth({ name: `--${SECRET}` }),
      "images[3].name: must be an image reference, in quotes if it looks like a number",
    ],
    [
      "a mapping as further name",
      inFourth({ retagAs: { x: SECRET } }),
      "images[3].retagAs: must be an image reference, in quotes if it looks like a number, or a list of them",
    ],
    [
      "a number among further names",
      inFourth({ retagAs: ["a:1", 1.2] }),
      "images[3].retagAs[1]: must be an image reference, in quotes if it looks like a number",
    ],
    [
      "an auth that is not base64",
      inFourth({ auth: `robot:${SECRET}` }),
      "images[3].auth: must be base64 of user:password (or give username and password instead)",
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
      "images[3].timeout: must be a duration such as 500ms, 60s or 1h30m, at most 24 days",
    ],
    [
      "a misspelt key",
      { images: [], archives: [{ path: "/x", require: SECRET }] },
      "archives[0]: unknown key, known are path, required, pin",
    ],
    [
      "an upper-case repository",
      inFourth({ name: "a.b/C" }),
      "images[3].name: must be an image reference, in quotes if it looks like a number",
    ],
    ["a text as item", { images: [image, SECRET] }, "images[1]: must be a set of properties"],
    ["a mapping as list", { images: { name: SECRET } }, "images: must be a list"],
    [
      "a registry without host",
      { images: [], registries: [{ auth: AUTH }] },
      "registries[0].host: is missing",
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
      "containerd.ctr: must be an absolute path without control characters",
    ],
    [
      "a user name with a colon",
      { images: [], registries: [{ host: "a", username: `robot:${SECRET}`, password: SECRET }] },
      "registries[0].username: must be a user name, without a colon",
    ],
    [
      "a metrics file that no collector reads",
      { images: [], metrics_file: "/tmp/metrics" },
      "metrics_file: must be an absolute path that ends in .prom",
    ],
    ["an archive without path", { images: [], archives: [{}] }, "archives[0].path: is missing"],
  ])("%s is refused with its place and without its content", async (_, properties, message) => {
    expect(await problemOf(properties)).toBe(message);
  });

  test("an unknown key is refused without being repeated, as it may be a secret out of place", async () => {
    expect(await problemOf(inFourth({ [SECRET]: null, [`${SECRET}x`]: 1 }))).toMatch(
      /^images\[3\]: unknown key, known are name, auth, /u,
    );
  });

  test("does not hide the next one: all are reported in one go", async () => {
    const problem = await problemOf({ images: [{ name: 1 }, {}], pin: "yes" });
    expect(problem.split("; ")).toEqual([
      "images[0].name: must be an image reference, in quotes if it looks like a number",
      "images[1].name: is missing",
      "pin: must be true or false",
    ]);
  });
});

describe("the job", () => {
  test("is both a post-start hook and an errand, and has no process for monit", async () => {
    expect(Object.values(spec.templates).toSorted()).toEqual([
      "bin/import-images",
      "bin/post-start",
      "bin/run",
      "config/config.json",
    ]);
    expect(readFileSync(join(jobDir, "monit"), "utf8")).toBe("");
  });

  test("describes every property and gives an example of it", async () => {
    for (const [name, property] of Object.entries(spec.properties)) {
      expect.soft(property.description ?? "", name).not.toBe("");
      expect.soft(property.example, name).toBeDefined();
    }
  });

  test("has what the schema and its descriptions make of the generated files (npm run generate)", () => {
    for (const [file, text] of generatedFiles()) expect.soft(readFileSync(file, "utf8"), file).toBe(text);
  });

  test.skipIf(!hasRuby).each(Object.keys(spec.properties))(
    "has %s checked when templates are rendered",
    async (name) => {
      const properties = nest([
        ["images", []],
        [name, name === "docker_config" ? [SECRET] : { [SECRET]: SECRET }],
      ]);
      expect(await problemOf(properties)).toMatch(new RegExp(`^${RegExp.escape(name)}: must be `, "u"));
    },
  );
});

describe.skipIf(!hasRuby)("what the agent takes, no template refuses:", () => {
  const DIGEST = `sha256:${"a".repeat(64)}`;
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const ofImage = (key: string, value: unknown) => ({ images: [{ name: "a", [key]: value }] });
  const references = [
    "nginx",
    "nginx:1",
    "a.b/c",
    "a.b:5000/c/d:v1_2-3",
    `a.b/c@${DIGEST}`,
    `a.b/c:1@${DIGEST}`,
    "localhost/a",
    "A/b",
    "[::1]:5000/a",
    "localhost:5000",
    "a/b/c",
    "a__b/c--d:1",
    "Team.io/a",
    "A.b/c",
    "a".repeat(64),
    "z".repeat(128),
    "",
    "Nginx",
    "a.b/C",
    "a.b/c:",
    "a:-1",
    `a:${"x".repeat(129)}`,
    "a@sha256:1",
    `a@md5:${"a".repeat(32)}`,
    "a//b",
    "/a",
    "-a",
    "a-",
    "a..b",
    "a_.b/c",
    "a.b:/c",
    "a b",
    "a\n",
    "a.b-/c",
    "https://a.b/c",
    "https://a.b/c:1",
    "a@b",
    "ü",
    "a:ü",
  ];
  const logins = [
    ...[
      "robot:hunter2",
      "robot:hunter2\n",
      "robot",
      ":x",
      "robot:",
      "a:b:c",
      "robot:a\0",
      '{"auths":{"a":1}}',
    ].map(base64),
    `Basic ${base64("u:p")}`,
    base64(base64("u:p")),
    base64("u:>>>???").replaceAll("/", "_"),
    `${base64("u:p")}\n`,
    "u:p",
    "hunter2",
    "!",
    "",
    "====",
    base64("u:p").replace(/=+$/u, ""),
  ];
  const durations = [
    "5m",
    "0s",
    "1h30m",
    "999h",
    "596h",
    "1.5s",
    "0.1ms",
    "60",
    "5d",
    "-1s",
    " 1s",
    "",
    "1s\n",
  ];
  const cases: readonly (readonly [string, Record<string, unknown>])[] = [
    ...references.map((name) => ["a name", { images: [{ name }] }] as const),
    ...references.map((name) => ["a further name", ofImage("retagAs", name)] as const),
    ...references.map((name) => ["one of several names", ofImage("retagAs", ["x:1", name])] as const),
    ...logins.map((auth) => ["an auth", ofImage("auth", auth)] as const),
    ...durations.map((timeout) => ["a timeout", ofImage("timeout", timeout)] as const),
    ...durations.map((start_jitter) => ["a delay", { images: [], start_jitter }] as const),
    ...["/x.prom", "/a/x.prom", "/.prom", "x.prom", "/x.txt", "/a\n.prom"].map(
      (metrics_file) => ["a metrics file", { images: [], metrics_file }] as const,
    ),
    ...["/", "/a b", "a", "", "/a\nb"].map(
      (path) => ["an archive", { images: [], archives: [{ path }] }] as const,
    ),
    ...[
      "a.b",
      "a.b/team-a",
      " a.b\n",
      "*.b.c",
      "https://a.b/v2/",
      "A.b:5000",
      "[::1]:5000",
      "a b",
      "u:p@a.b",
      "a.b?x=1",
    ].map((host) => ["a registry", { images: [], registries: [{ host, auth: "dTpw" }] }] as const),
  ];
  test.each(cases)("%s: %j", async (_what, properties) => {
    const { ok, error } = await render(properties);
    expect(ok || !decodeConfig(properties).ok, error).toBe(true);
  });
});

describe.skipIf(!hasRuby)("the examples", () => {
  const examples = exampleFiles();

  test.each(examples)("%s parses, and its properties pass the templates", async (example) => {
    const jobs = exampleJobs(example);
    expect(jobs).toHaveLength(1);
    for (const { properties } of jobs) await config(fillVariables(properties) as Record<string, unknown>);
  });

  test.each(examples)("%s names the release's version, which a runtime config must", async (example) => {
    expect(readExample(example)).toMatch(/name: import-images\n\s+version: \d+\.\d+\.\d+\n/u);
  });

  test.each(examples)("%s holds no secret: they come from CredHub, by absolute name", async (example) => {
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
