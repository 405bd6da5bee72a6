import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import process from "node:process";
import { endContainers } from "./containers.ts";
import { onProcessEnd } from "./process-end.ts";

export interface Folder extends Disposable {
  path: string;
}

// Short, because a unix socket path has at most 107 bytes. The process id tells a later run whose folder it was.
const prefix = "import-images-rig-";

/** A temporary folder that goes away with everything mounted below it, also when the test process is ended. */
export function temporaryFolder(): Folder {
  sweepAbandoned();
  const folder = mkdtempSync(path.join(tmpdir(), `${prefix}${process.pid}-`));
  const forget = onProcessEnd(() => removeWithMounts(folder));
  return {
    path: folder,
    [Symbol.dispose]: () => {
      forget();
      removeWithMounts(folder);
    },
  };
}

/** Mount points at or below a folder, the deepest first. */
export function mountsBelow(folder: string): string[] {
  const points = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .flatMap((line) => line.split(" ")[4] ?? [])
    .map(unescapeOctal);
  return points.filter((point) => point === folder || point.startsWith(`${folder}/`)).toReversed();
}

function removeWithMounts(folder: string): void {
  endContainers(folder);
  // Mounts can be stacked and hold each other: go on for as long as an unmount changes something.
  for (let mounts = mountsBelow(folder), before = Infinity; mounts.length > 0 && mounts.length < before;) {
    before = mounts.length;
    spawnSync("umount", ["--lazy", ...mounts], { stdio: "ignore" });
    mounts = mountsBelow(folder);
  }
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
}

// A test process that was killed outright cleans up nothing, so the next one does it.
let swept = false;
function sweepAbandoned(): void {
  if (swept) return;
  swept = true;
  for (const name of readdirSync(tmpdir())) {
    const owner = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1];
    if (owner !== undefined && !existsSync(`/proc/${owner}`)) removeWithMounts(path.join(tmpdir(), name));
  }
}

function unescapeOctal(field: string): string {
  return field.replaceAll(/\\(\d{3})/g, (_, code: string) => String.fromCodePoint(Number.parseInt(code, 8)));
}
