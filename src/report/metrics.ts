// The result of a run for node_exporter's textfile collector: https://prometheus.io/docs/instrumenting/exposition_formats/
import { messageOf } from "../core/plain-text.ts";
import { IN_PLACE, lasted, type ImageState, type RunState } from "../core/run-state.ts";
import { readRegular, replaceRegular } from "../state/regular-file.ts";

/** In the order in which they stand; a family with nothing to say is left out. */
const HELP = {
  image_state: "Whether the image ended the last run in this state.",
  image_size_bytes: "Compressed size of the image.",
  image_duration_seconds: "Time from the image's first pull to its end.",
  image_attempts: "Pulls that the last run started for the image.",
  image_last_success_timestamp_seconds:
    "Time at which the image was last found or put in place and verified.",
  run_exit_code: "Exit code of the last run.",
  run_duration_seconds: "Duration of the last run.",
  run_timestamp_seconds: "Time at which the last run ended.",
  run_last_success_timestamp_seconds: "Time at which a run last ended with exit code 0.",
  run_concurrency: "Images that the last run pulled at once, at its end.",
  build_info: "Version of import-images that did the last run; the value is always 1.",
};

/** Name and labels as they stand in the text, `import_images_image_attempts{image="a:1"}`, and the value if there is one. */
type Series = readonly [text: string, value: number | undefined];
type Earlier = ReadonlyMap<string, number | undefined>;

/**
 * Replaces the file. What an earlier one holds stays where this run has nothing newer to say: the last success of an
 * image, and all of the images that a narrowed run left alone.
 * @returns why it could not be written, which never fails a run
 */
export function writeMetrics(file: string, state: RunState, narrowed: boolean): string | undefined {
  try {
    // The collector is another user, and reads whatever ends in .prom at any moment.
    replaceRegular(file, metricsText(state, readRegular(file) ?? "", narrowed), 0o644);
    return undefined;
  } catch (error) {
    return `metrics_file cannot be written: ${messageOf(error)}`;
  }
}

/** @param earlier the text that the last run wrote */
export function metricsText(state: RunState, earlier: string, narrowed: boolean): string {
  const before = read(earlier);
  const seen = new Set(state.images.map(({ name }) => escaped(name)));
  const kept = [...before].filter(([text]) => {
    const { image } = IMAGE.exec(text)?.groups ?? {};
    return narrowed && image !== undefined && !seen.has(image);
  });
  const ours = [...state.images.flatMap((image) => ofImage(image, before)), ...ofRun(state, before)];
  const lines = [...ours, ...kept].flatMap(([text, value]) =>
    value === undefined ? [] : `${text} ${value}\n`,
  );
  const families = Map.groupBy(
    lines,
    (line) => /^import_images_(?<name>[a-z_]+)/u.exec(line)?.groups?.["name"],
  );
  return Object.entries(HELP)
    .filter(([name]) => families.has(name))
    .map(([name, help]) => headOf(`import_images_${name}`, help) + families.get(name)?.join(""))
    .join("");
}

const headOf = (name: string, help: string): string => `# HELP ${name} ${help}\n# TYPE ${name} gauge\n`;

const STATES = ["present", "pulled", "imported", "kept", "failed", "unfinished"] as const;

function ofImage(image: ImageState, before: Earlier): Series[] {
  const { name, phase, size, attempts, endedAt } = image;
  const of = { image: name };
  const now = STATES.find((state) => state === phase) ?? "unfinished";
  const success = series("image_last_success_timestamp_seconds", of);
  return [
    // Every state has a series, so that none of them goes stale when another begins.
    ...STATES.map((state): Series => [series("image_state", { ...of, state }), Number(state === now)]),
    [series("image_size_bytes", of), size],
    [series("image_duration_seconds", of), seconds(lasted(image))],
    [series("image_attempts", of), attempts],
    [success, IN_PLACE.has(phase) ? seconds(endedAt) : before.get(success)],
  ];
}

function ofRun(state: RunState, before: Earlier): Series[] {
  const { exitCode, endedAt, concurrency, version } = state;
  const success = series("run_last_success_timestamp_seconds");
  return [
    [series("run_exit_code"), exitCode],
    [series("run_duration_seconds"), seconds(lasted(state))],
    [series("run_timestamp_seconds"), seconds(endedAt)],
    [success, exitCode === 0 ? seconds(endedAt) : before.get(success)],
    [series("run_concurrency"), concurrency],
    [series("build_info", { version }), 1],
  ];
}

const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1_000);

function series(name: keyof typeof HELP, labels: Readonly<Record<string, string>> = {}): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${escaped(value)}"`);
  return `import_images_${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`}`;
}

const escaped = (value: string): string =>
  value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");

const LABEL = String.raw`[a-z_]+="(?:[^"\\]|\\.)*"`;
const LINE = new RegExp(
  String.raw`^(?<text>[a-z_]+(?:\{${LABEL}(?:,${LABEL})*\})?) (?<value>[\d.eE+-]+)$`,
  "u",
);
const IMAGE = /\{image="(?<image>(?:[^"\\]|\\.)*)"/u;

/** Reads what this module wrote; anything else is passed over. */
const read = (text: string): Earlier =>
  new Map(
    text.split("\n").flatMap((line) => {
      const { text: name, value } = LINE.exec(line)?.groups ?? {};
      return name === undefined || !Number.isFinite(Number(value)) ? [] : [[name, Number(value)]];
    }),
  );
