import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { decodeConfig } from "../../../src/config/decode.ts";
import { applyEvent, endRun, type RunEvent } from "../../../src/core/events.ts";
import { startState } from "../../../src/core/run-state.ts";
import { metricsText, writeMetrics } from "../../../src/report/metrics.ts";

const START = 1_767_225_600_000;
const VERIFIED = { id: "sha256:1", digest: "sha256:2", size: 1_234, pinned: true };

const ended = (events: readonly RunEvent[], exitCode = 0, start = START) =>
  endRun(
    events.reduce(
      (state, event, index) => applyEvent(state, event, start + (index + 1) * 500),
      startState("run", "1.0.0", 1, start),
    ),
    { exitCode },
    start + (events.length + 1) * 500,
  );
const listed = (...names: readonly string[]): RunEvent => ({
  type: "run-started",
  images: names.map((name) => ({ name, names: [name], required: true })),
});
const pulled = (image: string): RunEvent[] => [
  { type: "attempt-started", image, attempt: 1 },
  { type: "image-done", image, phase: "pulled", verified: VERIFIED },
];
const failed = (image: string): RunEvent => ({
  type: "image-failed",
  image,
  step: "pull",
  failure: { class: "auth", message: "" },
});

/** Series and value. Whether the text is of the format is for its real reader to say: test/real/metrics.test.ts. */
const parse = (text: string): Map<string, number> =>
  new Map(
    text
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]),
  );

function directory(): string {
  const made = mkdtempSync(path.join(tmpdir(), "metrics-"));
  onTestFinished(() => rmSync(made, { recursive: true }));
  return made;
}

describe("the metrics of a run", () => {
  it("tell of each image and of the run, in base units", () => {
    const text = metricsText(ended([listed("a:1", "b:1"), ...pulled("a:1"), failed("b:1")], 1), "");
    expect(Object.fromEntries(parse(text))).toEqual({
      'import_images_image_state{image="a:1",state="present"}': 0,
      'import_images_image_state{image="a:1",state="pulled"}': 1,
      'import_images_image_state{image="a:1",state="imported"}': 0,
      'import_images_image_state{image="a:1",state="kept"}': 0,
      'import_images_image_state{image="a:1",state="failed"}': 0,
      'import_images_image_state{image="a:1",state="unfinished"}': 0,
      'import_images_image_state{image="b:1",state="present"}': 0,
      'import_images_image_state{image="b:1",state="pulled"}': 0,
      'import_images_image_state{image="b:1",state="imported"}': 0,
      'import_images_image_state{image="b:1",state="kept"}': 0,
      'import_images_image_state{image="b:1",state="failed"}': 1,
      'import_images_image_state{image="b:1",state="unfinished"}': 0,
      'import_images_image_size_bytes{image="a:1"}': 1_234,
      'import_images_image_duration_seconds{image="a:1"}': 0.5,
      'import_images_image_attempts{image="a:1"}': 1,
      'import_images_image_attempts{image="b:1"}': 0,
      'import_images_image_last_success_timestamp_seconds{image="a:1"}': 1_767_225_601.5,
      import_images_run_exit_code: 1,
      import_images_run_duration_seconds: 2.5,
      import_images_run_timestamp_seconds: 1_767_225_602.5,
      'import_images_build_info{version="1.0.0"}': 1,
    });
  });

  it("keep the last success of an image and of the run when a later run fails", () => {
    const first = metricsText(ended([listed("a:1"), ...pulled("a:1")]), "");
    const second = parse(metricsText(ended([listed("a:1"), failed("a:1")], 1, START + 60_000), first));
    const success = 'import_images_image_last_success_timestamp_seconds{image="a:1"}';
    expect(second.get(success)).toBe(parse(first).get(success));
    expect(second.get("import_images_run_last_success_timestamp_seconds")).toBe(1_767_225_602);
    expect(second.get("import_images_run_timestamp_seconds")).toBe(1_767_225_661.5);
  });

  it.for(["present", "pulled", "imported", "kept"] as const)(
    "tell of a success when it ended %s",
    (phase) => {
      const done: RunEvent = { type: "image-done", image: "a:1", phase, verified: VERIFIED };
      const success = 'import_images_image_last_success_timestamp_seconds{image="a:1"}';
      expect(parse(metricsText(ended([listed("a:1"), done]), "")).get(success)).toBe(1_767_225_601);
    },
  );

  it("forget an image that left the list", () => {
    const first = metricsText(ended([listed("a:1", "b:1"), ...pulled("a:1"), failed("b:1")], 1), "");
    const next = ended([listed("b:1"), ...pulled("b:1")], 0, START + 60_000);
    expect(first).toContain('"a:1"');
    expect(metricsText(next, first)).not.toContain('"a:1"');
  });

  it("survive names with quotes, backslashes and line breaks, and read them again", () => {
    const name = '/var/vcap/"odd"\\path\n.tar';
    const first = metricsText(ended([listed(name), ...pulled(name)]), "");
    const second = metricsText(ended([listed(name), failed(name)], 1), first);
    const series = String.raw`import_images_image_last_success_timestamp_seconds{image="/var/vcap/\"odd\"\\path\n.tar"}`;
    expect(parse(second).get(series)).toBe(parse(first).get(series));
  });

  it("are right after a damaged file", () => {
    const damaged = 'import_images_image_last_success_timestamp_seconds{image="a:1"} NaN\nrubbish\n\u0000';
    expect(parse(metricsText(ended([listed("a:1"), failed("a:1")], 1), damaged)).size).toBe(11);
  });
});

describe("the metrics file", () => {
  const state = ended([listed("a:1"), ...pulled("a:1")]);

  it("is readable by the collector and leaves nothing beside it", () => {
    const file = path.join(directory(), "import_images.prom");
    const before = process.umask(0o077);
    onTestFinished(() => void process.umask(before));
    writeMetrics(file, state, expect.unreachable);
    expect(statSync(file).mode & 0o777).toBe(0o644);
    expect(parse(readFileSync(file, "utf8")).get("import_images_run_exit_code")).toBe(0);
    writeMetrics(file, state, expect.unreachable);
    expect(readdirSync(path.dirname(file))).toEqual(["import_images.prom"]);
  });

  it("is not written through a link that lies in wait", () => {
    const folder = directory();
    const [file, victim] = [path.join(folder, "x.prom"), path.join(folder, "victim")];
    writeFileSync(victim, "untouched");
    symlinkSync(victim, `${file}.new`);
    writeMetrics(file, state, expect.unreachable);
    expect(readFileSync(victim, "utf8")).toBe("untouched");
  });

  it("is a warning where it cannot be written", () => {
    const folder = directory();
    const problems: string[] = [];
    const tell = (why: string): void => void problems.push(why);
    writeMetrics(path.join(folder, "none", "x.prom"), state, tell);
    mkdirSync(path.join(folder, "y.prom"));
    writeMetrics(path.join(folder, "y.prom"), state, tell);
    expect(problems).toEqual([
      expect.stringMatching(/^metrics_file cannot be written: .*ENOENT: no such file or directory/u),
      expect.stringMatching(/^metrics_file cannot be written: /u),
    ]);
    expect(readdirSync(folder)).toEqual(["y.prom"]);
  });

  it.for([
    ["/var/vcap/store/x.prom", true],
    ["x.prom", false],
    ["/var/x.txt", false],
    ["/var/.prom", false],
    ["/var/a\nb.prom", false],
  ] as const)("may be named %j: %s", ([metrics_file, right]) => {
    expect(decodeConfig({ images: [], metrics_file }).ok).toBe(right);
  });
});
