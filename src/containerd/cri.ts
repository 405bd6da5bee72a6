// What the kubelet will be told: the CRI on the same socket.
import type { SemVer } from "semver";
import type { CriImage } from "../core/node.ts";
import { parseVersion } from "../core/capabilities.ts";
import { bounded, type Connection } from "./connection.ts";
import { ImageService, RuntimeService } from "./generated/cri_pb.ts";

export function cri({ client, call }: Connection) {
  const [runtime, images] = [client(RuntimeService), client(ImageService)];
  return {
    /** Version of containerd. */
    version: async (signal: AbortSignal): Promise<SemVer> => {
      const { runtimeVersion } = await call((options) => runtime.version({}, bounded(options, signal)));
      const version = parseVersion(runtimeVersion);
      if (version === undefined) throw new Error("the runtime tells no version");
      return version;
    },
    criImages: async (): Promise<CriImage[]> => {
      const { images: found } = await call((options) => images.listImages({}, options));
      return found.map(({ id, repoTags, repoDigests, size, pinned }) => ({
        id,
        names: [...repoTags, ...repoDigests],
        size: Number(size),
        pinned,
      }));
    },
    /** Where CRI keeps images: a directory of the file system that has to have room, named after CRI's snapshotter. */
    imageDirectory: async (): Promise<string | undefined> => {
      const { imageFilesystems } = await call((options) => images.imageFsInfo({}, options));
      return imageFilesystems[0]?.fsId?.mountpoint;
    },
  };
}
