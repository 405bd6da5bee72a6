// One containerd and the registries that a suite pulls from, with the questions that its tests ask of them.
import { capabilitiesOf, parseVersion } from "../../../src/core/capabilities.ts";
import { type Containerd, startContainerd } from "../../rig/containerd.ts";
import { type FaultProxy, startFaultProxy } from "../../rig/fault-proxy.ts";
import { type ImageSpec, type PushedImage, pushImage } from "../../rig/push.ts";
import { type Registry, startRegistry } from "../../rig/registry.ts";
import { processesNaming } from "../../rig/processes.ts";
import { readFileSync } from "node:fs";
import type { ContainerdLine } from "../../rig/tools.ts";

/** A password that is nowhere by accident, with what a shell, a URL and JSON would trip over. */
export const login = { user: "robot$team", password: `swordfish-"of'the $(deep)` };
export const authOf = ({ user, password }: { user: string; password: string }): string =>
  Buffer.from(`${user}:${password}`).toString("base64");

export interface TestNode extends AsyncDisposable {
  readonly containerd: Containerd;
  /** Open to everyone. */
  readonly registry: Registry;
  /** In front of `registry`. */
  readonly proxy: FaultProxy;
  /** Wants `login`. */
  readonly locked: Registry;
  /** Whether this containerd heeds pins. */
  readonly pins: boolean;
}

export async function startNode(line: ContainerdLine): Promise<TestNode> {
  const [containerd, registry, locked] = await Promise.all([
    startContainerd(line),
    startRegistry(),
    startRegistry({ auth: login }),
  ]);
  const proxy = await startFaultProxy(registry);
  const version = parseVersion(containerd.version);
  const stop = async (): Promise<void> => {
    await Promise.all([containerd.stop(), proxy.stop(), registry.stop(), locked.stop()]);
  };
  const pins = version !== undefined && capabilitiesOf(version).pins;
  return { containerd, registry, proxy, locked, pins, [Symbol.asyncDispose]: stop };
}

/** An image of one small layer, unless told otherwise; its content comes from its name. */
export const pushTo = (
  registry: Registry,
  name: string,
  spec: ImageSpec = { layers: [{ bytes: 40_000, seed: name }] },
): Promise<PushedImage> => pushImage(registry, name, spec);

/** What CRI says of a name, and whether a record of ours pins what the name literally points to. */
export interface NameOnNode {
  readonly id: string;
  readonly pinned: boolean;
  readonly ours: boolean;
}

/** Every tag and digest name that CRI resolves, but for those of our pins. */
export async function namesOn(containerd: Containerd): Promise<Map<string, NameOnNode>> {
  const [images, records] = [await containerd.images(), await containerd.records()];
  const isOurs = (name: string): boolean => {
    const pin = records.get(`${pinPrefix}${records.get(name)?.digest}`);
    return pin?.labels["io.cri-containerd.pinned"] === "pinned";
  };
  return new Map(
    images.flatMap(({ id, pinned, repoTags, repoDigests }) =>
      [...repoTags, ...repoDigests]
        .filter((name) => !name.startsWith(pinPrefix))
        .map((name) => [name, { id, pinned, ours: isOurs(name) }] as const),
    ),
  );
}

export const pinPrefix = "import-images.invalid/pin@";

/** Leases of ours. */
export const heldOn = ({ leases }: Containerd): Promise<string[]> => leases("io.import-images.lease");

/** Processes of crictl and ctr that talk to this containerd. */
export const clientsOf = ({ folder, pid }: Containerd): string[] =>
  processesNaming(folder)
    .filter((process) => process !== pid())
    .map(argumentsOf)
    .filter((line) => /(?:^|\/)(?:crictl|ctr) /u.test(line));

function argumentsOf(process: number): string {
  try {
    return readFileSync(`/proc/${process}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return ""; // It ended meanwhile.
  }
}
