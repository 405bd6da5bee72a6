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
import {
  jsonOf,
  KEYS,
  MARKER,
  mutated,
  mutation,
  otherLeaf,
  placed,
  secretKey,
  secretText,
} from "./mutations.ts";

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
  expect(message).toMatch(/^[^\p{Cc}]*(?:\n\/[^\p{Cc}]+)*$/u);
}

function expectRefusedOrRead(value: unknown): void {
  const result = decodeConfig(value);
  if (!result.ok) {
    expect(result.issues).not.toEqual([]);
    for (const { path, problem } of result.issues) expectSilence(`${path}: ${problem}`);
  }
}

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
  ["containerd", "ready_timeout"],
  ["archives", 0],
  ["archives", 0, "path"],
];
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
        const error: unknown = await loadConfig(file, () => new Blob().stream()).then(
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
