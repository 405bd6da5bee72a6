// ctr: further names, and archives.
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { pipeline, type Readable } from "node:stream";
import type { ContainerdConfig } from "../config/config.ts";
import { NAMESPACE } from "./connection.ts";
import { BRIEF, type CommandOptions, type RunCommand } from "./command.ts";

export interface ImportOptions extends Pick<CommandOptions, "signal" | "timeout"> {
  /** `linux/amd64` */
  readonly platform: string;
  /** The one that CRI uses. */
  readonly snapshotter: string;
  /** Not through the transfer service, which does not tell the names. */
  readonly local: boolean;
}

/** Of one call: so many fit into its time, also on a busy disk, and on a command line. */
const MOST_NAMES = 200;

export function ctr(run: RunCommand, settings: Pick<ContainerdConfig, "ctr" | "socket">) {
  // Always both: ctr's default address is not TKGI's, its default namespace not the CRI's.
  const globalArgs = [`--address=${settings.socket}`, `--namespace=${NAMESPACE}`];
  return {
    /** Gives what `source` leads to further names, whether they exist or not. */
    tag: async (source: string, names: readonly string[]): Promise<void> => {
      // --force: containerd 1.x refuses a name that exists; 2.x moves it in any case.
      const args = [...globalArgs, "--timeout=30s", "images", "tag", "--force", source];
      for (let done = 0; done < names.length; done += MOST_NAMES) {
        const some = names.slice(done, done + MOST_NAMES);
        await run(settings.ctr, [...args, ...some], BRIEF);
      }
    },
    /** Imports a docker or OCI archive, also gzip or zstd. @returns the names that it brought, as they are recorded */
    importArchive: async (path: string, options: ImportOptions): Promise<string[]> => {
      const { platform, snapshotter, local, ...bounds } = options;
      const input = await unpackedStream(path);
      const flags = [`--platform=${platform}`, `--snapshotter=${snapshotter}`, ...(local ? ["--local"] : [])];
      const args = [...globalArgs, "images", "import", ...flags, input === undefined ? path : "-"];
      // No --timeout: ctr's is of the whole command, and an import takes as long as its archive is big.
      const said = await run(settings.ctr, args, { ...bounds, ...(input && { input }) });
      // `unpacking docker.io/library/nginx:1 (sha256:…)...done`, a line for each name.
      return [...said.matchAll(/^unpacking (?<name>\S+) \(/gmu)].map(({ groups }) => groups?.["name"] ?? "");
    },
  };
}

/** By the bytes that they begin with, in hexadecimal. Two are known to those who make archives, and not to us. */
const COMPRESSIONS = [
  { name: "gzip", magic: "1f8b", unpack: "createGunzip" },
  { name: "zstd", magic: "28b52ffd", unpack: "createZstdDecompress" },
  { name: "xz", magic: "fd377a58" },
  { name: "bzip2", magic: "425a68" },
] as const;

/** Its message is the name of the compression. */
export class UnknownCompression extends Error {
  override readonly name = "UnknownCompression";
}

/** ctr reads plain tar files only: the tar inside a compressed archive; undefined for one that is a tar itself. */
async function unpackedStream(path: string): Promise<Readable | undefined> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
  const begin = buffer.toString("hex", 0, bytesRead);
  const compression = COMPRESSIONS.find(({ magic }) => begin.startsWith(magic));
  if (compression === undefined) return undefined;
  if (!("unpack" in compression)) throw new UnknownCompression(compression.name);
  // Not loaded at the start of a program that seldom needs it.
  const zlib = await import("node:zlib");
  // An error of the unpacking ends the stream early, and ctr tells what it makes of that.
  return pipeline(createReadStream(path), zlib[compression.unpack](), () => {});
}
