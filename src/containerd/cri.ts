// What the kubelet will be told: the CRI on the same socket.
import type { SemVer } from "semver";
import type { CriImage } from "../core/node.ts";
import { parseVersion } from "../core/capabilities.ts";
import type { Connection } from "./connection.ts";
import { ImageService, RuntimeService } from "./generated/cri_pb.ts";

export function cri({ ask }: Connection) {
  return {
    /** Version of containerd. */
    version: async (signal: AbortSignal): Promise<SemVer> => {
      const { runtimeVersion } = await ask(RuntimeService.method.version, {}, signal);
      const version = parseVersion(runtimeVersion);
      if (version === undefined) throw new Error("the runtime tells no version");
      return version;
    },
    criImages: async (): Promise<CriImage[]> => {
      const { images: found } = await ask(ImageService.method.listImages, {});
      return found.map(({ id, repoTags, repoDigests, size, pinned }) => ({
        id,
        names: [...repoTags, ...repoDigests],
        size: Number(size),
        pinned,
      }));
    },
    /** Where CRI keeps images: a directory of the file system that has to have room, named after CRI's snapshotter. */
    imageDirectory: async (): Promise<string | undefined> => {
      const { imageFilesystems } = await ask(ImageService.method.imageFsInfo, {});
      return imageFilesystems[0]?.fsId?.mountpoint;
    },
  };
}
