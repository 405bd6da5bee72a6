// What each version of containerd and crictl supports, read in their sources and measured on real installations.
import type { SemVer } from "semver";
// One import per function: the package's index loads all of it.
import coerce from "semver/functions/coerce.js";
import gte from "semver/functions/gte.js";
import satisfies from "semver/functions/satisfies.js";

export interface Capabilities {
  /** Such as `1.7.35`. */
  readonly containerd: string;
  /** Older versions ignore a pinned label that is added to a listed image, so the kubelet deletes the image anyway. */
  readonly pins: boolean;
  /** From 2.1.0 on, all images of a node share three parallel downloads; before, each image had three. */
  readonly nodeWideDownloads: boolean;
  /** From 2.0 on, ctr imports through the transfer service by default, and then prints no names. */
  readonly transferService: boolean;
}

export const capabilitiesOf = (containerd: SemVer): Capabilities => ({
  containerd: containerd.version,
  pins: satisfies(containerd, ">=1.6.25 <1.7.0 || >=1.7.10"),
  nodeWideDownloads: gte(containerd, "2.1.0"),
  transferService: gte(containerd, "2.0.0"),
});

/** Parses `v1.6.20~ds1`, `1.7.35`, `v2.4.2-dirty`. @returns undefined without a number, as in `unknown` */
export const parseVersion = (text: string): SemVer | undefined => coerce(text) ?? undefined;

/** Whether it reads `CRICTL_AUTH`. A crictl that reports no version is a private build, and counts as recent. */
export const takesCredentialsFromEnvironment = (crictl: SemVer | undefined): boolean =>
  crictl === undefined || gte(crictl, "1.24.0");
