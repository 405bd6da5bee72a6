// What versions of containerd and crictl can do. Facts read in their sources and measured on real ones.
import type { SemVer } from "semver";
// One by one: its index loads all of it.
import coerce from "semver/functions/coerce.js";
import gte from "semver/functions/gte.js";
import satisfies from "semver/functions/satisfies.js";

export interface Capabilities {
  /** `1.7.35` */
  readonly containerd: string;
  /** Older ones ignore a pinned label on an image that they already list, so the kubelet collects it all the same. */
  readonly pins: boolean;
  /** Since 2.1.0 three downloads are shared by the whole node; before it was three for each image. */
  readonly nodeWideDownloads: boolean;
  /** From 2.0 on ctr imports through the transfer service unless told otherwise, and then prints no names. */
  readonly transferService: boolean;
}

export const capabilitiesOf = (containerd: SemVer): Capabilities => ({
  containerd: containerd.version,
  pins: satisfies(containerd, ">=1.6.25 <1.7.0 || >=1.7.10", { includePrerelease: true }),
  nodeWideDownloads: gte(containerd, "2.1.0"),
  transferService: gte(containerd, "2.0.0"),
});

/** Parses `v1.6.20~ds1`, `1.7.35`, `v2.4.2-dirty`; undefined for `unknown` and the like. */
export const parseVersion = (text: string): SemVer | undefined => coerce(text) ?? undefined;

/** `CRICTL_AUTH`. A crictl that does not tell its version is a private build, and taken to be recent. */
export const takesCredentialsFromEnvironment = (crictl: SemVer | undefined): boolean =>
  crictl === undefined || gte(crictl, "1.24.0");
