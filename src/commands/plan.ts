// `plan`: what a run would do, and why.
import type { RunArguments } from "../cli.ts";
import { realContainerd } from "../containerd/containerd.ts";
import type { PlannedArchive } from "../core/archives.ts";
import { type Plan, type PlannedImage } from "../core/plan.ts";
import { printableLine } from "../core/plain-text.ts";
import { counted } from "../core/units.ts";
import type { Edge } from "../edge.ts";
import { EXIT } from "../exit.ts";
import { decided } from "../report/events.ts";
import { chosen } from "./chosen.ts";
import { look, type Connect } from "./look.ts";

export async function planCommand(
  args: RunArguments,
  edge: Edge,
  connect: Connect = realContainerd,
): Promise<number> {
  const { config, only } = await chosen(args, edge);
  const { plan, archives: planned } = await look(config, edge, connect, {
    only,
    readArchives: true,
    deep: false,
  });
  const archives = only.size === 0 ? planned : [];
  const text = args.json ? JSON.stringify(planJson(plan, archives), null, 2) : planText(plan, archives);
  edge.stdout.write(`${text}\n`);
  return EXIT.ok;
}

const planJson = ({ images, unpin }: Plan, archives: readonly PlannedArchive[]) => ({
  archives: archives.map(({ archive, action, why, names }) => ({
    path: archive.path,
    action,
    why,
    names: Object.keys(names),
  })),
  images: images.map(({ image, decision, names, pin }) => ({
    name: image.source.name,
    required: image.required,
    pull: decision.action === "pull",
    why: decision.why,
    tags: names,
    pin: pin === "create",
  })),
  unpin: unpin.map(({ name }) => name),
});

const planText = ({ images, unpin }: Plan, archives: readonly PlannedArchive[]): string =>
  [
    ...archives.map(({ archive, action, why }) => `${verb(action).padEnd(6)} ${archive.path}: ${why}`),
    ...images.flatMap(imageLines),
    ...unpin.map(({ name }) => `unpin  ${name}: pinned by an earlier run, no longer in the list`),
    `${decided(images)}; ${counted(unpin.length, "image")} to unpin`,
  ]
    .map(printableLine)
    .join("\n");

/** Words for actions whose own name would not be clear. */
const VERBS: Readonly<Record<string, string>> = { share: "tag", create: "tag", fail: "FAIL" };
const verb = (action: string): string => VERBS[action] ?? action;

/** Omits digest forms that need no change, because a pull of each name creates them too. */
const imageLines = ({ image, decision, names, pin }: PlannedImage): string[] => [
  `${verb(decision.action).padEnd(6)} ${image.source.name}: ${decision.why}`,
  ...names
    .filter(({ name, action }) => action !== "keep" || !name.includes("@"))
    .map(({ name, action, why }) => `  ${verb(action).padEnd(5)}${name}: ${why}`),
  ...(pin === "create" ? ["  pin"] : []),
];
