// A run's result for node_exporter's textfile collector: https://prometheus.io/docs/instrumenting/exposition_formats/
import { messageOf } from "../core/plain-text.ts";
import { isInPlace, lasted, type ImageState, type EndedRun } from "../core/run-state.ts";
import { readRegular, replaceRegular } from "../state/regular-file.ts";

type Labels = Readonly<Record<string, string>>;
/** A sample without a value is omitted, unless the earlier text has one. */
type Sample = readonly [labels: Labels, value: number | undefined];
type Samples = (state: EndedRun) => Sample[];

const ofImages =
  (value: (image: ImageState) => number | undefined): Samples =>
  ({ images }) =>
    images.map((image) => [{ image: image.name }, value(image)]);

const ofRun =
  (value: (state: EndedRun) => number | undefined): Samples =>
  (state) => [[{}, value(state)]];

const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1_000);

const STATES = ["present", "pulled", "imported", "kept", "failed", "unfinished"] as const;

/** One sample per state, so that none goes stale when an image changes its state. */
const states: Samples = ({ images }) =>
  images.flatMap(({ name, phase }) => {
    const now = STATES.find((state) => state === phase) ?? "unfinished";
    return STATES.map((state): Sample => [{ image: name, state }, Number(state === now)]);
  });

/** In the order of the file. A family without samples is omitted. */
const FAMILIES: readonly (readonly [name: string, help: string, samples: Samples])[] = [
  ["image_state", "Whether the image ended the last run in this state.", states],
  [
    "image_size_bytes",
    "Compressed size of the image.",
    ofImages((image) => (isInPlace(image) ? image.size : undefined)),
  ],
  [
    "image_duration_seconds",
    "Time from the image's first pull to its end.",
    ofImages((image) => seconds(lasted(image))),
  ],
  ["image_attempts", "Pulls that the last run started for the image.", ofImages(({ attempts }) => attempts)],
  [
    "image_last_success_timestamp_seconds",
    "Time at which the image was last found or put in place and verified.",
    ofImages((image) => (isInPlace(image) ? seconds(image.endedAt) : undefined)),
  ],
  ["run_exit_code", "Exit code of the last run.", ofRun(({ exitCode }) => exitCode)],
  ["run_duration_seconds", "Duration of the last run.", ofRun((state) => seconds(lasted(state)))],
  ["run_timestamp_seconds", "Time at which the last run ended.", ofRun(({ endedAt }) => seconds(endedAt))],
  [
    "run_last_success_timestamp_seconds",
    "Time at which a run last ended with exit code 0.",
    ofRun(({ exitCode, endedAt }) => (exitCode === 0 ? seconds(endedAt) : undefined)),
  ],
  [
    "run_concurrency",
    "Images that the last run pulled at once, at its end.",
    ofRun(({ concurrency }) => concurrency),
  ],
  [
    "build_info",
    "Version of import-images that did the last run; the value is always 1.",
    ({ version }) => [[{ version }, 1]],
  ],
];

/** Replaces the file. @param onProblem called with the reason if that fails, which never fails a run */
export function writeMetrics(file: string, state: EndedRun, onProblem: (why: string) => void): void {
  try {
    // The collector runs as another user, and reads any file that ends in .prom at any time.
    replaceRegular(file, metricsText(state, readRegular(file) ?? ""), 0o644);
  } catch (error) {
    onProblem(`metrics_file cannot be written: ${messageOf(error)}`);
  }
}

/** @param earlier the text of the run before: what failed now keeps the time of its last success */
export function metricsText(state: EndedRun, earlier: string): string {
  const before = successes(earlier);
  return FAMILIES.map(([family, help, samples]) => {
    const name = `import_images_${family}`;
    const lines = samples(state).flatMap(([labels, value]) => {
      const series = seriesOf(name, labels);
      const shown = value ?? before.get(series);
      return shown === undefined ? [] : [`${series} ${shown}\n`];
    });
    return lines.length === 0 ? "" : [`# HELP ${name} ${help}\n# TYPE ${name} gauge\n`, ...lines].join("");
  }).join("");
}

/** As written in the text: `import_images_image_attempts{image="a:1"}`. */
function seriesOf(name: string, labels: Labels): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${escaped(value)}"`);
  return pairs.length === 0 ? name : `${name}{${pairs.join(",")}}`;
}

const escaped = (value: string): string =>
  value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");

/** The times of last successes in a text, by series. */
const successes = (text: string): ReadonlyMap<string, string> =>
  new Map(
    [...text.matchAll(/^(import_images_\w+_last_success_.*) (\d[\d.]*)$/gmu)].map(
      ([, series = "", value = ""]) => [series, value],
    ),
  );
