// ctr: further names, and archives.
import { BRIEF, type RunCommand } from "./command.ts";
import type { Containerd } from "./containerd.ts";

export interface CtrSettings {
  readonly ctr: string;
  readonly socket: string;
  readonly namespace: string;
}

/** Milliseconds. A tag is one write of a small database, but a busy disk can hold it up. */
const CALL_TIMEOUT = 30_000;

export function ctr(run: RunCommand, settings: CtrSettings) {
  // Always both: ctr's default address is not TKGI's, its default namespace not the CRI's.
  const globalArgs = [`--address=${settings.socket}`, `--namespace=${settings.namespace}`];
  return {
    // --force: containerd 1.x refuses a name that exists; 2.x moves it in any case.
    tag: async (source, names) => {
      const args = [...globalArgs, "--timeout=30s", "images", "tag", "--force", source, ...names];
      await run(settings.ctr, args, { timeout: CALL_TIMEOUT, env: BRIEF });
    },
    importArchive: async (path, { local, platform, snapshotter, signal, timeout }) => {
      // Loaded when there is an archive: node:zlib takes its time.
      const { unpackedStream } = await import("./archive-stream.ts");
      const input = await unpackedStream(path);
      const from = input === undefined ? path : "-";
      const flags = [`--platform=${platform}`, `--snapshotter=${snapshotter}`, ...(local ? ["--local"] : [])];
      // No --timeout: ctr's is of the whole command, and an import takes as long as its archive is big.
      const said = await run(settings.ctr, [...globalArgs, "images", "import", ...flags, from], {
        signal,
        timeout,
        ...(input === undefined ? {} : { input }),
      });
      return unpacked(said);
    },
  } satisfies Partial<Containerd>;
}

/** `unpacking docker.io/library/nginx:1 (sha256:…)...done`, a line for each name. */
const unpacked = (text: string): string[] =>
  [...text.matchAll(/^unpacking (?<name>\S+) \(/gmu)].map((match) => match.groups?.["name"] ?? "");
