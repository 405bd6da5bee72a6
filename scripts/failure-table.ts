// The operators' table of failures: what is met, its class, how often it is tried, and what to do next.
import { actionOf, FAILURE_CLASSES, nextStep, type Action, type FailureClass } from "../src/core/failure.ts";
import { ANSWERS, RULES, type Rule } from "../src/core/rules.ts";

const ATTEMPTS: Readonly<Record<Action, string>> = {
  stop: "1",
  "once-more": "2, the second after `retry.max_delay`",
  "at-once": "`retry.attempts`, the second immediately",
  "back-off": "`retry.attempts`",
  "registry-back-off": "until `registry_timeout`, one image at a time",
  "wait-for-runtime": "again once containerd answers",
  "stop-run": "1, and the run stops",
};

/** What no text of a tool tells. */
const OURS: readonly (readonly [string, FailureClass])[] = [
  ["no byte for `stall_timeout`", "stall"],
  ["`image_timeout` or `deadline` passed", "timeout"],
  ["damage on the disk, in what a container uses", "damaged"],
  ["less free than `disk.min_free_percent`", "disk"],
  ["a signal stopped the run", "cancelled"],
  ["anything else", "unknown"],
];

type Row = Pick<Rule, "met" | "class" | "action" | "next">;

const entailed = (row: Row): string =>
  `${ATTEMPTS[actionOf(row)]} | ${(row.next ?? nextStep(row.class, "{host}")).replaceAll("{host}", "the host")}`;

/** By class, and in one line what entails the same. */
export function failureTable(): string {
  const rows: Row[] = [...ANSWERS, ...RULES, ...OURS.map(([met, name]) => ({ met, class: name }))];
  const lines = FAILURE_CLASSES.flatMap((name) =>
    [
      ...Map.groupBy(
        rows.filter((row) => row.class === name),
        entailed,
      ),
    ].map(([what, alike]) => `| \`${name}\` | ${alike.map(({ met }) => met).join("; ")} | ${what} |`),
  );
  return ["| class | what the run meets | attempts | next step |", "|---|---|---|---|", ...lines].join("\n");
}
