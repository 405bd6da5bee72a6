// The metrics of a run, as node_exporter serves them: its textfile collector is the reader they are made for.
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { applyEvent, endRun } from "../../src/core/events.ts";
import { startState } from "../../src/core/run-state.ts";
import { writeMetrics } from "../../src/report/metrics.ts";
import { dockerArchive } from "../rig/archive.ts";
import { type NodeExporter, startNodeExporter } from "../rig/node-exporter.ts";
import { describeReal } from "../rig/suite.ts";
import { agentFor } from "./support/agent.ts";
import { pushTo, startNode, type TestNode } from "./support/node.ts";
import { imageOf } from "./support/status.ts";

/** Series and value, as the exporter writes them: its own escapes, labels in order. */
function seriesOf(scraped: string): Record<string, number> {
  const lines = scraped.split("\n").filter((line) => line.startsWith("import_images_"));
  return Object.fromEntries(
    lines.map((line) => {
      const end = line.lastIndexOf(" ");
      return [line.slice(0, end), Number(line.slice(end + 1))];
    }),
  );
}

const FAMILIES = [
  "build_info",
  "image_attempts",
  "image_duration_seconds",
  "image_last_success_timestamp_seconds",
  "image_size_bytes",
  "image_state",
  "run_concurrency",
  "run_duration_seconds",
  "run_exit_code",
  "run_timestamp_seconds",
].map((name) => `import_images_${name}`);

describeReal(
  "metrics",
  "1.7",
  () => {
    let node: TestNode;
    beforeAll(async () => {
      node = await startNode("1.7");
    });
    afterAll(() => node[Symbol.asyncDispose]());

    /** A scrape in which the exporter found nothing to complain of. */
    async function cleanScrape(exporter: NodeExporter): Promise<string> {
      const scraped = await exporter.scrape();
      expect(scraped).toContain("\nnode_textfile_scrape_error 0\n");
      expect(await exporter.log()).not.toMatch(/level=ERROR/u);
      return scraped;
    }

    test("tell of every end that an image can have", async () => {
      await using exporter = await startNodeExporter();
      const agent = agentFor(node.containerd);
      const metrics_file = path.join(exporter.folder, "import_images.prom");
      const here = (await pushTo(node.registry, "metrics/here:1")).reference;
      const away = (await pushTo(node.registry, "metrics/away:1")).reference;
      await pushTo(node.registry, "metrics/kept");
      const kept = `${node.proxy.host}/metrics/kept:latest`;
      const missing = `${node.registry.host}/metrics/missing:1`;
      const write = (name: string, content: Buffer): string => {
        const file = path.join(node.containerd.folder, name);
        writeFileSync(file, content);
        return file;
      };
      const brought = "local.example/metrics:1";
      const archive = write(
        "fine.tar",
        dockerArchive({ names: [brought], layers: [{ bytes: 30_000, seed: 1 }] }),
      );
      // An archive that brings nothing is known by its path, where anything may stand.
      const junk = write(String.raw`an "odd" na\me.tar`, Buffer.alloc(5_000, 7));
      expect((await agent.run({ images: [{ name: here }, { name: kept }] })).exitCode).toBe(0);
      await node.proxy.down();
      const properties = {
        images: [here, away, kept, missing].map((name) => ({ name })),
        archives: [{ path: archive }, { path: junk }],
        metrics_file,
      };

      expect((await agent.run(properties)).exitCode).toBe(1);

      const status = agent.status();
      const scraped = await cleanScrape(exporter);
      const typed = [...scraped.matchAll(/^# TYPE (?<name>import_images_\w+) gauge$/gmu)];
      expect(typed.map(({ groups }) => groups?.["name"])).toEqual(FAMILIES);
      expect(scraped).toContain("\n# HELP import_images_run_exit_code Exit code of the last run.\n");
      const series = seriesOf(scraped);
      const label = JSON.stringify;
      const ends = [
        [here, "present"],
        [away, "pulled"],
        [kept, "kept"],
        [missing, "failed"],
        [brought, "imported"],
        [junk, "failed"],
      ] as const;
      for (const [name, end] of ends) {
        expect(imageOf(status, name).phase).toBe(end);
        for (const state of ["present", "pulled", "imported", "kept", "failed", "unfinished"]) {
          const key = `import_images_image_state{image=${label(name)},state="${state}"}`;
          expect(series[key], key).toBe(state === end ? 1 : 0);
        }
        const { endedAt = "" } = imageOf(status, name);
        const success = `import_images_image_last_success_timestamp_seconds{image=${label(name)}}`;
        expect(series[success], success).toBe(end === "failed" ? undefined : Date.parse(endedAt) / 1_000);
      }
      expect(series).toMatchObject({
        [`import_images_image_attempts{image="${away}"}`]: 1,
        [`import_images_image_size_bytes{image="${away}"}`]: imageOf(status, away).size,
        [`import_images_build_info{version="${status.version}"}`]: 1,
        import_images_run_exit_code: 1,
        import_images_run_timestamp_seconds: Date.parse(status.endedAt ?? "") / 1_000,
      });
    });

    test("and status.json stay as they were when a run is narrowed to some images", async () => {
      const agent = agentFor(node.containerd);
      const one = (await pushTo(node.registry, "narrowed/one:1")).reference;
      const metrics_file = path.join(node.containerd.folder, "narrowed.prom");
      const properties = {
        images: [{ name: one }, { name: `${node.registry.host}/narrowed/missing:1` }],
        metrics_file,
      };
      expect((await agent.run(properties)).exitCode).toBe(1);
      const before = [readFileSync(metrics_file, "utf8"), agent.status()];
      expect((await agent.run(properties, "run", "--only", one)).exitCode).toBe(0);
      expect([readFileSync(metrics_file, "utf8"), agent.status()]).toEqual(before);
    });

    test("survive names with quotes, backslashes, line breaks and what else a path may hold", async () => {
      await using exporter = await startNodeExporter();
      const file = path.join(exporter.folder, "odd.prom");
      const names = ['/a/"quoted"', String.raw`/a/back\slash\n`, "/a/line\nbreak", "/a/{x=y} 1 ,z", "/a/ä €"];
      const state = [
        {
          type: "run-started",
          images: names.map((name) => ({ name, names: [name], required: true })),
        } as const,
        ...names.map((image) => ({ type: "attempt-started", image, attempt: 3 }) as const),
      ].reduce((before, event) => applyEvent(before, event, 2_000), startState("run", '1"\\', 1, 1_000));
      const run = endRun(state, { exitCode: 1 }, 3_000);

      // Twice, so that what is kept of the first file has been read and written again.
      writeMetrics(file, run, expect.unreachable);
      writeMetrics(file, run, expect.unreachable);

      const series = seriesOf(await cleanScrape(exporter));
      for (const name of names) {
        const key = `import_images_image_attempts{image=${JSON.stringify(name)}}`;
        expect(series[key], key).toBe(3);
      }
      expect(series[String.raw`import_images_build_info{version="1\"\\"}`]).toBe(1);
    });

    test("would not pass as right if they were damaged", async () => {
      await using exporter = await startNodeExporter();
      writeFileSync(path.join(exporter.folder, "damaged.prom"), 'import_images_x{image="a} 1\n');

      expect(await exporter.scrape()).toContain("\nnode_textfile_scrape_error 1\n");
      expect(await exporter.log()).toMatch(/level=ERROR/u);
    });
  },
  ["containerd", "ctr", "crictl", "registry", "nodeExporter"],
);
