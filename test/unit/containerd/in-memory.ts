// A containerd of maps behind the agent's port, with registries, archives and scripted failures, and a record of all calls.
import { SemVer } from "semver";
import { CommandError } from "../../../src/containerd/command.ts";
import { ApiError } from "../../../src/containerd/connection.ts";
import type { PullOptions } from "../../../src/containerd/crictl.ts";
import type { ImportOptions } from "../../../src/containerd/ctr.ts";
import type { Credential } from "../../../src/core/credentials.ts";
import { CODE } from "../../../src/core/failure.ts";
import type { Containerd } from "../../../src/containerd/containerd.ts";
import { configOf, isFrom, manifestsOf, snapshotLabel, sourceLabel } from "../../../src/core/content.ts";
import type { CriImage, ImageRecord, Snapshot } from "../../../src/core/node.ts";
import { parseReference, type Reference } from "../../../src/core/reference.ts";
import type { Download } from "../../../src/core/transfer.ts";
import { reference, snapshotOf } from "../samples.ts";
import type { ServedBlob, ServedImage } from "./served-image.ts";

/** Where what comes without a registry is from. */
const EVERYWHERE: Reference = { name: "", domain: "an.archive", path: "x" };
const SNAPSHOTTER = "overlayfs";
const PINNED = "io.cri-containerd.pinned";
const CHANGES = new Set(
  "saveRecord deleteRecord createLease hold deleteLease abort pull tag importArchive removeSnapshot deleteBlob unlinkSnapshot unpack".split(
    " ",
  ),
);

/** A tool that failed with this text. */
export const toolError = (text: string): CommandError => new CommandError(text, text, false);
/** containerd as it is while it restarts. */
export const gone = (): ApiError =>
  new ApiError(CODE.unavailable, "containerd cannot be reached: nobody listens to it");
export const notFound = (what: string): ApiError =>
  new ApiError(CODE.notFound, `containerd: ${what}: not found`);

/** @param signal what ends the call, if it takes one */
type Step = (signal?: AbortSignal) => unknown;

export type InMemory = ReturnType<typeof inMemoryContainerd>;

/** @param now its clock, in milliseconds: leases expire by it, and CRI lags by it */
export function inMemoryContainerd(version = "1.7.35", now: () => number = () => 0) {
  const records = new Map<string, ImageRecord>();
  const blobs = new Map<string, ServedBlob>();
  const snapshots = new Map<string, Snapshot>();
  /** From on top of which garbage collection took another: containerd counts that as being there for ever. */
  const haveLost = new Set<string>();
  const downloads = new Map<string, Download>();
  /** What each lease holds, by its id. */
  const leases = new Map<string, Set<string>>();
  /** When each lease ends, by its id and the clock. */
  const expiries = new Map<string, number>();
  /** What a pull of a name gives; one that hangs ends with its signal. */
  const registry = new Map<string, ServedImage | "hangs">();
  /** By path: what an import records, literally, one name after the other; then it unpacks each. */
  const archives = new Map<string, Readonly<Record<string, ServedImage>>>();
  /** Names of the images that containers use. */
  const used: string[] = [];
  /** Names of which CRI has not heard yet. */
  const unheard = new Set<string>();
  /** Names of which CRI hears only when their record is made again, as of one that was damaged when CRI started. */
  const deaf = new Set<string>();
  /** Milliseconds after which CRI hears of a new name, one after the other, as it does of many at once. */
  const cri = { lag: 0 };
  const hears = new Map<string, number>();
  /** With what each name was pulled last, and each archive imported. */
  const logins = new Map<string, Credential | undefined>();
  const imports = new Map<string, ImportOptions>();
  /** Pulls under way: their downloads are theirs. */
  let pulling = 0;
  const calls: string[] = [];
  const steps = new Map<string, Step[]>();

  /**
   * Each step is taken in one call, before it does anything; one that throws fails the call, one that waits holds it up.
   * @param what `pull`, `pull a.b/c:1`, or a part of a call: `name of tag`, `name of importArchive`, `unpack`, `unpack PATH`
   */
  const before = (what: string, ...more: readonly Step[]): void =>
    void steps.set(what, [...(steps.get(what) ?? []), ...more]);

  /** Steps that were not taken. */
  const forget = (): void => steps.clear();

  const scripted =
    <Args extends unknown[], Answer>(
      name: keyof Containerd & string,
      answer: (...args: Args) => Answer | Promise<Answer>,
    ) =>
    async (...args: Args): Promise<Answer> => {
      const call = [name, ...args.map(worded)].filter((word) => word !== "").join(" ");
      calls.push(call);
      await take([call, call.split(" ", 2).join(" "), name], signalOf(args));
      return answer(...args);
    };
  const take = async (keys: readonly string[], signal?: AbortSignal): Promise<void> => {
    const step = keys.map((key) => steps.get(key)).find((list) => list?.length);
    await step?.shift()?.(signal);
  };

  /** Where a test has put blobs, snapshots as a whole, and layers by their chain ids. */
  const disk: { content?: string; images?: string; readonly layers: Map<string, string[]> } = {
    layers: new Map(),
  };
  /** By the digest of the target. */
  const fetched = new Map<string, ServedImage>();
  let unpacked = 0;
  const fetch = (from: Reference, image: ServedImage, unpack: boolean): void => {
    fetched.set(image.target.digest, image);
    const { blobs: parts, config, chainId } = image;
    const source = sourceLabel(from);
    for (const part of parts) {
      const known = blobs.get(part.digest)?.labels ?? {};
      const repositories = new Set([...(known[source]?.split(",") ?? []), from.path]);
      blobs.set(part.digest, {
        ...part,
        labels: { ...known, ...part.labels, [source]: [...repositories].join(",") },
      });
    }
    if (!unpack) return;
    const labels = {
      ...blobs.get(config.digest)?.labels,
      [`containerd.io/gc.ref.snapshot.${SNAPSHOTTER}`]: chainId,
    };
    blobs.set(config.digest, { ...config, labels });
    if (!snapshots.has(chainId))
      snapshots.set(chainId, snapshotOf(chainId, { createdAt: `made ${(unpacked += 1)}` }));
  };
  const put = (made: ImageRecord): void => {
    deaf.delete(made.name);
    if (!records.has(made.name)) hears.set(made.name, Math.max(now(), ...hears.values()) + cri.lag);
    records.set(made.name, made);
  };
  /** A record, literally, and nothing else. */
  const record = (name: string, { target }: ServedImage, labels: ImageRecord["labels"] = {}): void =>
    put({ name, labels, target });
  /** As containerd does after a pull and after each deletion: what no record and no lease points to goes. */
  const collect = (): void => {
    for (const [id, expires] of expiries) if (expires <= now()) leases.delete(id);
    const held = new Set([...leases.values()].flatMap((lease) => [...lease]));
    const wanted = new Set<string>();
    const reach = (key: string): void => {
      if (wanted.has(key)) return;
      wanted.add(key);
      for (const [label, to] of Object.entries(blobs.get(key)?.labels ?? {}))
        if (label.startsWith("containerd.io/gc.ref.")) reach(to);
      reach(snapshots.get(key)?.parent ?? "");
    };
    for (const { target } of records.values()) reach(target.digest);
    for (const { name, isCommitted } of snapshots.values())
      if (!isCommitted && !name.startsWith("extract-")) reach(name);
    held.forEach(reach);
    for (const digest of blobs.keys()) if (!wanted.has(digest)) blobs.delete(digest);
    for (const { name, parent } of snapshots.values())
      if (!wanted.has(name)) {
        snapshots.delete(name);
        haveLost.delete(name);
        haveLost.add(parent);
      }
    if (pulling === 0) for (const ref of downloads.keys()) if (!held.has(ref)) downloads.delete(ref);
  };
  /** As a pull through CRI leaves it: content, snapshot, and the names by tag, digest and id. */
  const bring = (name: string, image: ServedImage): void => {
    const { domain, path } = reference(name);
    fetch({ name, domain, path }, image, true);
    for (const each of [name, `${domain}/${path}@${image.target.digest}`, image.id])
      record(each, image, { managed: "by cri" });
  };
  /** As crictl rmi does: every name of the image, and what nothing else needs. */
  const rmi = (image: ServedImage): void => {
    for (const [name, { target }] of records) if (target.digest === image.target.digest) records.delete(name);
    collect();
  };
  const idOf = ({ target }: ImageRecord): string | undefined => {
    const top = blobs.get(target.digest);
    if (top === undefined) return undefined;
    const id = [top, ...manifestsOf(top).flatMap((digest) => blobs.get(digest) ?? [])]
      .map(configOf)
      .find((found) => found !== undefined);
    return id !== undefined && blobs.has(id) ? id : undefined;
  };
  const isHeard = (name: string): boolean =>
    !unheard.has(name) && !deaf.has(name) && (hears.get(name) ?? 0) <= now();
  const criImages = (): CriImage[] =>
    [...Map.groupBy(records.values(), idOf)].flatMap(([id, named]) =>
      id === undefined
        ? []
        : [
            {
              id,
              names: named.flatMap(({ name }) => criName(name)).filter((name) => isHeard(name)),
              size: 1_000,
              pinned: named.some(({ labels }) => labels[PINNED] === "pinned"),
            },
          ],
    );

  const pull = scripted("pull", async (name: string, { signal }: PullOptions) => {
    const image = registry.get(name);
    if (image === "hangs") await aborted(signal);
    if (signal.aborted) throw toolError("crictl was ended by SIGTERM");
    if (image === undefined || image === "hangs")
      throw toolError(`failed to resolve image: ${name}: not found`);
    bring(name, image);
  });

  const containerd: Containerd = {
    version: scripted("version", () => new SemVer(version)),
    criImages: scripted("criImages", criImages),
    containerImages: scripted("containerImages", () => [...used]),
    imageDirectory: scripted("imageDirectory", () => disk.images),
    records: scripted("records", () => [...records.values()]),
    record: scripted("record", (name) => records.get(name)),
    blobs: scripted("blobs", (of) =>
      [...blobs.values()].filter(
        (blob) =>
          of === undefined ||
          of.some(({ repository, shared }) =>
            shared ? isFrom(repository, blob) : blob.labels[sourceLabel(repository)] === repository.path,
          ),
      ),
    ),
    blob: scripted("blob", (digest) => blobs.get(digest)),
    snapshots: scripted("snapshots", () => [...snapshots.values()]),
    layerDirectories: scripted("layerDirectories", (_snapshotter, chainId) => disk.layers.get(chainId)),
    removeSnapshot: scripted("removeSnapshot", (_snapshotter, key) => {
      const isBelow = haveLost.has(key) || [...snapshots.values()].some(({ parent }) => parent === key);
      return !isBelow && (snapshots.delete(key) || true);
    }),
    deleteBlob: scripted("deleteBlob", (digest) => void blobs.delete(digest)),
    unlinkSnapshot: scripted("unlinkSnapshot", (digest, snapshotter) => {
      const blob = blobs.get(digest);
      const label = snapshotLabel(snapshotter);
      if (blob === undefined) return;
      const labels = Object.entries(blob.labels).filter(([key]) => key !== label);
      blobs.set(digest, { ...blob, labels: Object.fromEntries(labels) });
    }),
    contentDirectory: scripted("contentDirectory", () => disk.content),
    sync: scripted("sync", () => {}),
    unpack: scripted("unpack", (digest) => {
      const image = fetched.get(digest);
      if (image === undefined) throw toolError("ctr: manifest not found");
      fetch(EVERYWHERE, image, true);
    }),
    snapshot: scripted("snapshot", (_snapshotter, key) => snapshots.get(key)),
    read: scripted("read", ({ digest }) => {
      const blob = blobs.get(digest);
      if (blob === undefined) throw notFound(digest);
      return blob.text;
    }),
    downloads: scripted("downloads", () => [...downloads.values()]),
    abort: scripted("abort", (ref) => void downloads.delete(ref)),
    saveRecord: scripted("saveRecord", (made) => {
      const known = records.get(made.name);
      put({ ...made, labels: { ...known?.labels, ...made.labels } });
      if (known !== undefined && known.target.digest !== made.target.digest) collect();
    }),
    deleteRecord: scripted("deleteRecord", (name) => {
      const target = records.get(name)?.target;
      records.delete(name);
      if ([...records.values()].every((other) => other.target.digest !== target?.digest)) collect();
    }),
    leases: scripted("leases", () => [...leases.keys()]),
    createLease: scripted("createLease", (id, expires) => {
      if (leases.has(id)) return;
      leases.set(id, new Set());
      expiries.set(id, expires.getTime());
    }),
    hold: scripted("hold", (lease, { id }) => {
      const held = leases.get(lease);
      if (held === undefined) throw notFound(`lease "${lease}"`);
      held.add(id);
    }),
    deleteLease: scripted("deleteLease", (id) => {
      leases.delete(id);
      collect();
    }),
    prepareLogin: () => void calls.push("prepareLogin"),
    pull: async (name, options) => {
      logins.set(name, options.credential);
      pulling += 1;
      try {
        await pull(name, options);
      } finally {
        pulling -= 1;
        collect();
      }
    },
    tag: scripted("tag", async (source, names) => {
      const target = records.get(source)?.target;
      if (target === undefined) throw toolError(`ctr: image "${source}": not found`);
      for (const name of names) {
        await take(["name of tag"]);
        put({ name, labels: {}, target });
      }
      collect();
    }),
    importArchive: scripted("importArchive", async (path, options) => {
      imports.set(path, options);
      const held = Object.entries(archives.get(path) ?? {});
      if (held.length === 0) throw toolError("ctr: archive/tar: invalid tar header");
      try {
        for (const [, image] of held) fetch(EVERYWHERE, image, false);
        for (const [name, image] of held) {
          await take(["name of importArchive"]);
          record(name, image);
        }
        for (const [, image] of held) {
          await take([`unpack ${path}`, "unpack"]);
          fetch(EVERYWHERE, image, true);
        }
      } finally {
        collect();
      }
      return held.map(([name, { target }]) => [name, target.digest]);
    }),
    [Symbol.dispose]: () => {},
  };
  /** Calls so far that change something, as they were made. */
  const changes = (): string[] => calls.filter((call) => CHANGES.has(call.split(" ", 1)[0] ?? ""));
  return {
    containerd,
    records,
    blobs,
    snapshots,
    disk,
    downloads,
    leases,
    registry,
    archives,
    used,
    unheard,
    deaf,
    cri,
    logins,
    imports,
    calls,
    changes,
    before,
    forget,
    record,
    bring,
    rmi,
  };
}

/** CRI normalises what it can, whether a pod can start from it or not. */
function criName(name: string): string[] {
  const parsed = parseReference(name);
  return typeof parsed === "object" && !name.startsWith("sha256:") ? [parsed.name] : [];
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });

const signalOf = (args: readonly unknown[]): AbortSignal | undefined =>
  args
    .map((arg) => (typeof arg === "object" && arg !== null && "signal" in arg ? arg.signal : arg))
    .find((arg) => arg instanceof AbortSignal);

/** An argument as the record of calls has it: what identifies it. */
function worded(arg: unknown): string {
  if (typeof arg === "string") return arg;
  if (Array.isArray(arg)) return arg.map(worded).join(",");
  if (typeof arg !== "object" || arg === null) return "";
  if ("name" in arg) return worded(arg.name);
  if ("digest" in arg) return worded(arg.digest);
  return "id" in arg ? worded(arg.id) : "";
}
