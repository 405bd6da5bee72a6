import type { Contest, Entry } from "./contest.ts";
import { failureOf } from "./failure.ts";
import { spread } from "./statistics.ts";

const columns = [
  "",
  "median",
  "min to max",
  "of bash's",
  "of the bound",
  "exit",
  "images there",
  "requests",
  "starts/image",
  "CPU own + tools + containerd",
  "peak RSS",
];

/** One contest as a Markdown table. */
export function table(contest: Contest): string {
  const { bound } = contest;
  const rows = contest.entries.map((entry) => row(contest, entry));
  return [
    `### ${contest.case}, containerd ${contest.containerd}`,
    "",
    `${contest.shows}; ${contest.entries[0]?.samples.length ?? 0} runs. ${boundText(bound)}`,
    "",
    markdownRow(columns),
    markdownRow(columns.map((_, index) => (index === 0 ? "---" : "---:"))),
    ...rows.map(markdownRow),
    "",
  ].join("\n");
}

function boundText({ seconds, network, chain }: Contest["bound"]): string {
  if (seconds === 0) return "Nothing to transfer.";
  return `Bound ${seconds.toFixed(2)} s (bytes ${network.toFixed(2)} s, slowest image alone ${chain.toFixed(2)} s).`;
}

function row(contest: Contest, { contender, samples, starts }: Entry): string[] {
  const of = (value: (sample: Entry["samples"][number]) => number): ReturnType<typeof spread> =>
    spread(samples.map(value));
  const own = of((sample) => sample.ownCpuSeconds).median;
  const tools = of((sample) => sample.cpuSeconds).median - own;
  const present = of((sample) => sample.present);
  return [
    contender,
    ...timeCells(contest, samples),
    [...new Set(samples.map((sample) => sample.exitCode))].join(", "),
    `${present.min}/${samples[0]?.wanted ?? 0}`,
    of((sample) => sample.requests).median.toFixed(0),
    (starts / contest.images).toFixed(2),
    `${own.toFixed(2)} + ${tools.toFixed(2)} + ${of((sample) => sample.containerdCpuSeconds).median.toFixed(2)} s`,
    `${of((sample) => sample.ownPeakMB).max.toFixed(0)} MB`,
  ];
}

function timeCells({ bound, images, entries }: Contest, samples: Entry["samples"]): string[] {
  const failure = failureOf(samples, images);
  if (failure !== "") return [failure, "", "", ""];
  const seconds = spread(samples.map((sample) => sample.seconds));
  const bash = entries.find((entry) => entry.contender === "bash")?.samples ?? [];
  const share = (100 * seconds.median) / spread(bash.map((sample) => sample.seconds)).median;
  return [
    `${seconds.median.toFixed(2)} s`,
    `${seconds.min.toFixed(2)} to ${seconds.max.toFixed(2)}`,
    Number.isNaN(share) || failureOf(bash, images) !== "" ? "" : `${share.toFixed(0)} %`,
    bound.seconds === 0 ? "" : (seconds.median / bound.seconds).toFixed(2),
  ];
}

export function markdownRow(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}
