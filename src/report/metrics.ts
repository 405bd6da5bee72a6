// The result of a run for node_exporter's textfile collector: https://prometheus.io/docs/instrumenting/exposition_formats/
import { type ImageState, IN_PLACE, type RunState } from "../core/run-state.ts";
import { readRegular, replaceRegular } from "../state/regular-file.ts";

/** Of one image, or of the run. */
interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Family {
  readonly name: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

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
    return `metrics_file cannot be written: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** @param earlier the text that the last run wrote */
export function metricsText(state: RunState, earlier: string, narrowed: boolean): string {
  const before = parseSamples(earlier);
  const kept: Earlier = narrowed ? ofOthers(before, state) : new Map();
  return families(state, before)
    .map((family) => ({
      ...family,
      samples: [...family.samples, ...(kept.get(family.name) ?? [])],
    }))
    .filter(({ samples }) => samples.length > 0)
    .map(familyText)
    .join("");
}

function families(state: RunState, before: Earlier): Family[] {
  const { images } = state;
  return [
    ...imageFamilies(images),
    imageFamily(
      "last_success_timestamp_seconds",
      "Time at which the image was last found or put in place and verified.",
      images,
      (image) => lastSuccess(image, before),
    ),
    ...runFamilies(state, before),
  ];
}

const seconds = (ms: number): number => ms / 1_000;

const imageFamilies = (images: readonly ImageState[]): Family[] => [
  {
    name: "import_images_image_state",
    help: "Whether the image ended the last run in this state.",
    samples: images.flatMap(stateSamples),
  },
  imageFamily("size_bytes", "Compressed size of the image.", images, ({ size }) => size),
  imageFamily(
    "duration_seconds",
    "Time from the image's first pull to its end.",
    images,
    ({ startedAt, endedAt }) =>
      startedAt === undefined || endedAt === undefined ? undefined : seconds(endedAt - startedAt),
  ),
  imageFamily(
    "attempts",
    "Pulls that the last run started for the image.",
    images,
    ({ attempts }) => attempts,
  ),
];

function imageFamily(
  name: string,
  help: string,
  images: readonly ImageState[],
  valueOf: (image: ImageState) => number | undefined,
): Family {
  const samples = images.flatMap((image) => {
    const value = valueOf(image);
    return value === undefined ? [] : [{ labels: { image: image.name }, value }];
  });
  return { name: `import_images_image_${name}`, help, samples };
}

const STATES = ["present", "pulled", "imported", "kept", "failed", "unfinished"] as const;

/** Every state has a series, so that none of them goes stale when another begins. */
function stateSamples({ name, phase }: ImageState): Sample[] {
  const now = STATES.find((state) => state === phase) ?? "unfinished";
  return STATES.map((state) => ({ labels: { image: name, state }, value: Number(state === now) }));
}

const LAST_SUCCESS = "import_images_image_last_success_timestamp_seconds";
const RUN_SUCCESS = "import_images_run_last_success_timestamp_seconds";

function lastSuccess({ name, phase, endedAt }: ImageState, before: Earlier): number | undefined {
  if (IN_PLACE.has(phase) && endedAt !== undefined) return seconds(endedAt);
  return before.get(LAST_SUCCESS)?.find(({ labels }) => labels["image"] === name)?.value;
}

function runFamilies(
  { exitCode, startedAt, endedAt, version, concurrency }: RunState,
  before: Earlier,
): Family[] {
  const ended = endedAt === undefined ? undefined : seconds(endedAt);
  const success = exitCode === 0 ? ended : before.get(RUN_SUCCESS)?.[0]?.value;
  return [
    runFamily("import_images_run_exit_code", "Exit code of the last run.", exitCode),
    runFamily(
      "import_images_run_duration_seconds",
      "Duration of the last run.",
      endedAt === undefined ? undefined : seconds(endedAt - startedAt),
    ),
    runFamily("import_images_run_timestamp_seconds", "Time at which the last run ended.", ended),
    runFamily(RUN_SUCCESS, "Time at which a run last ended with exit code 0.", success),
    runFamily(
      "import_images_run_concurrency",
      "Images that the last run pulled at once, at its end.",
      concurrency,
    ),
    {
      name: "import_images_build_info",
      help: "Version of import-images that did the last run; the value is always 1.",
      samples: [{ labels: { version }, value: 1 }],
    },
  ];
}

const runFamily = (name: string, help: string, value: number | undefined): Family => ({
  name,
  help,
  samples: value === undefined ? [] : [{ labels: {}, value }],
});

/** Samples of images that this run did not look at. */
function ofOthers(before: Earlier, { images }: RunState): Earlier {
  const seen = new Set<string | undefined>([undefined, ...images.map((image) => image.name)]);
  return new Map(
    [...before].map(([family, samples]) => [
      family,
      samples.filter(({ labels: { image } }) => !seen.has(image)),
    ]),
  );
}

function familyText({ name, help, samples }: Family): string {
  const lines = samples.map(({ labels, value }) => `${name}${labelsText(labels)} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${lines.join("")}`;
}

function labelsText(labels: Sample["labels"]): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

const escaped = (value: string): string =>
  value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
const unescaped = (text: string): string =>
  text.replaceAll(/\\(?<char>.)/gu, (_, char: string) => (char === "n" ? "\n" : char));

type Earlier = ReadonlyMap<string, readonly Sample[]>;

const LINE = /^(?<name>[a-z_]+)(?:\{(?<labels>.*)\})? (?<value>[\d.eE+-]+)$/u;
const LABEL = /(?<name>[a-z_]+)="(?<value>(?:[^"\\]|\\.)*)"/gu;

/** Reads what this module wrote; anything else is passed over. */
function parseSamples(text: string): Earlier {
  const found = text.split("\n").flatMap((line) => {
    const { name, labels = "", value } = LINE.exec(line)?.groups ?? {};
    if (name === undefined || !Number.isFinite(Number(value))) return [];
    const pairs = [...labels.matchAll(LABEL)].map(({ groups }) => [
      groups?.["name"] ?? "",
      unescaped(groups?.["value"] ?? ""),
    ]);
    const read: Readonly<Record<string, string>> = Object.fromEntries(pairs);
    return [{ name, sample: { labels: read, value: Number(value) } }];
  });
  const byName = Map.groupBy(found, ({ name }) => name);
  return new Map([...byName].map(([name, entries]) => [name, entries.map(({ sample }) => sample)]));
}
