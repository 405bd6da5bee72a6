// Manifests and indexes in the content store: which are an image's, and what they say about its download.
import * as v from "valibot";
import type { Reference } from "./reference.ts";
import type { Layer } from "./transfer.ts";

const descriptor = v.object({ digest: v.string(), size: v.number() });
const manifestSchema = v.object({ config: descriptor, layers: v.array(descriptor) });

/** The layers of an image manifest, each once; none for an index and anything else. */
export function layersOf(json: string): Layer[] {
  const manifest = v.safeParse(manifestSchema, parse(json));
  if (!manifest.success) return [];
  return [...new Map(manifest.output.layers.map((layer) => [layer.digest, layer])).values()];
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** containerd's labels on a manifest or index name its parts, so that its garbage collector keeps them. */
const PART = /^containerd\.io\/gc\.ref\.content\./u;

export const isManifest = (labels: ReadonlyMap<string, string>): boolean =>
  [...labels.keys()].some((label) => PART.test(label));

/** Digests that a manifest or index refers to. */
export const partsOf = (labels: ReadonlyMap<string, string>): string[] =>
  [...labels].filter(([label]) => PART.test(label)).map(([, digest]) => digest);

type SourceRepository = Pick<Reference, "domain" | "path">;

/** The label that tells where a blob came from; containerd leaves the port out of its key. */
export const sourceLabel = ({ domain }: SourceRepository): string =>
  `containerd.io/distribution.source.${domain.replace(/:\d+$/u, "").replace(/^\[(?<address>.*)\]$/u, "$<address>")}`;

/** Whether a blob with these labels was fetched from the repository. */
export const isFrom = (repository: SourceRepository, labels: ReadonlyMap<string, string>): boolean =>
  labels.get(sourceLabel(repository))?.split(",").includes(repository.path) ?? false;
