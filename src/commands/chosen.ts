// The configuration, and the images in it that the command line selects.
import type { RunArguments } from "../cli.ts";
import type { Config } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import type { Edge } from "../edge.ts";
import { EXIT, ExitError } from "../exit.ts";

/** `only` holds sources: a further name selects its image. @throws ExitError (usage) */
export async function chosen(args: RunArguments, edge: Edge): Promise<{ config: Config; only: Set<string> }> {
  const config = await loadConfig(args.config ?? edge.paths.config, edge.stdin);
  const sources = new Map(
    config.images.flatMap(({ source, furtherNames }) =>
      [source, ...furtherNames].map(({ name }) => [name, source.name]),
    ),
  );
  const unknown = args.only.filter((name) => !sources.has(name));
  if (unknown.length === 0)
    return { config, only: new Set(args.only.map((name) => sources.get(name) ?? name)) };
  throw new ExitError(EXIT.usage, `--only names no image of the configuration: ${unknown.join(", ")}`);
}
