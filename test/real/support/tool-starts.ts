// crictl and ctr behind wrappers that write down each start, for what is promised about how often they run.
import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Containerd } from "../../rig/containerd.ts";

export interface ToolStarts {
  /** For `containerd` of the properties. */
  readonly tools: { readonly crictl: string; readonly ctr: string };
  /** Words of each start since the last call, the tool first and without what says where containerd is. */
  taken(): string[][];
}

export function countStarts({ folder, crictlPath, ctrPath }: Containerd): ToolStarts {
  const own = mkdtempSync(path.join(folder, "tools-"));
  const log = path.join(own, "starts");
  const wrap = (name: string, real: string): string => {
    const file = path.join(own, name);
    writeFileSync(file, `#!/bin/sh\necho ${name} "$@" >> ${log}\nexec ${real} "$@"\n`);
    chmodSync(file, 0o755);
    return file;
  };
  const tools = { crictl: wrap("crictl", crictlPath), ctr: wrap("ctr", ctrPath) };
  writeFileSync(log, "");
  return {
    tools,
    taken: () => {
      const lines = readFileSync(log, "utf8").split("\n").filter(Boolean);
      writeFileSync(log, "");
      return lines.map((line) =>
        line
          .split(" ")
          .filter(
            (word) => !/^--(?:config|runtime-endpoint|image-endpoint|timeout|address|namespace)=/u.test(word),
          ),
      );
    },
  };
}
