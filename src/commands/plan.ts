// `plan`: what a run would do, and why.
import { loadConfig } from "../config/load.ts";
import { narrow, planImport, type Plan, type PlannedImage } from "../core/plan.ts";
import { canPin } from "../core/runtime-version.ts";
import { counted } from "../core/units.ts";
import type { Edge } from "../edge.ts";
import { EXIT } from "../exit.ts";
import { look } from "./look.ts";
import { decided } from "../report/lines.ts";
import { narrowed } from "./narrowed.ts";
import type { RunArguments } from "./run.ts";

export async function planCommand(args: RunArguments, edge: Edge): Promise<number> {
  const config = await loadConfig(args.config ?? edge.paths.config);
  const only = narrowed(config, args.only);
  const { node, version } = await look(config, edge.signal);
  const plan = narrow(planImport(config.images, node, canPin(version)), only);
  edge.stdout.write(args.json ? `${JSON.stringify(planJson(plan), null, 2)}\n` : `${planText(plan)}\n`);
  return EXIT.ok;
}

const planJson = ({ images, unpin }: Plan) => ({
  images: images.map(({ image, decision, tags, pins }) => ({
    name: image.source.name,
    required: image.required,
    pull: decision.action === "pull",
    why: decision.why,
    tags: tags.map(({ target, action, why }) => ({ name: target.name, action, why })),
    pin: pins,
  })),
  unpin,
});

function planText({ images, unpin }: Plan): string {
  return [
    ...images.flatMap(imageLines),
    ...unpin.map((name) => `unpin  ${name}: pinned by an earlier run, no longer in the list`),
    `${decided(images)}; ${counted(unpin.length, "name")} to unpin`,
  ].join("\n");
}

const VERBS = { pull: "pull", share: "tag", keep: "keep", create: "tag", move: "move" } as const;

const imageLines = ({ image, decision, tags, pins }: PlannedImage): string[] => [
  `${VERBS[decision.action].padEnd(5)}  ${image.source.name}: ${decision.why}`,
  ...tags.map(({ target, action, why }) => `  ${VERBS[action].padEnd(5)}${target.name}: ${why}`),
  ...pins.map((name) => `  pin  ${name}`),
];
