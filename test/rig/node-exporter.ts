import { readFile } from "node:fs/promises";
import path from "node:path";
import { startDaemon } from "./daemon.ts";
import { temporaryFolder } from "./folder.ts";
import { poll } from "./poll.ts";
import { toolPaths } from "./tools.ts";

export interface NodeExporter extends AsyncDisposable {
  /** Its textfile collector reads every .prom file of this folder at each scrape. */
  readonly folder: string;
  /** What it serves to Prometheus: text that it wrote anew from what it understood. */
  scrape(): Promise<string>;
  log(): Promise<string>;
}

/** node_exporter with its textfile collector alone, on a free loopback port. */
export async function startNodeExporter(): Promise<NodeExporter> {
  const folder = temporaryFolder();
  const logFile = path.join(folder.path, "node_exporter.log");
  const daemon = startDaemon(
    toolPaths("1.7").nodeExporter,
    [
      "--collector.disable-defaults",
      "--collector.textfile",
      `--collector.textfile.directory=${folder.path}`,
      "--web.disable-exporter-metrics",
      "--web.listen-address=127.0.0.1:0",
    ],
    { logFile },
  );
  const stop = async (): Promise<void> => {
    await daemon.stop();
    folder[Symbol.dispose]();
  };
  const log = (): Promise<string> => readFile(logFile, "utf8");
  try {
    const host = await poll("node_exporter listens", async () => {
      if (!daemon.alive()) throw new Error(`node_exporter ended:\n${await log()}`);
      return /"Listening on" address=(?<host>127\.0\.0\.1:\d+)/u.exec(await log())?.groups?.["host"];
    });
    const scrape = async (): Promise<string> => (await fetch(`http://${host}/metrics`)).text();
    return { folder: folder.path, scrape, log, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
