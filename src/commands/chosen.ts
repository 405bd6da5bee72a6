// The configuration, and what of it the command line chooses.
import type { RunArguments } from "../cli.ts";
import type { Config } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import type { Edge } from "../edge.ts";
import { EXIT, ExitError } from "../exit.ts";

/** With the sources that `--only` names: a further name of an image stands for its source. @throws ExitError (usage) */
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
