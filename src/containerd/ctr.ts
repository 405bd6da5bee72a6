// ctr: further names, unpacking, and archives.
import type { ContainerdConfig } from "../config/config.ts";
import { NAMESPACE } from "./connection.ts";
import { unpackedStream } from "./tar-file.ts";
import { BRIEF, type CommandOptions, type RunCommand } from "./command.ts";

type Bounds = Pick<CommandOptions, "signal" | "timeout">;

export interface ImportOptions extends Bounds {
  /** Such as `linux/amd64`. */
  readonly platform: string;
  /** The one that CRI uses. */
  readonly snapshotter: string;
  /** Bypass the transfer service, which does not report the names. */
  readonly local: boolean;
}

/** Per call: this many fit into its time limit, even on a busy disk, and on a command line. */
const MOST_NAMES = 200;

export function ctr(run: RunCommand, settings: Pick<ContainerdConfig, "ctr" | "socket">) {
  // Always both: ctr's default address is not TKGI's, and its default namespace is not CRI's.
  const globalArgs = [`--address=${settings.socket}`, `--namespace=${NAMESPACE}`];
  return {
    /** Points further names to the target of `source`, whether they exist or not. */
    tag: async (source: string, names: readonly string[]): Promise<void> => {
      // --force: containerd 1.x refuses an existing name; 2.x moves it in any case.
      const args = [...globalArgs, "--timeout=30s", "images", "tag", "--force", source];
      for (let done = 0; done < names.length; done += MOST_NAMES) {
        const some = names.slice(done, done + MOST_NAMES);
        await run(settings.ctr, [...args, ...some], BRIEF);
      }
    },
    /** Unpacks the image of a record's target from its blobs, without a registry. */
    unpack: async (digest: string, snapshotter: string, bounds: Bounds): Promise<void> => {
      const args = [...globalArgs, "snapshots", "unpack", `--snapshotter=${snapshotter}`, digest];
      await run(settings.ctr, args, bounds);
    },
    /** Imports a docker or OCI archive, plain, gzip or zstd. @returns the recorded names with their target digests */
    importArchive: async (
      path: string,
      options: ImportOptions,
    ): Promise<[name: string, digest: string][]> => {
      const { platform, snapshotter, local, ...bounds } = options;
      const input = await unpackedStream(path);
      const flags = [`--platform=${platform}`, `--snapshotter=${snapshotter}`, ...(local ? ["--local"] : [])];
      const args = [...globalArgs, "images", "import", ...flags, input === undefined ? path : "-"];
      // No --timeout: ctr's applies to the whole command, and an import takes as long as its archive is large.
      const said = await run(settings.ctr, args, { ...bounds, ...(input && { input }) });
      // `unpacking docker.io/library/nginx:1 (sha256:…)...done`, one line for each name.
      const lines = said.matchAll(/^unpacking (\S+) \((sha\d+:[0-9a-f]+)\)/gmu);
      return [...lines].map(([, name = "", digest = ""]) => [name, digest]);
    },
  };
}
