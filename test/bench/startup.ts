import { spawnSync } from "node:child_process";
import { type Spread, spread } from "./statistics.ts";

/** From starting the executable to having its version, in milliseconds. */
export function startup(executable: string, runs: number): Spread {
  const times = Array.from({ length: runs }, () => {
    const started = performance.now();
    const { status } = spawnSync(executable, ["--version"], {
      env: {},
      stdio: ["ignore", "pipe", "inherit"],
    });
    if (status !== 0) throw new Error(`${executable} --version ended with ${status}`);
    return performance.now() - started;
  });
  return spread(times);
}
