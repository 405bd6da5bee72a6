// ctr: tags, labels and the content store, which CRI has no calls for.
import { sourceLabel } from "../core/manifest.ts";
import { BRIEF, type RunCommand } from "./command.ts";
import type { Blob, ContentStore, ImageRuntime, Ingest, Repository } from "./image-runtime.ts";

export interface CtrSettings {
  readonly ctr: string;
  readonly socket: string;
  readonly namespace: string;
}

/** Milliseconds. Labels and tags are one write of a small database, but a busy disk can hold it up. */
const CALL_TIMEOUT = 30_000;

/** The CRI's own label: the kubelet's garbage collection passes over a pinned image. */
const PINNED = { label: "io.cri-containerd.pinned", value: "pinned" };
/** Ours beside it, so that we unpin what we pinned and nothing else. */
const OURS = { label: "io.import-images.pinned", value: "pinned" };
/** Roots a blob for containerd's garbage collector; any value does, ours tells whose it is. */
const ROOT = { label: "containerd.io/gc.root", value: "import-images" };

const labelled = ({ label, value }: typeof PINNED): string => `labels."${label}"==${value}`;
const set = ({ label, value }: typeof PINNED): string => `${label}=${value}`;
/** An empty value removes the label. */
const unset = ({ label }: typeof PINNED): string => `${label}=`;
const linesOf = (text: string): string[] => text.split("\n").filter((line) => line.trim() !== "");

/** `unpacking docker.io/library/nginx:1 (sha256:…)...done`, a line for each name. */
const unpacked = (text: string): string[] =>
  [...text.matchAll(/^unpacking (?<name>\S+) \(/gmu)].map((match) => match.groups?.["name"] ?? "");

export function ctrClient(run: RunCommand, settings: CtrSettings) {
  // Always both: ctr's default address is not TKGI's, its default namespace not the CRI's.
  const globalArgs = [`--address=${settings.socket}`, `--namespace=${settings.namespace}`];
  const callWith = (signal: AbortSignal | undefined, args: readonly string[]): Promise<string> =>
    run(settings.ctr, [...globalArgs, "--timeout=30s", ...args], {
      timeout: CALL_TIMEOUT,
      env: BRIEF,
      ...(signal === undefined ? {} : { signal }),
    });
  const call = (...args: string[]): Promise<string> => callWith(undefined, args);
  const done = async (...args: string[]): Promise<void> => void (await call(...args));
  // With --quiet ctr does not add up each image's size, which costs several reads an image.
  const names = async (filter: string, signal?: AbortSignal): Promise<string[]> =>
    linesOf(await callWith(signal, ["images", "list", "--quiet", filter]));
  return {
    pinned: (signal?: AbortSignal) => names(labelled(PINNED), signal),
    pinnedByUs: (signal?: AbortSignal) => names(labelled(OURS), signal),
    // --force: containerd 1.x refuses a name that exists; 2.x moves it in any case.
    tag: (source, targets, { local }) =>
      done("images", "tag", "--force", ...(local ? ["--local"] : []), source, ...targets),
    pin: (name) => done("images", "label", name, set(PINNED), set(OURS)),
    unpin: (name) => done("images", "label", name, unset(PINNED), unset(OURS)),
    importArchive: async (path, { local, ...options }) => {
      // Loaded when there is an archive: node:zlib takes its time.
      const { unpackedStream } = await import("./archive-stream.ts");
      const input = await unpackedStream(path);
      const args = ["images", "import", ...(local ? ["--local"] : []), input === undefined ? path : "-"];
      // No --timeout: ctr's is of the whole command, and an import takes as long as its archive is big.
      return unpacked(
        await run(settings.ctr, [...globalArgs, ...args], {
          ...options,
          ...(input === undefined ? {} : { input }),
        }),
      );
    },
    ingests: async () => parseIngests(await call("content", "active")),
    blobs: async (repositories, digests) =>
      parseBlobs(
        await call(
          "content",
          "list",
          ...repositories.map(fromRepository),
          ...digests.map((digest) => `digest==${digest}`),
        ),
      ),
    read: (digest) => call("content", "get", digest),
    hold: (digest) => done("content", "label", digest, set(ROOT)),
    release: (digest) => done("content", "label", digest, unset(ROOT)),
    held: async () => linesOf(await call("content", "list", "--quiet", labelled(ROOT))),
  } satisfies Partial<ImageRuntime> & ContentStore;
}

/**
 * containerd's filter for blobs of a repository; the label holds a list when repositories share the blob. Dots need a
 * class rather than a backslash, which the filter's own quoting would take for itself.
 */
const fromRepository = (repository: Repository): string =>
  `labels."${sourceLabel(repository)}"~="(^|,)${repository.path.replaceAll(".", "[.]")}(,|$)"`;

/** Reads `ctr content active`: `REF SIZE AGE`, the size with four digits at most, in decimal units. */
export function parseIngests(text: string): Ingest[] {
  return linesOf(text).flatMap((line) => {
    const { ref, size, unit } =
      /^(?<ref>\S+-sha\d+:\S+)\s+(?<size>[\d.]+)\s*(?<unit>[kKMGT]?i?B)/u.exec(line)?.groups ?? {};
    return ref === undefined ? [] : [{ ref, size: Math.round(Number(size) * (UNITS[unit ?? ""] ?? 1)) }];
  });
}

const UNITS: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
};

/** Reads `ctr content list`: `DIGEST SIZE AGE LABELS`. */
export function parseBlobs(text: string): Blob[] {
  return linesOf(text).flatMap((line) => {
    const { digest, labels } =
      /^(?<digest>sha\d+:[a-f0-9]+)\s+\S+\s+.*?\s+(?<labels>\S+=\S*)?$/u.exec(line)?.groups ?? {};
    return digest === undefined ? [] : [{ digest, labels: parseLabels(labels ?? "") }];
  });
}

/** `a=b,c=d`; a value may hold commas of its own, then what follows has no `=`. */
function parseLabels(text: string): Map<string, string> {
  const labels = new Map<string, string>();
  let last = "";
  for (const part of text.split(",")) {
    const cut = part.indexOf("=");
    if (cut === -1) labels.set(last, `${labels.get(last) ?? ""},${part}`);
    else labels.set((last = part.slice(0, cut)), part.slice(cut + 1));
  }
  return labels;
}
