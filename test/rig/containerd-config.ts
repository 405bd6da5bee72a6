import type { ContainerdLine } from "./tools.ts";

export interface ConfigOptions {
  maxConcurrentDownloads?: number;
  /** For pods: the image of their sandboxes, which has to be on the node or in a registry. Line 2 only. */
  sandboxImage?: string;
  /** That CRI uses, when it is not the default. */
  snapshotter?: "overlayfs" | "native";
  /** CRI throws the layers of an image away once they are unpacked. */
  discardUnpackedLayers?: boolean;
  /** A containerd whose CRI plugin is disabled. */
  withoutCri?: boolean;
  /** Appended as it is. */
  extraConfig?: string;
}

export interface ConfigPaths {
  root: string;
  state: string;
  socket: string;
  certsDir: string;
}

// Never pulled, because without pods there are no sandboxes; a real name would be fetched by the first one.
const noSandboxImage = "registry.invalid/pause:3.9";

export function containerdConfig(line: ContainerdLine, paths: ConfigPaths, options: ConfigOptions): string {
  const isVersion3 = line.startsWith("2");
  const plugins = isVersion3 ? pluginsOfVersion3(paths, options) : pluginsOfVersion2(paths, options);
  return [
    `version = ${isVersion3 ? 3 : 2}`,
    ...(options.withoutCri === true ? [`disabled_plugins = ["io.containerd.grpc.v1.cri"]`] : []),
    `root = "${paths.root}"`,
    `state = "${paths.state}"`,
    "[grpc]",
    `  address = "${paths.socket}"`,
    // Its own, as the default address of ttrpc is derived from the machine's containerd in some versions.
    "[ttrpc]",
    `  address = "${paths.socket}.ttrpc"`,
    ...plugins,
    options.extraConfig ?? "",
    "",
  ].join("\n");
}

function pluginsOfVersion2(paths: ConfigPaths, options: ConfigOptions): string[] {
  const { maxConcurrentDownloads, snapshotter = "overlayfs", discardUnpackedLayers = false } = options;
  const cri = `plugins."io.containerd.grpc.v1.cri"`;
  return [
    `[${cri}]`,
    `  sandbox_image = "${noSandboxImage}"`,
    ...(maxConcurrentDownloads === undefined
      ? []
      : [`  max_concurrent_downloads = ${maxConcurrentDownloads}`]),
    `[${cri}.containerd]`,
    `  snapshotter = "${snapshotter}"`,
    `  discard_unpacked_layers = ${discardUnpackedLayers}`,
    `[${cri}.registry]`,
    `  config_path = "${paths.certsDir}"`,
  ];
}

// From 2.1 CRI pulls through the transfer service, which has a download limit of its own; setting the limit of the CRI
// plugin instead would send pulls back to the old path, and the tests would no longer see what a default node does.
function pluginsOfVersion3(paths: ConfigPaths, options: ConfigOptions): string[] {
  const {
    maxConcurrentDownloads,
    snapshotter = "overlayfs",
    discardUnpackedLayers = false,
    sandboxImage,
  } = options;
  const images = `plugins."io.containerd.cri.v1.images"`;
  return [
    `[${images}]`,
    `  snapshotter = "${snapshotter}"`,
    `  discard_unpacked_layers = ${discardUnpackedLayers}`,
    // The kubelet looks at the disk every ten seconds, but acts on no figures twice, and by default these are as old.
    ...(sandboxImage === undefined ? [] : ["  stats_collect_period = 1"]),
    `[${images}.pinned_images]`,
    `  sandbox = "${sandboxImage ?? noSandboxImage}"`,
    `[${images}.registry]`,
    `  config_path = "${paths.certsDir}"`,
    ...(maxConcurrentDownloads === undefined
      ? []
      : [
          `[plugins."io.containerd.transfer.v1.local"]`,
          `  max_concurrent_downloads = ${maxConcurrentDownloads}`,
        ]),
    // What it unpacks with is a setting of its own, which knows overlayfs alone.
    ...(snapshotter === "overlayfs"
      ? []
      : [
          `[[plugins."io.containerd.transfer.v1.local".unpack_config]]`,
          `  platform = "linux/amd64"`,
          `  snapshotter = "${snapshotter}"`,
        ]),
    // Lowering a process's OOM score needs a capability that containers and small machines lack.
    ...(sandboxImage === undefined
      ? []
      : [`[plugins."io.containerd.cri.v1.runtime"]`, "  restrict_oom_score_adj = true"]),
  ];
}
