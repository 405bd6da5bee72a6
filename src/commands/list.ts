// `list`: prints an `images` block from the images on this node, or from names.
import { existsSync } from "node:fs";
import type { ListArguments } from "../cli.ts";
import { decodeConfig } from "../config/decode.ts";
import type { Config } from "../config/config.ts";
import { loadConfig, nameOf, readText } from "../config/load.ts";
import { namesIn } from "../config/names.ts";
import { realContainerd } from "../containerd/containerd.ts";
import { imagesNamed, imagesOnNode, listEntries, type ListEntry } from "../core/list.ts";
import { counted, formatBytes } from "../core/units.ts";
import type { Edge } from "../edge.ts";
import { EXIT, ExitError } from "../exit.ts";
import { answeringSoon, asking, type Connect } from "./look.ts";

/** @returns the exit code. @throws ExitError (usage, runtime not ready) */
export async function listCommand(
  args: ListArguments,
  edge: Edge,
  connect: Connect = realContainerd,
): Promise<number> {
  const { from, registry } = args;
  const images =
    from === undefined
      ? await onNode(args, edge, connect)
      : imagesNamed(namesIn(nameOf(from), await readText(from, edge.stdin)));
  const entries = listEntries(images, registry);
  if (entries.length === 0)
    throw new ExitError(
      EXIT.usage,
      args.inUse ? "no container on this node has an image" : "this node has no image",
    );
  edge.stdout.write(imagesBlock(entries));
  return EXIT.ok;
}

async function onNode({ config, inUse }: ListArguments, edge: Edge, connect: Connect) {
  return asking(answeringSoon(await runtimeOf(config, edge)), edge, connect, async (containerd) => {
    const [records, blobs, cri, used] = await Promise.all([
      containerd.records(),
      containerd.blobs(),
      containerd.criImages(),
      inUse ? containerd.containerImages() : undefined,
    ]);
    return imagesOnNode({ records, blobs, cri }, used);
  });
}

/** A worker that never had the job has no configuration. Its containerd is then where TKGI has it. */
async function runtimeOf(file: string | undefined, { paths, stdin }: Edge): Promise<Config> {
  const none = decodeConfig({ images: [] });
  const isNew = file === undefined && !existsSync(paths.config);
  return isNew && none.ok ? none.config : loadConfig(file ?? paths.config, stdin);
}

function imagesBlock(entries: readonly ListEntry[]): string {
  const sizes = entries.flatMap(({ size }) => size ?? []);
  const total =
    sizes.length < entries.length ? "" : `, ${formatBytes(sizes.reduce((sum, size) => sum + size, 0))}`;
  return [
    `# ${counted(entries.length, "image")}${total}`,
    "images:",
    ...entries.flatMap(entryLines),
    "",
  ].join("\n");
}

function entryLines({ name, retagAs, size }: ListEntry): string[] {
  const [only, ...more] = retagAs.map(quoted);
  const names = more.length === 0 ? [] : [only, ...more].map((each) => `  - ${each}`);
  return [
    `- name: ${quoted(name)}${size === undefined ? "" : ` # ${formatBytes(size)}`}`,
    ...(only === undefined ? [] : [`  retagAs:${more.length === 0 ? ` ${only}` : ""}`, ...names]),
  ];
}

/** An IPv6 host starts with a bracket, which YAML would read as a list. */
const quoted = (name: string): string => (name.startsWith("[") ? JSON.stringify(name) : name);
