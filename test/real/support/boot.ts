// The node as it is after it started again: Linux gives each boot an id, which a run here sees replaced.
import { writeFileSync } from "node:fs";
import path from "node:path";
import type { Agent, Ended, Properties } from "./agent.ts";
import { agentCommand } from "./executable.ts";

const BIND = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"';

/** Runs a command in another boot, which a mount namespace of its own shows to it. */
export function runInBoot(
  agent: Agent,
  boot: string,
  properties: Properties,
  ...args: string[]
): Promise<Ended> {
  const file = path.join(agent.folder, `boot-${boot}`);
  writeFileSync(file, `${boot}\n`);
  const config = agent.write(JSON.stringify(agent.complete(properties)));
  const wrapped = ["unshare", "--mount", "--", "sh", "-c", BIND, file, ...agentCommand()];
  return agent.exec([...(args.length === 0 ? ["run"] : args), "--config", config], wrapped);
}
