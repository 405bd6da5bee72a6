// `--only` on the command line, against the configuration.
import type { Config } from "../config/config.ts";
import { EXIT, ExitError } from "../exit.ts";

/** The sources that `--only` names; a further name of an image stands for its source. @throws ExitError (usage) */
export function narrowed(config: Config, only: readonly string[]): Set<string> {
  const sources = new Map(
    config.images.flatMap(({ source, furtherNames }) =>
      [source, ...furtherNames].map((name) => [name.name, source.name]),
    ),
  );
  const unknown = only.filter((name) => !sources.has(name));
  if (unknown.length === 0) return new Set(only.map((name) => sources.get(name) ?? name));
  throw new ExitError(EXIT.usage, `--only names no image of the configuration: ${unknown.join(", ")}`);
}
