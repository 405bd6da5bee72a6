// The real containerd: crictl pulls, ctr tags and imports, and all else goes through the API on the same socket.
import type { Config } from "../config/config.ts";
import { redactor } from "../core/redact.ts";
import { commandRunner } from "./command.ts";
import { openConnection } from "./connection.ts";
import type { Containerd } from "./containerd.ts";
import { contentStore } from "./content.ts";
import { crictl } from "./crictl.ts";
import { cri } from "./cri.ts";
import { ctr } from "./ctr.ts";
import { imageRecords } from "./images.ts";
import { leases } from "./leases.ts";
import { snapshotStore } from "./snapshots.ts";

/** @param signal ends every call and tool that is under way, whatever it was started for */
export function realContainerd(config: Config, signal: AbortSignal): Containerd {
  const connection = openConnection({ ...config.containerd, signal });
  const run = commandRunner(redactor(config.credentials), signal);
  return {
    ...cri(connection),
    ...imageRecords(connection),
    ...contentStore(connection),
    ...snapshotStore(connection),
    ...leases(connection),
    ...crictl(run, { ...config.containerd, allowCredentialsInArgv: config.allowCredentialsInArgv }),
    ...ctr(run, config.containerd),
    [Symbol.dispose]: () => connection[Symbol.dispose](),
  };
}
