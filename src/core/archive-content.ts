// Reads image names and digests from the documents in a docker or OCI archive, and explains what any other file is.
import * as v from "valibot";
import type { Failure } from "./failure.ts";

const texts = v.pipe(v.array(v.string()), v.readonly());
export const archivedNameSchema = v.object({
  name: v.string(),
  /** Target digests. Empty for a docker archive: containerd creates its manifest during the import. */
  digests: texts,
  /** Digests of the configs below the targets, as far as they are known. */
  ids: texts,
});
/** A name that the import creates, spelled as in the archive, and the image that it will refer to. */
export type ArchivedName = Readonly<v.InferOutput<typeof archivedNameSchema>>;

const TAG = "org.opencontainers.image.ref.name";
const NAME = "io.containerd.image.name";

const json = <Schema extends v.GenericSchema>(schema: Schema) => v.pipe(v.string(), v.parseJson(), schema);
const dockerList = json(
  v.array(v.object({ Config: v.string(), RepoTags: v.nullish(v.array(v.string()), []) })),
);
const described = v.object({
  digest: v.string(),
  annotations: v.nullish(v.record(v.string(), v.string()), {}),
});
const ociIndex = json(v.object({ manifests: v.array(described) }));
const ociManifest = json(v.object({ config: v.object({ digest: v.string() }) }));
const folderManifest = json(v.object({ schemaVersion: v.number(), config: v.unknown() }));

/** Top-level directories of every Linux root file system. */
export const ROOT: ReadonlySet<string> = new Set("bin dev etc lib proc root sbin sys tmp usr var".split(" "));

export interface Documents {
  /** Text of each file that may be JSON, by its path in the tar without a leading `./`. */
  readonly documents: ReadonlyMap<string, string>;
  /** First path components that are in `ROOT`. */
  readonly top: ReadonlySet<string>;
}

/** @returns one entry per name, or the reason why there is nothing to import */
export function namesInArchive(
  { documents, top }: Documents,
  digestOf: (text: string) => string,
): ArchivedName[] | Failure {
  const list = documents.get("manifest.json");
  const isLayout = documents.has("oci-layout");
  if (!isLayout && list === undefined) return otherKind({ documents, top });
  if (!isLayout && v.is(folderManifest, list)) return FOLDER_TRANSPORT;
  const names = isLayout ? ociNames(documents) : dockerNames(documents, digestOf);
  if (names === undefined) return DAMAGED;
  return names.length === 0 ? NAMELESS : merged(names);
}

function dockerNames(
  documents: Documents["documents"],
  digestOf: (text: string) => string,
): ArchivedName[] | undefined {
  const list = v.safeParse(dockerList, documents.get("manifest.json"));
  if (!list.success) return undefined;
  return list.output.flatMap(({ Config, RepoTags }) => {
    const config = documents.get(Config);
    const ids = config === undefined ? [] : [digestOf(config)];
    return RepoTags.map((name) => ({ name, digests: [], ids }));
  });
}

/** Skips images with only a tag: containerd records those under a name that no pod can use. */
function ociNames(documents: Documents["documents"]): ArchivedName[] | undefined {
  const index = v.safeParse(ociIndex, documents.get("index.json"));
  if (!index.success) return undefined;
  return index.output.manifests.flatMap(({ digest, annotations }) => {
    const named = annotations[NAME] ?? "";
    const name = named === "" ? (annotations[TAG] ?? "") : named;
    if (named === "" && !/[/:@]/u.test(name)) return [];
    return [{ name, digests: [digest], ids: configsBelow(documents, digest) }];
  });
}

/** Limit for nested indexes. Nesting is legal, but no tool nests deeper. */
const DEEPEST = 8;

function configsBelow(documents: Documents["documents"], digest: string, depth = 0): string[] {
  const text = documents.get(`blobs/${digest.replace(":", "/")}`);
  const manifest = v.safeParse(ociManifest, text);
  if (manifest.success) return [manifest.output.config.digest];
  const index = v.safeParse(ociIndex, text);
  if (!index.success || depth === DEEPEST) return [];
  return index.output.manifests.flatMap((child) => configsBelow(documents, child.digest, depth + 1));
}

const merged = (names: readonly ArchivedName[]): ArchivedName[] =>
  [...Map.groupBy(names, ({ name }) => name)].map(([name, group]) => ({
    name,
    digests: [...new Set(group.flatMap(({ digests }) => digests))],
    ids: [...new Set(group.flatMap(({ ids }) => ids))],
  }));

function otherKind({ documents, top }: Documents): Failure {
  if (top.size >= 2)
    return unlike(
      "the archive is the root file system of a container (docker export, crane export), not an image",
      "save the image instead, with docker save, crane pull or ctr images export",
    );
  const below = [...documents.keys()].find((name) => /^[^/]+\/(?:oci-layout|manifest\.json)$/u.test(name));
  const folder = below?.split("/", 1)[0];
  if (folder === undefined) return DAMAGED;
  return unlike(
    `the archive has its image in the folder ${folder}, and not at its top`,
    `make the tar inside that folder: tar -C ${folder} -cf image.tar .`,
  );
}

const unlike = (message: string, next: string): Failure => ({ class: "not-an-image", message, next });

const FOLDER_TRANSPORT = unlike(
  "the archive is a folder that skopeo copy made for dir:, not a docker or OCI archive",
  "copy the image to docker-archive:FILE or oci-archive:FILE instead",
);

export const damagedArchive = (why?: string): Failure => ({
  class: "transfer",
  message: `the archive is damaged, or is not a docker or OCI archive${why === undefined ? "" : ` (${why})`}`,
  next: "make the archive again, with docker save, skopeo copy or ctr images export",
});
const DAMAGED = damagedArchive();

const NAMELESS: Failure = {
  class: "reference",
  message: "the archive names no image",
  next: "save it with a full name, such as registry.example.com/app:1",
};
