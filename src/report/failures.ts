// What failed, why, and what to do next: for people, in the summary and in one line.
import { printable } from "../core/plain-text.ts";
import { isInPlace, type ImageState, type EndedRun, type Phase } from "../core/run-state.ts";
import { counted } from "../core/units.ts";

/** Failures per next step that are shown with their reasons: a thousand of one kind would hide three others. */
const MOST_ALIKE = 15;
/** Names per kind of failure in the one-line reason. */
const MOST_NAMES = 5;

type Images = readonly ImageState[];

/** Images that failed, or that an ended run left unfinished. */
export const lacking = (images: Images): Images => images.filter((image) => !isInPlace(image));

/** Groups by next step, so that each is printed once. Required images come first. */
const byNextStep = (failed: Images): (readonly [string, Images])[] => [
  ...Map.groupBy(
    failed.toSorted((a, b) => Number(b.required) - Number(a.required)),
    ({ failure }) => failure?.next ?? "run again",
  ),
];

export const failureLines = (failed: Images): string[] =>
  byNextStep(failed).flatMap(([next, images]) => [
    ...images.slice(0, MOST_ALIKE).flatMap(failureOf),
    // The images in a group share their next step but not their reasons, so the rest are counted by kind.
    ...[...Map.groupBy(images.slice(MOST_ALIKE), kindOf)].flatMap(([kind, alike]) =>
      moreLine(alike.length, kind),
    ),
    `  next${images.length === 1 ? "" : `, for these ${images.length}`}: ${next}`,
    "",
  ]);

function failureOf(image: ImageState): string[] {
  const { name, required, attempts } = image;
  const what =
    image.phase === "failed"
      ? `FAILED ${name} in ${image.failure.step}: ${image.failure.class}, after ${counted(attempts, "attempt")}`
      : `NOT FINISHED ${name}`;
  return [`${what}${required ? "" : " (not required)"}`, `  why:  ${whyOf(image)}`];
}

/** What an image lacks if the run left it in this phase. */
const LEFT: Partial<Record<Phase, string>> = {
  waiting: "not started",
  pulling: "the pull did not finish",
  retrying: "waiting for its next attempt",
  tagging: "pulled, but not named and pinned",
  unverified: "named and pinned, but not verified",
};

/** Omits the part of the message that repeats the image's name. */
function whyOf({ name, phase, failure }: ImageState): string {
  const why = failure?.message.replace(`failed to resolve reference "${name}": `, "");
  if (phase === "failed" && why !== undefined) return why;
  const left = LEFT[phase] ?? "not finished";
  return failure === undefined ? left : `${left}; last failure: ${failure.class}: ${why}`;
}

const kindOf = (image: ImageState): string =>
  image.phase === "failed" ? `failed in ${image.failure.step} (${image.failure.class})` : "not finished";

const inFull = (image: ImageState): string => `${kindOf(image)}: ${whyOf(image)}`;

export const moreLine = (count: number, what: string): string[] =>
  count <= 0 ? [] : [`… and ${count} more ${what}; import-images status --json lists all`];

/**
 * One line for the end of stderr; undefined if everything is in place. It must be complete in itself: BOSH only reports
 * that a hook failed, and post-start.stderr.log ends with this line.
 */
export function reason(run: EndedRun): string | undefined {
  const why = run.stopped ?? failuresInOneLine(run);
  return why === undefined ? undefined : printable(why);
}

function failuresInOneLine({ images }: EndedRun): string | undefined {
  const failed = lacking(images);
  const groups = byNextStep(failed);
  const first = groups[0]?.[1][0];
  if (first === undefined) return undefined;
  const kinds = groups.map(([next, alike]) => `${kindsOf(alike, first)} — next: ${next}`);
  const count = failed.length === 1 ? "" : `${failed.length} of ${counted(images.length, "image")} failed: `;
  return `${count}${kinds.join("; ")}`;
}

/** Gives only the first failure's reason, with all images that share it. The summary has the other reasons. */
function kindsOf(images: Images, first: ImageState): string {
  const firstReason = inFull(first);
  const byKind = Map.groupBy(images, (image) =>
    inFull(image) === firstReason ? firstReason : kindOf(image),
  );
  return [...byKind]
    .map(([kind, alike]) => `${shortList(alike.map(({ name }) => name))} ${kind}`)
    .join(", and ");
}

/** The first names, and the number of the others. */
export const shortList = (names: readonly string[]): string =>
  names.length <= MOST_NAMES
    ? names.join(", ")
    : `${names.slice(0, MOST_NAMES).join(", ")} and ${names.length - MOST_NAMES} more`;
