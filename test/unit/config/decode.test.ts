import { describe, expect, test } from "vitest";
import type { Config } from "../../../src/config/config.ts";
import { decodeConfig } from "../../../src/config/decode.ts";
import { credential } from "../samples.ts";

const A = "harbor.example.com/a:1";
const B = "harbor.example.com/b:1";
const ROBOT = credential("robot", "hunter2");
const OTHER = credential("other", "swordfish");
const DIGEST = `sha256:${"a".repeat(64)}`;

function decoded(value: unknown): Config {
  const result = decodeConfig(value);
  if (!result.ok) throw new Error(result.issues.map(({ path, problem }) => `${path}: ${problem}`).join("\n"));
  return result.config;
}
const imagesOf = (...images: readonly unknown[]): Config["images"] => decoded({ images }).images;
/** `path: problem`, one for each. */
function problemsOf(value: unknown): string[] {
  const result = decodeConfig(value);
  return result.ok ? [] : result.issues.map(({ path, problem }) => `${path}: ${problem}`);
}
const only = (images: Config["images"]) => {
  const [image] = images;
  if (image === undefined || images.length > 1) throw new Error(`${images.length} images`);
  return image;
};

describe("a configuration that says nothing but a list", () => {
  test("has every default", () => {
    expect(decoded({ images: [] })).toMatchObject({
      images: [],
      archives: [],
      on_failure: "fail",
      concurrency: "auto",
      retry: { attempts: 5, min_delay: 1_000, max_delay: 30_000 },
      registry_timeout: 300_000,
      stall_timeout: 60_000,
      deadline: 3_600_000,
      start_jitter: 0,
      disk: { min_free_percent: 0 },
      containerd: {
        crictl: "/var/vcap/packages/containerd/bin/crictl",
        ctr: "/var/vcap/packages/containerd/bin/ctr",
        socket: "/var/vcap/sys/run/containerd/containerd.sock",
        ready_timeout: 120_000,
      },
      kubelet: { root_dir: "/var/lib/kubelet" },
      allow_credentials_in_argv: false,
      log_level: "info",
      warnings: [],
      credentials: [],
    });
  });

  test("has images that are required and pinned, with no further names and no credentials", () => {
    expect(imagesOf({ name: A })).toStrictEqual([
      {
        source: { name: A, domain: "harbor.example.com", path: "a", tag: "1" },
        furtherNames: [],
        pullPolicy: "IfNotPresent",
        required: true,
        pin: true,
        timeout: 1_800_000,
      },
    ]);
  });

  test.each([
    ["nginx", "implicit-Always"],
    ["nginx:latest", "implicit-Always"],
    ["nginx:1", "IfNotPresent"],
    [`nginx@${DIGEST}`, "IfNotPresent"],
    [`nginx:latest@${DIGEST}`, "IfNotPresent"],
  ])("pulls %s as Kubernetes would: %s", (name, pullPolicy) => {
    expect(only(imagesOf({ name })).pullPolicy).toBe(pullPolicy);
  });
});

test("a configuration that says everything is read as it is written", () => {
  const config = decoded({
    images: [
      {
        name: "nginx",
        username: "robot",
        password: "hunter2",
        retagAs: ["a.b/c", "a.b/d:1"],
        pullPolicy: "Always",
        required: false,
        pin: true,
        timeout: "5m",
      },
      { name: A, pullPolicy: "IfNotPresent" },
    ],
    registries: [{ host: "https://harbor.example.com/", auth: OTHER.auth }],
    archives: [{ path: "/x/images.tar" }, { path: "/x/*.tar", required: true }],
    metrics_file: "/x.prom",
    pin: false,
    on_failure: "warn",
    concurrency: 12,
    retry: { attempts: 2, min_delay: "500ms", max_delay: "1m" },
    registry_timeout: "7m",
    stall_timeout: "2m",
    image_timeout: "10m",
    deadline: "1h30m",
    start_jitter: "45s",
    disk: { min_free_percent: 15 },
    containerd: {
      crictl: "/x/crictl",
      ctr: "/x/ctr",
      socket: "/x/c.sock",
      ready_timeout: "5s",
    },
    kubelet: { root_dir: "/x/kubelet" },
    allow_credentials_in_argv: true,
    log_level: "debug",
  });
  const { images, ...rest } = config;
  expect(rest).toMatchObject({
    archives: [
      { path: "/x/images.tar", required: true, mustMatch: false, pin: false, timeout: 600_000 },
      { path: "/x/*.tar", required: true, mustMatch: true },
    ],
    metrics_file: "/x.prom",
    on_failure: "warn",
    concurrency: 12,
    retry: { attempts: 2, min_delay: 500, max_delay: 60_000 },
    registry_timeout: 420_000,
    stall_timeout: 120_000,
    deadline: 5_400_000,
    start_jitter: 45_000,
    disk: { min_free_percent: 15 },
    containerd: {
      crictl: "/x/crictl",
      ctr: "/x/ctr",
      socket: "/x/c.sock",
      ready_timeout: 5_000,
    },
    kubelet: { root_dir: "/x/kubelet" },
    allow_credentials_in_argv: true,
    log_level: "debug",
    warnings: [],
    credentials: [ROBOT, OTHER],
  });
  expect(images[0]).toMatchObject({
    source: { name: "docker.io/library/nginx:latest" },
    furtherNames: [{ name: "a.b/c:latest" }, { name: "a.b/d:1" }],
    pullPolicy: "Always",
    required: false,
    pin: true,
    timeout: 300_000,
    credential: ROBOT,
  });
  expect(images[1]).toMatchObject({ required: true, pin: false, timeout: 600_000, credential: OTHER });
});

describe("what counts as not given", () => {
  test.each([
    ["an empty auth", { auth: "" }],
    ["an auth of null", { auth: null }],
    ["an empty retagAs", { retagAs: "" }],
    ["a retagAs of null", { retagAs: null }],
    ["an empty list of further names", { retagAs: [] }],
    ["an empty username and password", { username: "", password: "" }],
    ["null anywhere", { pullPolicy: null, required: null, pin: null, timeout: null }],
  ])("%s", (_what, properties) => {
    expect(imagesOf({ name: A, ...properties })).toEqual(imagesOf({ name: A }));
  });

  test("an empty docker_config, and whole sections of null", () => {
    const unset = {
      docker_config: "",
      registries: null,
      retry: null,
      containerd: null,
      disk: { min_free_percent: null },
    };
    expect(decoded({ images: [], ...unset })).toEqual(decoded({ images: [] }));
  });

  test("but not an empty name", () => {
    expect(problemsOf({ images: [{ name: "" }] })).toEqual(["images[0].name: is empty"]);
  });
});

describe("a further name", () => {
  test("may be a text or a list, and is normalised", () => {
    const furtherNames = [
      { name: "docker.io/library/x:1", domain: "docker.io", path: "library/x", tag: "1" },
    ];
    expect(only(imagesOf({ name: A, retagAs: "x:1" })).furtherNames).toEqual(furtherNames);
    expect(only(imagesOf({ name: A, retagAs: ["x:1", "docker.io/x:1"] })).furtherNames).toEqual(furtherNames);
  });

  test("that is the source itself is nothing", () => {
    expect(only(imagesOf({ name: "nginx", retagAs: "docker.io/library/nginx:latest" })).furtherNames).toEqual(
      [],
    );
  });

  test("may have a digest, which the run has to find in the image", () => {
    expect(only(imagesOf({ name: A, retagAs: ["b:1", `x@${DIGEST}`] })).furtherNames).toMatchObject([
      { name: "docker.io/library/b:1" },
      { name: `docker.io/library/x@${DIGEST}`, digest: DIGEST },
    ]);
  });
});

test("entries of one archive are merged as well", () => {
  const path = "/x/images.tar";
  const archives = [
    { path, required: false, pin: false },
    { path: "/x/others.tar", required: false, pin: false },
    { path },
  ];
  expect(decoded({ images: [], archives }).archives).toMatchObject([
    { path, required: true, pin: true },
    { path: "/x/others.tar", required: false, pin: false },
  ]);
});

describe("entries of one image", () => {
  test("are merged, and the stricter setting of each wins", () => {
    expect(
      imagesOf(
        { name: "nginx:1", retagAs: "a.b/c:1", required: false, pin: false, timeout: "1m" },
        { name: B },
        {
          name: "docker.io/library/nginx:1",
          retagAs: ["a.b/d:1", "a.b/c:1"],
          pullPolicy: "Always",
          timeout: "5m",
        },
      ),
    ).toMatchObject([
      {
        source: { name: "docker.io/library/nginx:1" },
        furtherNames: [{ name: "a.b/c:1" }, { name: "a.b/d:1" }],
        pullPolicy: "Always",
        required: true,
        pin: true,
        timeout: 300_000,
      },
      { source: { name: B } },
    ]);
  });

  test("that are identical are one", () => {
    expect(imagesOf({ name: A, auth: ROBOT.auth }, { name: A, auth: ROBOT.auth })).toHaveLength(1);
  });

  test("share the credentials that only one of them has", () => {
    expect(only(imagesOf({ name: A }, { name: A, auth: ROBOT.auth })).credential).toEqual(ROBOT);
  });

  test("with different credentials contradict each other", () => {
    expect(
      problemsOf({
        images: [
          { name: A, auth: ROBOT.auth },
          { name: A },
          { name: A, username: "other", password: "swordfish" },
        ],
      }),
    ).toEqual(["images[2]: has other credentials than images[0] for the same image"]);
  });
});

describe("a pull policy", () => {
  test.each([
    [
      "that is written wins over one that follows from the tag",
      [{}, { pullPolicy: "IfNotPresent" }],
      "IfNotPresent",
    ],
    [
      "is Always if one of several that are written is",
      [{ pullPolicy: "IfNotPresent" }, { pullPolicy: "Always" }],
      "Always",
    ],
    ["follows from the tag where none is written", [{}, {}], "implicit-Always"],
  ])("%s", (_what, entries, expected) => {
    const [first, second] = entries;
    expect(
      only(imagesOf({ name: "r.one/a", ...first }, { name: "r.one/a:latest", ...second })).pullPolicy,
    ).toBe(expected);
  });
});

describe("times that cannot mean what they say are an error with both paths:", () => {
  test.each([
    [
      "a jitter beyond the deadline",
      { start_jitter: "61m" },
      "start_jitter: must not be longer than deadline",
    ],
    [
      "a first delay beyond all",
      { retry: { min_delay: "31s" } },
      "retry.min_delay: must not be longer than retry.max_delay",
    ],
    [
      "a stall beyond the image's time",
      { stall_timeout: "60s", image_timeout: "59s" },
      "stall_timeout: must not be longer than image_timeout",
    ],
  ])("%s", (_what, times, problem) => {
    expect(problemsOf({ images: [], ...times })).toEqual([problem]);
  });

  test("all at once, but not where one of the two is wrong by itself", () => {
    expect(
      problemsOf({
        images: [],
        start_jitter: "2h",
        retry: { min_delay: "5m" },
        stall_timeout: 99_999,
        image_timeout: "1s",
      }),
    ).toEqual([
      expect.stringContaining("stall_timeout: must be a duration"),
      "start_jitter: must not be longer than deadline",
      "retry.min_delay: must not be longer than retry.max_delay",
    ]);
  });

  test("but may be equal", () => {
    expect(problemsOf({ images: [], start_jitter: "60m", stall_timeout: "30m" })).toEqual([]);
  });

  test("and a default gives way to what somebody wrote", () => {
    expect(problemsOf({ images: [], image_timeout: "15s", retry: { max_delay: "500ms" } })).toEqual([]);
  });
});

describe("a name that no run can give is an error:", () => {
  const digest = (digit: string): string => `sha256:${digit.repeat(64)}`;

  test("another digest than the image's", () => {
    const names = ["r.one/b", "r.one/a"].map((name) => `${name}@${digest("b")}`);
    expect(problemsOf({ images: [{ name: `r.one/a@${digest("a")}`, retagAs: names }] })).toEqual(
      names.map((name) => `images[0].retagAs: ${name} has another digest than the image`),
    );
    expect(
      problemsOf({ images: [{ name: `r.one/a@${digest("a")}`, retagAs: `r.one/b@${digest("a")}` }] }),
    ).toEqual([]);
  });

  test("a pin's", () => {
    const pin = `import-images.invalid/pin@${digest("a")}`;
    expect(problemsOf({ images: [{ name: A, retagAs: pin }, { name: pin }] })).toEqual([
      expect.stringContaining("images[0].retagAs: "),
      `images[0].retagAs: ${pin} is reserved for this job's pins`,
      `images[1].name: ${pin} is reserved for this job's pins`,
    ]);
  });
});

describe("two images cannot have one name:", () => {
  test("the same target", () => {
    expect(
      problemsOf({
        images: [
          { name: A, retagAs: "x:1" },
          { name: B, retagAs: ["y:1", "x:1"] },
        ],
      }),
    ).toEqual([`images[1].retagAs: docker.io/library/x:1 is already the name of images[0] (${A})`]);
  });

  test("a target that is another one's source, in whichever order", () => {
    expect(problemsOf({ images: [{ name: A, retagAs: B }, { name: B }] })).toEqual([
      `images[0].retagAs: ${B} is already the name of images[1] (${B})`,
    ]);
    expect(problemsOf({ images: [{ name: B }, { name: A, retagAs: B }] })).toEqual([
      `images[1].retagAs: ${B} is already the name of images[0] (${B})`,
    ]);
  });

  test("three with one target are two conflicts", () => {
    const images = ["p:1", "q:1", "r:1"].map((name) => ({ name, retagAs: "x:1" }));
    expect(problemsOf({ images }).map((problem) => problem.split(":")[0])).toEqual([
      "images[1].retagAs",
      "images[2].retagAs",
    ]);
  });
});

describe("credentials", () => {
  const FILE = {
    auths: {
      "https://harbor.example.com/v2/": { auth: OTHER.auth },
      "10.0.0.5:5000": { username: "robot", password: "hunter2" },
    },
  };

  test.each([
    ["as an object", FILE],
    ["as text", JSON.stringify(FILE)],
  ])("come from docker_config, %s", (_how, docker_config) => {
    const { images } = decoded({
      images: [{ name: A }, { name: "10.0.0.5:5000/a" }, { name: "nginx:1" }],
      docker_config,
    });
    expect(images.map((image) => image.credential)).toEqual([OTHER, ROBOT, undefined]);
  });

  test("for Docker Hub are found under the name that docker login writes", () => {
    const docker_config = { auths: { "https://index.docker.io/v1/": { auth: ROBOT.auth } }, credsStore: "x" };
    expect(only(decoded({ images: [{ name: "nginx:1" }], docker_config }).images).credential).toEqual(ROBOT);
  });

  test("of the image come before those of registries[], and these before docker_config", () => {
    const third = credential("third", "pw");
    const config = {
      images: [{ name: A, auth: ROBOT.auth }, { name: B }, { name: "10.0.0.5:5000/a" }],
      registries: [{ host: "harbor.example.com", auth: OTHER.auth }],
      docker_config: {
        auths: { "harbor.example.com": { auth: third.auth }, "10.0.0.5:5000": { auth: third.auth } },
      },
    };
    expect(decoded(config).images.map((image) => image.credential)).toEqual([ROBOT, OTHER, third]);
  });

  test("are those of the longest path, within registries[] and within docker_config", () => {
    const config = {
      images: ["a", "team-a/x", "team-b/x", "team-c/x"].map((path) => ({
        name: `harbor.example.com/${path}`,
      })),
      registries: [
        { host: "harbor.example.com/team-a", auth: ROBOT.auth },
        { host: "harbor.example.com/team-b", auth: OTHER.auth },
      ],
      docker_config: {
        auths: {
          "https://HARBOR.example.com/v2/": { username: "all", password: "pw" },
          "harbor.example.com/team-a/x": { username: "late", password: "pw" },
          "*.example.com/team-c": { username: "glob", password: "pw" },
        },
      },
    };
    expect(decoded(config).images.map((image) => image.credential)).toEqual([
      credential("all", "pw"),
      ROBOT,
      OTHER,
      credential("glob", "pw"),
    ]);
    expect(decoded(config).warnings).toEqual([
      "docker_config.auths.harbor.example.com/team-a/x: is a login that no image uses",
    ]);
  });

  test("of a block of YAML have no line end", () => {
    const registries = [{ host: "harbor.example.com", username: "robot\n", password: "hunter2\n" }];
    expect(only(decoded({ images: [{ name: A }], registries }).images).credential).toEqual(ROBOT);
  });

  test("that differ for one registry contradict each other, in registries[] and in docker_config", () => {
    const problems = problemsOf({
      images: [{ name: "Bad" }],
      registries: [
        { host: "harbor.example.com", auth: ROBOT.auth },
        { host: "harbor.example.com/team", auth: OTHER.auth },
        { host: "!" },
        { host: "https://Harbor.example.com/", auth: ROBOT.auth },
        { host: "harbor.example.com", auth: OTHER.auth },
      ],
      docker_config: {
        auths: { "docker.io": { auth: ROBOT.auth }, "https://index.docker.io/v1/": { auth: OTHER.auth } },
      },
    });
    expect(problems).toEqual(
      expect.arrayContaining([
        "registries[4]: has other credentials than registries[0] for the same registry",
        "docker_config.auths.https://index.docker.io/v1/: has other credentials than docker_config.auths.docker.io for the same registry",
      ]),
    );
    expect(problems.filter((problem) => problem.includes("has other credentials"))).toHaveLength(2);
  });

  const HELPER =
    "names a program on the machine that the file comes from; it is not used here, so give these logins in registries";
  const TOKEN =
    "is not used: crictl takes only user and password, so give those, for example of a robot account";
  const UNUSED = "is a login that no image uses";
  const H = "harbor.example.com";
  test.each<[string, unknown, readonly string[], unknown]>([
    [
      "a credential store",
      { credsStore: "desktop", auths: { [H]: {} } },
      [`credsStore: ${HELPER}`],
      undefined,
    ],
    ["helpers", { credHelpers: { [H]: "gcloud" } }, [`credHelpers: ${HELPER}`], undefined],
    [
      "a token alone",
      { auths: { [H]: { identitytoken: "hunter2" } } },
      [`auths.${H}.identitytoken: ${TOKEN}`],
      undefined,
    ],
    [
      "a token beside a login",
      { auths: { [H]: { auth: ROBOT.auth, registrytoken: "x" } } },
      [`auths.${H}.registrytoken: ${TOKEN}`],
      ROBOT,
    ],
    [
      "a registry of no image",
      { auths: { "a.b": { auth: ROBOT.auth } } },
      [`auths.a.b: ${UNUSED}`],
      undefined,
    ],
    ["nothing", {}, [], undefined],
    ["empty auths", { auths: {} }, [], undefined],
  ])(
    "of a docker_config with %s are told where they are not used",
    (_what, docker_config, warnings, used) => {
      const json = JSON.stringify(docker_config);
      for (const given of [docker_config, json, Buffer.from(json).toString("base64")]) {
        const config = decoded({ images: [{ name: A }], docker_config: given });
        expect(config.warnings).toEqual(warnings.map((warning) => `docker_config.${warning}`));
        expect(only(config.images).credential).toEqual(used);
      }
    },
  );

  test("that images have themselves leave those of the registry unused, which is told", () => {
    const registries = [{ host: H, auth: OTHER.auth }];
    expect(decoded({ images: [{ name: A, auth: ROBOT.auth }], registries }).warnings).toEqual([
      `registries[0]: ${UNUSED}`,
    ]);
    expect(decoded({ images: [{ name: A }, { name: A, auth: ROBOT.auth }], registries }).warnings).toEqual([
      `registries[0]: ${UNUSED}`,
    ]);
    expect(decoded({ images: [], registries }).warnings).toEqual([]);
  });

  test("are all known to the redaction, used or not", () => {
    const config = {
      images: [{ name: "nginx:1", auth: ROBOT.auth }],
      registries: [{ host: "unused.example.com", auth: OTHER.auth }],
      docker_config: { auths: { "never.example.com": { username: "u", password: "pw" } } },
    };
    expect(decoded(config).credentials).toEqual([ROBOT, OTHER, credential("u", "pw")]);
  });

  const AUTH = "must be base64 of user:password (or give username and password instead)";
  const PAIR = "needs username and password together";
  test.each([
    [{ auth: "robot:hunter2" }, `images[0].auth: ${AUTH}`],
    [{ auth: "aGVsbG8=" }, `images[0].auth: ${AUTH}`],
    [{ username: "\n", password: "x" }, "images[0].username: must be a user name, without a colon"],
    [{ auth: 7 }, `images[0].auth: ${AUTH}`],
    [{ username: "robot" }, `images[0]: ${PAIR}`],
    [{ password: "hunter2" }, `images[0]: ${PAIR}`],
    [{ username: "ro:bot", password: "x" }, "images[0].username: must be a user name, without a colon"],
    [
      { auth: ROBOT.auth, username: "a", password: "b" },
      "images[0]: has both auth and username: give one of them",
    ],
  ])("of an image that are unusable are told: %j", (properties, problem) => {
    expect(problemsOf({ images: [{ name: A, ...properties }] })).toEqual([problem]);
  });

  test("that are half a login with a wrong user have both told", () => {
    expect(problemsOf({ images: [{ name: A, username: "ro:bot" }] })).toEqual([
      "images[0].username: must be a user name, without a colon",
      `images[0]: ${PAIR}`,
    ]);
  });

  const NO_JSON = "docker_config: must be a docker config.json: a mapping, its JSON, or base64 of that";
  const NO_AUTHS = "docker_config: must have its logins under `auths`, as docker login writes them";
  const WHOLE_SECRET =
    'docker_config: is a whole Kubernetes Secret: give only what is in its data[".dockerconfigjson"]';
  const UNUSABLE =
    "has an entry without usable credentials (auth as base64 of user:password, or username and password)";
  test.each([
    ["no JSON", "{auths", NO_JSON],
    ["a list", [], NO_JSON],
    ["the JSON of a text", '"hunter2"', NO_JSON],
    ["no login", { HttpHeaders: {} }, NO_AUTHS],
    ["its logins at the top, like an old .dockercfg", { "a.b": { auth: ROBOT.auth } }, NO_AUTHS],
    ["a whole Secret", { kind: "Secret", data: { ".dockerconfigjson": ROBOT.auth } }, WHOLE_SECRET],
    ["the JSON of a Secret", '{"stringData": {".dockerconfigjson": "{}"}}', WHOLE_SECRET],
    ["auths as a list", { auths: [] }, `docker_config.auths: ${UNUSABLE}`],
    ["an entry that is a list", { auths: { "a.b": [] } }, `docker_config.auths.a.b: ${UNUSABLE}`],
    ["auths as text", { auths: "hunter2" }, `docker_config.auths: ${UNUSABLE}`],
    ["an entry without credentials", { auths: { "a.b": {} } }, `docker_config.auths.a.b: ${UNUSABLE}`],
    [
      "an entry with a bad auth",
      { auths: { "a.b": { auth: "hunter2" } } },
      `docker_config.auths.a.b: auth ${AUTH}`,
    ],
    [
      "a bad auth beside a credential store",
      { credsStore: "x", auths: { "a.b": { auth: "hunter2" } } },
      `docker_config.auths.a.b: auth ${AUTH}`,
    ],
    [
      "a user who is a number",
      { auths: { "a.b": { username: 7, password: "p" } } },
      `docker_config.auths.a.b: ${UNUSABLE}`,
    ],
    [
      "a password that is a number",
      { auths: { "a.b": { username: "u", password: 7 } } },
      `docker_config.auths.a.b: ${UNUSABLE}`,
    ],
    [
      "a user without a password",
      { auths: { "a.b": { username: "u" } } },
      `docker_config.auths.a.b: ${UNUSABLE}`,
    ],
    ["an entry of text", { auths: { "a.b": "hunter2" } }, `docker_config.auths.a.b: ${UNUSABLE}`],
    ["an auth that is a number", { auths: { "a.b": { auth: 7 } } }, `docker_config.auths.a.b: ${UNUSABLE}`],
  ])("of a docker_config with %s are told", (_what, docker_config, problem) => {
    expect(problemsOf({ images: [], docker_config })).toEqual([problem]);
  });

  test.each([
    [
      { host: "harbor" },
      "registries[0].host: must be a registry such as harbor.example.com, 10.0.0.5:5000 or harbor.example.com/team-a",
    ],
    [
      { host: "harbor.example.com" },
      "registries[0]: has no credentials: give auth, or username and password",
    ],
    [{ host: "harbor.example.com", username: "u" }, `registries[0]: ${PAIR}`],
  ])("of a registry that are unusable are told: %j", (registry, problem) => {
    expect(problemsOf({ images: [], registries: [registry] })).toContain(problem);
  });
});

describe("a wrong value is told with its path and what would be right:", () => {
  test.each([
    ["concurrency", 0, "must be a whole number from 1 to 64"],
    ["concurrency", 65, "must be a whole number from 1 to 64"],
    ["concurrency", "many", "must be auto or a whole number from 1 to 64"],
    ["stall_timeout", "0s", "must be longer than zero"],
    ["stall_timeout", 60, "must be a duration such as 500ms, 60s or 1h30m, at most 24 days"],
    ["deadline", "25d", "must be a duration such as 500ms, 60s or 1h30m, at most 24 days"],
    ["deadline", "600h", "must be a duration such as 500ms, 60s or 1h30m, at most 24 days"],
    ["image_timeout", "", "must be a duration such as 500ms, 60s or 1h30m, at most 24 days"],
    ["start_jitter", "-1s", "must be a duration such as 500ms, 60s or 1h30m, at most 24 days"],
    ["on_failure", "ignore", "must be fail or warn"],
    ["pin", "true", "must be true or false"],
    ["log_level", "verbose", "must be one of fatal, error, warn, info, debug, trace"],
    ["images", "nginx", "must be a list"],
    ["images", {}, "must be a list"],
    ["registries", {}, "must be a list"],
    ["allow_credentials_in_argv", 1, "must be true or false"],
    ["retry", 5, "must be a set of properties"],
    ["disk", "15", "must be a set of properties"],
    ["containerd", [], "must be a set of properties"],
  ])("%s: %j", (property, value, problem) => {
    expect(problemsOf({ images: [], [property]: value }).join("\n")).toContain(`${property}: ${problem}`);
  });

  test.each([
    ["containerd", "crictl", "bin/crictl", "must be an absolute path without control characters"],
    ["containerd", "socket", "/x\ny", "must be an absolute path without control characters"],
    ["containerd", "ready_timeout", "0s", "must be longer than zero"],
    ["retry", "attempts", 0, "must be a whole number from 1 to 100"],
    ["retry", "attempts", 1.5, "must be a whole number from 1 to 100"],
    ["retry", "attempts", Number.NaN, "must be a whole number from 1 to 100"],
    ["disk", "min_free_percent", 100, "must be a whole number from 0 to 99"],
  ])("%s.%s: %j", (section, property, value, problem) => {
    expect(problemsOf({ images: [], [section]: { [property]: value } })).toEqual([
      `${section}.${property}: ${problem}`,
    ]);
  });

  test.each([
    ["name", 7, "must be an image reference, in quotes if it looks like a number"],
    ["name", "Bad Name", "contains white space or a control character"],
    ["retagAs", 7, "must be an image reference, in quotes if it looks like a number"],
    ["retagAs", "A/B", "has upper case in its repository (a repository must be lower case)"],
    ["pullPolicy", "Never", "must be Always or IfNotPresent"],
    ["required", "no", "must be true or false"],
    ["timeout", "0ms", "must be longer than zero"],
  ])("images[0].%s: %j", (property, value, problem) => {
    expect(problemsOf({ images: [{ name: A, [property]: value }] })).toEqual([
      `images[0].${property}: ${problem}`,
    ]);
  });

  test.each([["text"], [7], [null], [undefined], [true], [["a"]]])("the whole of it: %j", (value) => {
    expect(problemsOf(value)).toEqual(["configuration: must be a set of properties"]);
  });

  test("a list that is missing", () => {
    expect(problemsOf({})).toEqual(["images: is missing"]);
  });
});

test("a key that is not known is named, so that a slip of the pen is found", () => {
  expect(
    problemsOf({
      images: [{ name: A, retagas: "x" }],
      retry: { max_attempts: 3 },
      containerd: { Socket: "/x" },
      "stall-Timeout": "5s",
    }),
  ).toEqual([
    "images[0].retagas: is not a property that this job knows",
    "retry.max_attempts: is not a property that this job knows",
    "containerd.Socket: is not a property that this job knows",
    "stall-Timeout: is not a property that this job knows",
  ]);
});

test.each([
  "hunter2",
  "cm9ib3Q6aHVudGVyMg==",
  "pa ss",
  "x".repeat(40),
  "__proto__",
  "",
  "$(touch pwned)",
  "S3cret",
])("a key that could be a value gone astray is not repeated: %j", (key) => {
  const value: unknown = JSON.parse(`{"images": [], ${JSON.stringify(key)}: 1}`);
  expect(problemsOf(value)).toEqual(["(unprintable key): is not a property that this job knows"]);
});

test("the host of a login is repeated, unless it is too long to be one", () => {
  const config = (host: string) => ({
    images: [{ name: A }],
    docker_config: { auths: { [host]: { auth: ROBOT.auth } } },
  });
  const host = "http://harbor.example.com:5000/team_ab/x";
  expect(decoded(config(host)).warnings).toEqual([expect.stringContaining(`docker_config.auths.${host}: `)]);
  expect(decoded(config(`${"a".repeat(77)}.example.com`)).warnings[0]).toContain("(unprintable key)");
});

test.each(["x.prom", "x/y.prom", "/x.prom.new", "/x/.txt", "/x\n.prom"])(
  "metrics_file is no other file than a .prom: %j",
  (metrics_file) => {
    expect(problemsOf({ images: [], metrics_file })).toEqual([
      "metrics_file: must be an absolute path that ends in .prom",
    ]);
  },
);

test("every problem is told in one go, those of single values and those between entries", () => {
  const problems = problemsOf({
    images: [
      { name: "Bad Name" },
      { name: A, retagAs: ["x:1", "y y"], auth: "zzz" },
      { name: "p:1", retagAs: "t:1" },
      { name: "q:1", retagAs: "t:1" },
      { retagAs: "z:1" },
      "nginx",
    ],
    registries: [{ host: "!" }],
    deadline: "soon",
    wat: 1,
  });
  expect(problems.map((problem) => problem.split(":")[0])).toEqual(
    expect.arrayContaining([
      "images[0].name",
      "images[1].retagAs[1]",
      "images[1].auth",
      "images[3].retagAs",
      "images[4].name",
      "images[5]",
      "registries[0].host",
      "deadline",
      "wat",
    ]),
  );
  expect(new Set(problems).size).toBe(problems.length);
});

test("a configuration of a thousand images is read", () => {
  const images = Array.from({ length: 1_000 }, (_, n) => ({
    name: `harbor.example.com/team/app-${n}:1`,
    retagAs: [`a.b/app-${n}:1`, `a.b/app-${n}:2`],
    auth: ROBOT.auth,
  }));
  expect(decoded({ images }).images).toHaveLength(1_000);
});
