import { chmod, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Runtime } from "./contenders.ts";

/** The same tools behind wrappers that count how often they are started. They cost time: not for a run that is timed. */
export async function countingRuntime(
  runtime: Runtime,
  folder: string,
): Promise<{ runtime: Runtime; starts(): Promise<number> }> {
  const log = path.join(folder, "starts");
  await writeFile(log, "");
  const wrap = async (name: "crictl" | "ctr"): Promise<string> => {
    const file = path.join(folder, name);
    await writeFile(file, `#!/bin/sh\necho ${name} >> ${log}\nexec ${runtime[name]} "$@"\n`);
    await chmod(file, 0o755);
    return file;
  };
  return {
    runtime: { ...runtime, crictl: await wrap("crictl"), ctr: await wrap("ctr") },
    starts: async () => (await readFile(log, "utf8")).split("\n").length - 1,
  };
}
