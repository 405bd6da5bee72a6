import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { assert, constantFrom, nat, property, tuple } from "fast-check";
import { describe, expect, it } from "vitest";
import { checkCommand } from "../../src/commands/check.ts";
import { checkText } from "../../src/config/check.ts";

const FIXTURES = path.join(import.meta.dirname, "../fixtures/check");
const EXAMPLES = path.join(import.meta.dirname, "../../bosh-release/examples");
const fixture = (name: string): string => readFileSync(path.join(FIXTURES, name), "utf8");

/** Every credential of the fixtures is this one, or base64 that holds it. */
const SECRET = /hunter2|aHVudGVy/u;

type Place = readonly [line: number, column: number, path: string, problem: RegExp];

const BROKEN: readonly (readonly [string, readonly Place[]])[] = [
  [
    "unknown-key.yml",
    [
      [14, 9, "images[0].retagas", /not a property/u],
      [16, 9, "images[1].passwort", /not a property/u],
    ],
  ],
  ["auth-not-base64.yml", [[13, 15, "images[0].auth", /base64 of user:password/u]]],
  [
    "float-tag.yml",
    [
      [13, 18, "images[0].retagAs", /in quotes/u],
      [14, 15, "images[1].name", /in quotes/u],
    ],
  ],
  [
    "number-as-duration.yml",
    [
      [12, 22, "stall_timeout", /must be a duration/u],
      [13, 22, "image_timeout", /must be a duration/u],
      [14, 21, "start_jitter", /must be a duration/u],
    ],
  ],
  [
    "half-a-login.yml",
    [
      [12, 9, "registries[0]", /username and password together/u],
      [14, 9, "registries[1]", /both auth and username/u],
      [16, 9, "images[0]", /username and password together/u],
    ],
  ],
  ["conflicting-targets.yml", [[17, 11, "images[1].retagAs", /already the name of images\[0\]/u]]],
  [
    "missing-name.yml",
    [
      [12, 9, "images[0].name", /is missing/u],
      [14, 8, "images[1]", /set of properties/u],
      [15, 9, "images[2]", /set of properties/u],
    ],
  ],
  [
    "duplicate-key.yml",
    [
      [14, 9, "configuration", /given twice/u],
      [14, 15, "images[0].auth", /base64/u],
    ],
  ],
  ["tab-indent.yml", [[4, 1, "configuration", /tabs cannot be used/u]]],
  ["open-quote.yml", [[14, 24, "configuration", /ends too early/u]]],
  ["unquoted-at.yml", [[14, 19, "configuration", /must be quoted/u]]],
  ["colon-in-value.yml", [[13, 15, "configuration", /nested block/u]]],
  ["open-bracket.yml", [[11, 60, "configuration", /ends too early/u]]],
  ["unknown-alias.yml", [[1, 1, "configuration", /alias without an anchor/u]]],
  ["endless-alias.yml", [[1, 1, "configuration", /contains itself/u]]],
  [
    "anchored-default.yml",
    [
      [4, 15, "images[0].pullPolicy", /Always or IfNotPresent/u],
      [4, 15, "images[1].pullPolicy", /Always or IfNotPresent/u],
      [19, 9, "images[1].name", /is missing/u],
    ],
  ],
  [
    "flow-style.yml",
    [
      [11, 84, "images[0].retagAs", /upper case/u],
      [11, 116, "images[0].timeout", /duration/u],
    ],
  ],
  [
    "two-jobs.yml",
    [
      [12, 15, "images[0].name", /malformed digest/u],
      [20, 7, "images", /is missing/u],
      [20, 20, "concurrency", /from 1 to 64/u],
    ],
  ],
  ["no-such-job.yml", [[1, 1, "configuration", /no job import-images/u]]],
  ["further-document.yml", [[12, 1, "configuration", /further document/u]]],
  [
    "config.json",
    [
      [3, 49, "images[0].auth", /base64/u],
      [4, 41, "images[1].Auth", /not a property/u],
      [6, 29, "containerd.socket", /absolute path/u],
      [7, 10, "pin", /true or false/u],
    ],
  ],
  [
    "variables-beside-errors.yml",
    [
      [12, 9, "images[0]", /username and password together/u],
      [12, 9, "images[0]", /both auth and username/u],
      [18, 21, "images[1].pullPolicy", /Always or IfNotPresent/u],
      [21, 17, "deadline", /longer than zero/u],
    ],
  ],
];

function output() {
  let text = "";
  return { write: (more: string) => void (text += more), columns: undefined, text: () => text };
}

async function check(file: string, options: { json?: boolean; input?: string } = {}) {
  const [stdout, stderr] = [output(), output()];
  const command = { file, json: options.json ?? false };
  const stdin = () => new Blob([options.input ?? ""]).stream();
  const exitCode = await checkCommand(command, { stdin, stdout, stderr });
  return { exitCode, stdout: stdout.text(), stderr: stderr.text() };
}

describe("a broken configuration", () => {
  it.for(BROKEN)("has every problem at its line and column: %s", ([name, expected]) => {
    const { problems } = checkText(fixture(name));
    expect(problems.map(({ line, column, path: at }) => [line, column, at])).toEqual(
      expected.map(([line, column, at]) => [line, column, at]),
    );
    for (const [index, [, , , pattern]] of expected.entries())
      expect(problems[index]?.problem).toMatch(pattern);
  });

  it("is among the fixtures only if it is expected here", () => {
    expect(readdirSync(FIXTURES).toSorted()).toEqual(BROKEN.map(([name]) => name).toSorted());
  });

  it("ends with 2, and with a count", async () => {
    const { exitCode, stdout } = await check(path.join(FIXTURES, "flow-style.yml"));
    expect(exitCode).toBe(2);
    expect(stdout).toContain(":11:84: images[0].retagAs: has upper case");
    expect(stdout).toMatch(/: 2 problems\n$/u);
  });

  it("is told as JSON", async () => {
    const file = path.join(FIXTURES, "auth-not-base64.yml");
    const { exitCode, stdout } = await check(file, { json: true });
    expect(exitCode).toBe(2);
    expect(JSON.parse(stdout)).toEqual([
      {
        file,
        line: 13,
        column: 15,
        path: "images[0].auth",
        problem: expect.stringMatching(/^must be base64 of user:password/u),
      },
    ]);
  });

  it("is read from the standard input as -", async () => {
    const { exitCode, stdout } = await check("-", { input: "images: none\n" });
    expect(exitCode).toBe(2);
    expect(stdout).toContain("stdin:1:9: images: must be a list");
  });

  it("keeps its secrets, however it is broken further", () => {
    const texts = BROKEN.map(([name]) => fixture(name));
    const broken = tuple(constantFrom(...texts), nat(), constantFrom("", '"', ": ", "\n", "{", "#"));
    assert(
      property(broken, nat(2), ([text, at, inserted], dropped) => {
        const place = at % text.length;
        const found = checkText(text.slice(0, place) + inserted + text.slice(place + dropped));
        expect(JSON.stringify(found)).not.toMatch(SECRET);
      }),
      { numRuns: 150, seed: 14 },
    );
  });

  it.for([
    [
      "in one list",
      () => ({ images: Array.from({ length: 300 }, (_, n) => ({ name: `B${n}`, auth: `x${n}` })) }),
    ],
    [
      "in one entry",
      () => Object.fromEntries([["images", []], ...Array.from({ length: 300 }, (_, n) => [`x${n}`, n])]),
    ],
    ["behind aliases", () => `{x: &x {name: A}, images: [${"*x, ".repeat(300)}]}`],
  ] as const)(
    "tells the first hundred of 300 problems on one line, and how many are left: %s",
    async ([, make]) => {
      const made = make();
      const input = typeof made === "string" ? made : JSON.stringify(made);
      const { exitCode, stdout } = await check("-", { input });
      expect(exitCode).toBe(2);
      const [, more, count] = /\n… and (\d+) more\nstdin: (\d+) problems\n$/u.exec(stdout) ?? [];
      expect(Number(more)).toBe(Number(count) - 100);
      expect(Number(count)).toBeGreaterThanOrEqual(300);
      expect(stdout.split("\n")).toHaveLength(103);
    },
  );

  it.for(["toString", "constructor", "valueOf", "hasOwnProperty", "__proto__"])(
    "may have a key that every JavaScript object has: %s",
    (key) => {
      const unknown = /^is not a property that this job knows$/u;
      for (const text of [
        `{"images": [], "${key}": 1}`,
        `images: []\n${key}: hunter2\n`,
        `images: [{name: a, ${key}: 1}]\n`,
        `addons: [{name: a, jobs: [{name: import-images, properties: {images: [], ${key}: 1}}]}]\n`,
      ])
        expect(checkText(text).problems).toMatchObject([{ problem: expect.stringMatching(unknown) }]);
      expect(checkText(`images: []\ndocker_config: {auths: {${key}: {auth: dTpw}}}\n`).problems).toEqual([]);
    },
  );

  it("has a date in place of a set of properties told, which YAML 1.1 makes of a plain 2001-01-01", () => {
    const job = "{name: import-images, release: r, properties: {images: [], retry: 2001-01-01}}";
    expect(checkText(`addons: [{name: a, jobs: [${job}]}]`).problems).toMatchObject([
      { path: "retry", problem: "must be a set of properties" },
    ]);
  });

  it("has each unknown key of an entry told, at its place", () => {
    expect(checkText("images: [{name: a, retag: 1, Zz9: 2, Zz8: 3}]\n").problems).toMatchObject([
      { column: 20, path: "images[0].retag" },
      { column: 30, path: "images[0].(unprintable key)" },
      { column: 38, path: "images[0].(unprintable key)" },
    ]);
  });

  it("has a merge key merged, as BOSH does", () => {
    expect(checkText("images: [&x {name: a}, {<<: *x}]\n").problems).toEqual([]);
  });

  it.for([
    ["a list that is none, below a comment", "# ours\n- images\n", 2, 1],
    ["an empty value, at its key", "images:\n- name:\n  pin: true\n", 2, 3],
    ["a null that is written, where it stands", "images:\n- name: ~\n", 2, 9],
    ["a missing name, not at the name of something else", "images: [{foo: {name: 7}, pin: 1}]\n", 1, 10],
    [
      "what a further merged mapping says",
      "x: &x {pin: true}\ny: &y {name: 7}\nimages: [{<<: [*x, *y]}]\n",
      2,
      14,
    ],
    ["a further name that is a text", "images:\n- {name: a, retagAs: x}\n- {name: b, retagAs: x}\n", 3, 22],
    ["a job without properties", "addons:\n- jobs:\n  - name: import-images\n", 3, 5],
    ["JSON that is cut off", '{"images": [', 1, 13],
  ] as const)("has its place: %s", ([, text, line, column]) => {
    const { problems } = checkText(text);
    expect(problems).toContainEqual(expect.objectContaining({ line, column }));
    expect(checkText(text).configs).toEqual([]);
  });

  it("is told to be cut off where its text ends", () => {
    expect(checkText('{"images": [').problems[0]?.problem).toContain("the text ends too early");
  });

  it("has exactly a hundred problems told without a word of more", async () => {
    const images = Array.from({ length: 100 }, (_, n) => ({ name: `B${n}` }));
    const { stdout } = await check("-", { input: JSON.stringify({ images }) });
    expect(stdout.split("\n")).toHaveLength(102);
    expect(stdout).not.toContain("more");
  });
});

describe("a secret in the wrong place", () => {
  it.for([
    ["a name", "images:\n- name: cm9ib3Q6aHVudGVyMg==\n"],
    ["a URL as name", "images:\n- name: https://robot:hunter2@harbor.example.com/a\n"],
    ["a further name", "images:\n- name: a\n  retagAs: [robot:hunter2@x]\n"],
    ["a duration", "images: []\ndeadline: hunter2\n"],
    ["a comment", "images: 1 # hunter2\n"],
    ["a value that is a password elsewhere", "images: []\npin: hunter2\nregistries: [{password: hunter2}]\n"],
    ["a text over several lines", "images: []\nfoo: |\n  hunter2\n  hunter2\nconcurrency: 0\n"],
    ["a key", "images: []\n? robot:hunter2\n: 1\n"],
  ])("is not repeated: %s", ([, text = ""]) => {
    const { problems } = checkText(text);
    expect(problems.length).toBeGreaterThan(0);
    expect(JSON.stringify(problems)).not.toMatch(SECRET);
  });
});

describe("a right configuration", () => {
  it.for(readdirSync(EXAMPLES).filter((file) => file.startsWith("runtime-config")))(
    "passes: example %s",
    async (name) => {
      const { exitCode, stdout } = await check(path.join(EXAMPLES, name));
      expect(stdout).toMatch(/: no problem found \(\d+ images?\)\n$/u);
      expect(exitCode).toBe(0);
    },
  );

  it.for([
    ["the whole list", "images: ((list))"],
    ["an element", "images: [((one)), {name: a}]"],
    ["a part of a name", "images: [{name: '((host)):((port))/((path))/a:((tag))', retagAs: ((to))}]"],
    [
      "every value",
      "images: [{name: ((a.name)), auth: ((!a)), pin: ((p)), timeout: ((t)), required: ((r))}]",
    ],
    ["a login", "registries: [{host: ((h)), username: ((u)), password: ((p))}]\nimages: []"],
    ["a map", "retry: ((retry))\ncontainerd: {socket: ((s))}\ndocker_config: ((d))\nimages: []"],
    ["a key", "docker_config: {auths: {((host)): {auth: ((a))}}}\nimages: []"],
    ["names that might be the same", "images: [{name: ((a)), retagAs: x}, {name: ((b)), retagAs: x}]"],
    [
      "a login of one registry",
      "images: []\nregistries: [{host: a.b, auth: ((a))}, {host: a.b, auth: dTpx}]",
    ],
    ["a property", "images: [{name: a, ((property)): 1}]"],
    [
      "a login, and for something else",
      "images: [{name: a, auth: ((a)), timeout: ((t))}, {name: a, auth: dTpx}]",
    ],
    ["logins that might be the same", "images: [{name: a, auth: ((a))}, {name: a, auth: dTpx}]"],
    ["a time that another must not exceed", "images: []\nstart_jitter: 2h\ndeadline: ((d))"],
    [
      "sources that might be the same",
      `images: [${Array.from({ length: 12 }, (_, n) => `{name: ((v${n}))/a${n > 9 ? ", retagAs: x" : ""}}`).join(", ")}]`,
    ],
  ])("may have a variable for %s", ([, text = ""]) => {
    expect(checkText(text).problems).toEqual([]);
  });

  it.for([
    ["a variable of any language", "{name: import-images, release: r, properties: {images: ((ä-1/b.c))}}"],
    ["the properties as a whole", "{name: import-images, release: r, properties: ((all))}"],
    ["yes as YAML 1.1 has it", "{name: import-images, release: r, properties: {images: [], pin: yes}}"],
  ])("may have in a manifest %s", ([, job = ""]) => {
    expect(checkText(`instance_groups: [{name: g, jobs: [${job}]}]`)).toMatchObject({
      problems: [],
      jobs: 1,
    });
  });

  it.for([
    [
      "a variable of something else",
      "images: [{name: a, auth: dTpw}, {name: a, auth: dTpx, timeout: ((t))}]",
    ],
    [
      "a login of something else",
      "images: [{name: a, auth: dTpw}, {name: a, auth: dTpx}]\nregistries: [{host: a.b, auth: ((a))}]",
    ],
    ["a login of one registry alone", "images: [{name: a, auth: ((a))}, {name: b, retagAs: a}]"],
    ["what looks like a variable", "images: [{name: '((a b))'}]"],
    ["JSON that BOSH has rendered", '{"images": [{"name": "((a))"}]}'],
  ])("may not have a problem beside %s", ([, text = ""]) => {
    expect(checkText(text).problems).toHaveLength(1);
  });

  it("may have an empty document behind it", () => {
    expect(checkText("images: []\n---\n# nothing\n").problems).toEqual([]);
  });

  it("may be JSON indented by tabs, with a byte order mark, or with DOS line ends", () => {
    expect(checkText('{\n\t"images": [\n\t\t{ "name": "a" }\n\t]\n}').problems).toEqual([]);
    expect(checkText("\uFEFFimages: []\n").problems).toEqual([]);
    expect(checkText("images:\r\n- name: a\r\n  pin: 3\r\n").problems).toMatchObject([
      { line: 3, column: 8 },
    ]);
  });
});

const addon = (include: string): string =>
  `addons: [{name: a, include: ${include}, jobs: [{name: import-images, release: import-images, properties: {images: []}}]}]`;

describe("what BOSH does otherwise than meant", () => {
  it("is a warning for a filter that misses node pools", () => {
    expect(checkText(addon("{instance_groups: [worker]}")).warnings).toMatchObject([{ line: 1, column: 48 }]);
    expect(checkText(addon("{instance_groups: [diego, worker]}")).warnings).toMatchObject([{ column: 55 }]);
    for (const groups of ["worker, worker-gpu", "master"])
      expect(checkText(addon(`{instance_groups: [${groups}]}`)).warnings).toEqual([]);
  });

  it("is a warning for this job alone, whichever others the addon has", () => {
    const jobs = (names: readonly string[]): string =>
      `addons: [{include: {instance_groups: [worker]}, jobs: [${names.map((name) => `{name: ${name}, properties: {images: []}}`).join(", ")}]}]`;
    expect(checkText(jobs(["other"])).warnings).toEqual([]);
    expect(checkText(jobs(["other", "import-images"])).warnings).toHaveLength(1);
    expect(checkText(`${jobs(["other"]).slice(0, -1)}, 7, {jobs: 7}]`).warnings).toEqual([]);
  });

  it("is a warning also beside a problem", () => {
    const text = "images: 7\ndocker_config: {credsStore: desktop}\n";
    expect(checkText(text)).toMatchObject({ problems: [{ path: "images" }], warnings: [{ line: 2 }] });
  });

  it.for([
    ["a login of no image", "images: [{name: a.b/c}]\nregistries:\n- {host: x.y, auth: dTpw}\n", 3, 3],
    ["a credential store", "images: []\ndocker_config:\n  credsStore: desktop\n", 3, 15],
    ["a token", "images: []\ndocker_config: {auths: {a.b: {identitytoken: hunter2}}}\n", 2, 46],
  ] as const)("is a warning for %s", ([, text, line, column]) => {
    const { problems, warnings } = checkText(text);
    expect(problems).toEqual([]);
    expect(warnings).toMatchObject([{ line, column }]);
    expect(JSON.stringify(warnings)).not.toMatch(SECRET);
  });

  it("is a warning for a login of no image although another login is a variable", () => {
    const text = "images: [{name: a, auth: ((a))}]\nregistries: [{host: x.y, auth: ((b))}]\n";
    expect(checkText(text).warnings).toMatchObject([{ path: "registries[0]" }]);
  });

  it.for(["images: ((list))", "images: [((one))]", "images: [{name: '((host))/a'}]"])(
    "is no warning for a login that a variable may use: %s",
    (images) => {
      expect(checkText(`${images}\nregistries: [{host: x.y, auth: dTpw}]\n`).warnings).toEqual([]);
    },
  );
});

it.for(["", "# nothing\n", "---\n", "null\n"])("an empty file is a problem: %j", (text) => {
  expect(checkText(text).problems).toMatchObject([{ line: 1, column: 1, problem: "is empty" }]);
});
