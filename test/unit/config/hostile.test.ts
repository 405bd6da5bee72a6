// Whatever a configuration holds, it is refused or read: no other error, no value in a message, no hang. A secret in
// the wrong property would otherwise end up in BOSH's logs. IMPORT_IMAGES_MUTATIONS=20 looks at twenty times as many.
import fc from "fast-check";
import process from "node:process";
import { afterAll, beforeAll, expect, test } from "vitest";
import { checkText } from "../../../src/config/check.ts";
import { decodeConfig } from "../../../src/config/decode.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { EXIT, ExitError } from "../../../src/exit.ts";
import { temporaryFolder } from "../folder.ts";

const MARKER = "S3CR3T";
const MARKER_IN_BASE64 = Buffer.from(MARKER).toString("base64");
const TIMES = Number(process.env["IMPORT_IMAGES_MUTATIONS"] ?? 1);
const runs = (count: number) => ({ numRuns: count * TIMES, seed: 14 });
const PATIENCE = 30_000 * TIMES;

const folder = temporaryFolder();
const processWarnings: string[] = [];
const onWarning = (warning: Error): void => void processWarnings.push(warning.message);
beforeAll(() => void process.on("warning", onWarning));
afterAll(() => void process.off("warning", onWarning));

function expectSilence(message: string): void {
  expect(message).not.toContain(MARKER);
  expect(message).not.toContain(MARKER_IN_BASE64);
  expect(message).not.toMatch(/pwned|__proto__/u);
  // Line breaks stand between problems only: nothing can forge a line of a log.
  expect(message).toMatch(/^[^\p{Cc}]*(?:\n {2}[^\p{Cc}]+)*$/u);
}

function expectRefusedOrRead(value: unknown): void {
  const result = decodeConfig(value);
  if (!result.ok) {
    expect(result.issues).not.toEqual([]);
    for (const { path, problem } of result.issues) expectSilence(`${path}: ${problem}`);
  }
}

/** Any, which fast-check's own "binary" takes seconds to prepare. */
const character = fc.nat(0x10_ff_ff).map((code) => String.fromCodePoint(code));

/** Texts with the marker in them, none of which is a reference: those that are may be named in a conflict. */
const secretText = fc.oneof(
  fc.constantFrom(
    `${MARKER}=`,
    `${MARKER} word`,
    `${MARKER}\u0000`,
    `\u001b[2J${MARKER}`,
    `${MARKER}\n  images: forged`,
    `$(touch pwned) ${MARKER}`,
    `"${MARKER}"`,
    `((${MARKER}))`,
    `{"auths": {"${MARKER}": "${MARKER}"}}`,
    `{"auths": {"a.b": {"auth": "${MARKER}="}}`,
    `["${MARKER}"]`,
    `https://user:${MARKER}@a.b/c`,
    `a.b/c@sha256:${MARKER}`,
    `-${MARKER} `,
    Buffer.from(`${MARKER}:${MARKER}`).toString("base64"),
    Buffer.from(MARKER).toString("base64"),
    `${MARKER}h`.repeat(2_000),
  ),
  fc
    .tuple(fc.string(), fc.constantFrom("=", " ", "\n", '"'), fc.string())
    .map(([before, odd, after]) => before + MARKER + odd + after),
  fc.string({ unit: character }).map((text) => `${text}${MARKER}=`),
);
const otherLeaf = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    0,
    -1,
    Infinity,
    Number.NaN,
    "",
    [],
    {},
    [[]],
    "auto",
    "5s",
    "a.b/c:1",
  ),
  fc.double(),
  fc.bigInt(),
);
const KEYS = [
  "images name auth username password retagAs pullPolicy required pin timeout registries host",
  "docker_config auths retry attempts containerd crictl socket disk min_free_percent archives path",
  "concurrency deadline log_level on_failure",
].flatMap((words) => words.split(" "));
const secretKey = fc.oneof(
  fc.constantFrom(
    MARKER,
    `${MARKER}word`,
    `Bearer ${MARKER}`,
    "__proto__",
    "constructor",
    "toString",
    "",
    "0",
    "length",
  ),
  secretText,
);
const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 5, depthSize: "small" },
    { arbitrary: secretText, weight: 3 },
    { arbitrary: otherLeaf, weight: 1 },
    { arbitrary: fc.array(tie("tree"), { maxLength: 4 }), weight: 2 },
    { arbitrary: objects(tie("tree")), weight: 4 },
  ),
}));
function objects(value: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const key = fc.oneof(
    { arbitrary: fc.constantFrom(...KEYS), weight: 5 },
    { arbitrary: secretKey, weight: 1 },
  );
  // Own properties, also of the name `__proto__`, as JSON.parse makes them.
  return fc.array(fc.tuple(key, value), { maxLength: 6 }).map((entries) => Object.fromEntries(entries));
}

const PLACES: readonly (readonly (string | number)[])[] = [
  ...KEYS.map((key) => [key]),
  ...["name", "auth", "username", "password", "retagAs", "pullPolicy", "required", "pin", "timeout"].flatMap(
    (key) => [
      ["images", 0, key],
      ["images", 1, key],
    ],
  ),
  ["images", 0],
  ["images", 0, "retagAs", 1],
  ...["host", "auth", "username", "password"].map((key) => ["registries", 0, key]),
  ["docker_config", "auths"],
  ["docker_config", "auths", "a.b"],
  ["docker_config", "auths", "a.b", "auth"],
  ["docker_config", "auths", "a.b", "username"],
  ["retry", "min_delay"],
  ["containerd", "namespace"],
  ["containerd", "ready_timeout"],
  ["archives", 0],
  ["archives", 0, "path"],
];
/** A good configuration with something put at a place of it. */
function placed(changes: readonly (readonly [readonly (string | number)[], unknown])[]): unknown {
  const config: Record<string, unknown> = {
    images: [{ name: "a.b/c:1", retagAs: ["d.e/f:1", "d.e/g:1"] }, { name: "nginx" }],
    registries: [{ host: "a.b", username: "u", password: "p" }],
    docker_config: { auths: { "a.b": { auth: "dTpw" } } },
    retry: {},
    containerd: {},
    archives: [{ path: "/x" }],
  };
  for (const [keys, value] of changes) put(config, keys, value);
  return config;
}
function put(target: unknown, [first, ...rest]: readonly (string | number)[], value: unknown): void {
  if (typeof target !== "object" || target === null || first === undefined) return;
  if (rest.length > 0) put(Reflect.get(target, first), rest, value);
  else Object.defineProperty(target, first, { value, enumerable: true, configurable: true, writable: true });
}

test(
  "a secret at the place of any property is never repeated",
  () => {
    const change = fc.tuple(fc.constantFrom(...PLACES), fc.oneof(secretText, tree));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) =>
        expectRefusedOrRead(placed(changes)),
      ),
      runs(300),
    );
  },
  PATIENCE,
);

test(
  "nor is it in a tree of any shape",
  () => {
    fc.assert(fc.property(tree, expectRefusedOrRead), runs(200));
  },
  PATIENCE,
);

test(
  "nor as a key, wherever it stands",
  () => {
    const parents = PLACES.filter((place) => typeof place.at(-1) === "string").map((place) =>
      place.slice(0, -1),
    );
    fc.assert(
      fc.property(fc.constantFrom(...parents), secretKey, tree, (parent, key, value) =>
        expectRefusedOrRead(placed([[[...parent, key], value]])),
      ),
      runs(200),
    );
  },
  PATIENCE,
);

/** Changes one thing at a place of a tree, as a slip of the editor does. */
type Mutation = readonly [
  kind: "drop" | "double" | "rename" | "replace" | "swap",
  at: number,
  value: unknown,
];

function mutated(root: unknown, mutations: readonly Mutation[]): unknown {
  const holder = { root: structuredClone(root) };
  for (const [kind, at, value] of mutations) {
    const places = placesOf(holder.root, holder, "root");
    const [parent, key] = places[at % places.length] ?? [holder, "root"];
    const [other, otherKey] = places[(at * 7) % places.length] ?? [holder, "root"];
    const old: unknown = Reflect.get(parent, key);
    if (kind === "drop") Reflect.deleteProperty(parent, key);
    else if (kind === "double") Reflect.set(parent, key, [old, old]);
    else if (kind === "rename" && !Array.isArray(parent))
      Object.defineProperty(parent, String(value), { value: old, enumerable: true, configurable: true });
    else if (kind === "replace") Reflect.set(parent, key, value);
    else Reflect.set(parent, key, structuredClone(Reflect.get(other, otherKey)));
  }
  return holder.root;
}

function placesOf(value: unknown, parent: object, key: string): (readonly [object, string])[] {
  const below =
    typeof value === "object" && value !== null
      ? Object.entries(value).flatMap(([name, part]) => placesOf(part, value, name))
      : [];
  return [[parent, key], ...below];
}

const mutation: fc.Arbitrary<Mutation> = fc.tuple(
  fc.constantFrom("drop", "double", "rename", "replace", "swap"),
  fc.nat(1_000),
  fc.oneof(otherLeaf, secretText, secretKey, fc.constantFrom(...KEYS)),
);

test(
  "nor does a mutation of a configuration end decode or check otherwise than with its problems",
  () => {
    const good = placed([]);
    fc.assert(
      fc.property(
        fc.array(mutation, { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        (mutations, inManifest) => {
          const config = mutated(good, mutations);
          const properties = { name: "import-images", release: "import-images", properties: config };
          expectRefusedOrRead(config);
          const written = inManifest ? { instance_groups: [{ jobs: [properties] }] } : config;
          const { problems, warnings } = checkText(jsonOf(written));
          for (const { path, problem } of [...problems, ...warnings]) expectSilence(`${path}: ${problem}`);
        },
      ),
      runs(200),
    );
  },
  PATIENCE,
);

const jsonOf = (value: unknown): string =>
  JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? 0 : part)) ?? "";

test(
  "nor in a file of any text, whole or broken",
  async () => {
    const good = JSON.stringify(placed([]));
    const snippet = fc.oneof(
      secretText,
      secretText.map((text) => JSON.stringify(text)),
      fc.constantFrom(
        ": ",
        "\n- ",
        "&a ",
        "*a",
        "!!binary ",
        "? ",
        "|\n ",
        "---\n",
        "%TAG ",
        "{",
        "}",
        "\t",
        "#",
        "@",
        "<<: ",
      ),
    );
    const text = fc.oneof(
      fc
        .tuple(fc.nat(good.length), fc.nat(good.length), snippet)
        .map(([from, to, inserted]) => good.slice(0, from) + inserted + good.slice(to)),
      fc.array(snippet, { maxLength: 8 }).map((parts) => parts.join("")),
      tree.map(jsonOf),
    );
    await fc.assert(
      fc.asyncProperty(text, async (written) => {
        const file = folder.write("config.yml", written);
        const error: unknown = await loadConfig(file).then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        if (error === undefined) return;
        if (!(error instanceof ExitError)) throw error;
        expect(error.exitCode).toBe(EXIT.usage);
        expectSilence(error.message);
      }),
      runs(100),
    );
    expect(processWarnings).toEqual([]);
  },
  PATIENCE,
);
