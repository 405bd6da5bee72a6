import { describe, expect, test } from "vitest";
import { namesIn } from "../../../src/config/names.ts";
import { EXIT, ExitError } from "../../../src/exit.ts";

const namesOf = (text: string): string[] => namesIn("stdin", text).map(({ name }) => name);
function refusal(text: string): string {
  try {
    return `took ${namesOf(text).join(", ")}`;
  } catch (error) {
    if (!(error instanceof ExitError) || error.exitCode !== EXIT.usage) throw error;
    return error.message;
  }
}

const POD = {
  containers: [{ name: "c", image: "c:1" }],
  initContainers: [{ image: "i:1" }],
  ephemeralContainers: [{ image: "e:1" }],
  volumes: [
    { name: "data", image: { reference: "v:1" } },
    { name: "empty", emptyDir: {} },
  ],
};
const CRON = {
  kind: "CronJob",
  spec: { jobTemplate: { spec: { template: { spec: { containers: [{ image: "cron:1" }] } } } } },
};
const POD_LIST = {
  kind: "List",
  items: [
    {
      kind: "Pod",
      metadata: { annotations: { image: "not/this:1" }, creationTimestamp: "2026-01-01T00:00:00Z" },
      spec: { ...POD, nodeName: "n" },
      status: { containerStatuses: [{ image: "nor/this:1", imageID: "x" }] },
    },
    CRON,
    { kind: "ConfigMap", data: { image: "nor/that:1" } },
  ],
};
const TAKEN = ["c:1", "i:1", "e:1", "v:1", "cron:1"].map((name) => `docker.io/library/${name}`);

describe("names are read from", () => {
  test.each([
    ["lines", "nginx\n\n# of ours\n  a.b:5000/c:1  \r\n", ["docker.io/library/nginx:latest", "a.b:5000/c:1"]],
    ["one line, as a jsonpath of kubectl prints them", "a.b/c:1 a.b/d:2", ["a.b/c:1", "a.b/d:2"]],
    ["a list of YAML", "- a.b/c:1\n  - a.b/d:2\n", ["a.b/c:1", "a.b/d:2"]],
    ["lines with comments", "# from: kubectl\na.b/c:1 # 3 MB: large\n", ["a.b/c:1"]],
    ["JSON in one line, behind blanks", '  {"containers":[{"image":"c:1"}]}', TAKEN.slice(0, 1)],
    ["a list in JSON", '[{"containers":[{"image":"c:1"}]}]', TAKEN.slice(0, 1)],
    ["a list in JSON over several lines", '[\n  {"containers":[{"image":"c:1"}]}\n]', TAKEN.slice(0, 1)],
    [
      "pods, beside what only looks like one",
      JSON.stringify({
        ...POD,
        image: { reference: "not:1" },
        volumes: [{ image: { reference: 7 } }, { image: 7 }],
      }),
      TAKEN.slice(0, 3),
    ],
    ["what kubectl prints as JSON", JSON.stringify(POD_LIST, null, 4), TAKEN],
    [
      "what kubectl prints as YAML",
      "apiVersion: v1\nitems:\n- spec:\n    containers:\n    - image: c:1\n    initContainers:\n    - {image: i:1}\nkind: List\n",
      TAKEN.slice(0, 2),
    ],
    [
      "a rendered chart of several documents, some of them empty",
      [
        "---\n# Source: app/templates/sa.yaml\nkind: ServiceAccount\n",
        "---\n# Source: app/templates/empty.yaml\n",
        '---\nkind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n        - name: c\n          image: "c:1"\n          args: ["--image=other:1"]\n      initContainers: []\n',
        "---\nkind: Pod\nmetadata: {annotations: {helm.sh/hook: test}}\nspec: {containers: [{image: i:1}]}\n",
      ].join(""),
      TAKEN.slice(0, 2),
    ],
    [
      "a custom resource with a pod in it",
      JSON.stringify({ kind: "Thing", spec: { podTemplate: POD } }),
      TAKEN.slice(0, 4),
    ],
    [
      "a container without an image, beside one",
      'containers: [{image: ""}, {name: c}, {image: c:1}]\n',
      TAKEN.slice(0, 1),
    ],
  ])("%s", (_what, text, names) => {
    expect(namesOf(text)).toEqual(names);
  });
});

describe("a text is refused", () => {
  test("with the line of each name that is none", () => {
    expect(refusal("a:1\nb{x\n")).toMatch(/^stdin: not every name is an image reference\nstdin:2: /u);
    expect(refusal("a:1\nB\nc:\u00fc\n")).toBe(
      "stdin: not every name is an image reference\nstdin:2: has upper case in its repository (a repository must be lower case)\n" +
        "stdin:3: has a malformed tag (allowed: letters, digits, _ . -, at most 128, not beginning with . or -)",
    );
  });

  test("with the place of each image of a manifest that is none", () => {
    expect(refusal("kind: A\n---\nspec: {containers: [{image: a:1}, {image: B}]}\n")).toContain(
      "\nstdin: document 2, spec.containers[1].image: has upper case",
    );
    expect(refusal('{"containers": [{"image": "B"}]}')).toContain(
      "\nstdin: containers[0].image: has upper case",
    );
    expect(refusal('{"volumes": [{"image": {"reference": "B"}}]}')).toContain(
      "\nstdin: volumes[0].image.reference: has upper case",
    );
  });

  test("that is a chart before it is rendered, with its line", () => {
    expect(refusal("spec:\n  containers:\n  - image: {{ .Values.image }}:1\n")).toMatch(
      /^stdin: cannot be read as YAML\nstdin:3:\d+: is not valid/u,
    );
  });

  test.each(["# nothing\n", "kind: ConfigMap\n", "{}"])("that names no image: %j", (text) => {
    expect(refusal(text)).toBe("stdin: names no image");
  });
});
