import { mkdirSync } from "node:fs";
import path from "node:path";
import { run } from "./run.ts";

/** A file system that can lose what was not written to it. */
export interface LossyDisk {
  /** Where it is mounted. */
  readonly root: string;
  /** Keeps what the disk has at this moment, which is less than what is seen of it. */
  copy(): Promise<void>;
  /** From now on the disk has what it had at the copy. Nobody may use it. */
  lose(): Promise<void>;
}

/**
 * An ext4 on a loop device: what is behind the device is what a reset would leave, and mounting it replays the journal.
 * @param folder that goes away with its mounts
 */
export async function lossyDisk(folder: string, size = "1G"): Promise<LossyDisk> {
  const [image, copy, root] = ["disk", "copy", "root"].map((name) => path.join(folder, name)) as [
    string,
    string,
    string,
  ];
  mkdirSync(root);
  await run("truncate", ["-s", size, image]);
  await run("mkfs.ext4", ["-q", "-F", image]);
  await run("mount", ["-o", "loop", image, root]);
  return {
    root,
    copy: async () => void (await run("cp", ["--sparse=always", image, copy])),
    lose: async () => {
      await run("umount", [root]);
      await run("mount", ["-o", "loop", copy, root]);
    },
  };
}
