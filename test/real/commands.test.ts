// What people and programs see: plan, status, --json, help, and the files that a run leaves.
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Folder, temporaryFolder } from "../rig/folder.ts";
import { poll } from "../rig/poll.ts";
import type { PushedImage } from "../rig/push.ts";
import { describeEachLine } from "../rig/suite.ts";
import { type Agent, agentFor, agentWithoutContainerd } from "./support/agent.ts";
import { namesOn, pushTo, startNode, type TestNode } from "./support/node.ts";
import { imageOf, isStatus, type LogLine } from "./support/status.ts";

const isoTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/u;

describeEachLine(
  "the commands",
  (line) => {
    let node: TestNode;
    let agent: Agent;

    beforeAll(async () => {
      node = await startNode(line);
    });
    beforeEach(() => {
      agent = agentFor(node.containerd);
    });
    afterEach(() => node.proxy.clear());
    afterAll(() => node[Symbol.asyncDispose]());

    const push = (name: string, bytes = 40_000): Promise<PushedImage> =>
      pushTo(node.registry, name, { layers: [{ bytes, seed: name }] });
    const throughProxy = async (name: string, bytesPerSecond: number) => {
      const image = await push(name, 3_000_000);
      const { digest } = image.layers[0]!;
      node.proxy.set({ digest, bytesPerSecond });
      const reference = `${node.proxy.host}/${image.repository}:${image.tag}`;
      return { ...image, reference, pulling: () => node.proxy.served(digest, bytesPerSecond / 2) };
    };

    test("plan tells what a run would do and why, asks no registry, and changes nothing", async () => {
      const [here, away] = [await push("plan/here:1"), await push("plan/away:1")];
      await agent.run({ images: [{ name: here.reference }] });
      await node.registry.clearRequests();
      const before = [await namesOn(node.containerd), await node.containerd.records()];
      const images = [
        { name: here.reference, retagAs: "plan-here:1" },
        { name: away.reference, pin: false },
      ];
      const text = await agent.run({ images }, "plan");
      const json = await agent.run({ images }, "plan", "--json");

      expect(text.exitCode).toBe(0);
      expect(text.stdout).toContain(`keep   ${here.reference}: present`);
      expect(text.stdout).toContain("  tag  docker.io/library/plan-here:1: not on this node");
      expect(text.stdout).toContain(`pull   ${away.reference}: not on this node`);
      expect(text.stdout).toContain("2 images: 1 to pull, 1 present; 0 images to unpin");
      expect(json).toMatchObject({ exitCode: 0, stderr: "" });
      expect(JSON.parse(json.stdout)).toMatchObject({
        images: [
          {
            name: here.reference,
            required: true,
            pull: false,
            why: "present",
            tags: [
              { name: "docker.io/library/plan-here:1", action: "create", why: "not on this node" },
              { action: "keep" },
              { name: `docker.io/library/plan-here@${here.digest}`, action: "create" },
            ],
            pin: false,
          },
          { name: away.reference, pull: true, why: "not on this node", tags: [], pin: false },
        ],
        unpin: [],
      });
      expect([await namesOn(node.containerd), await node.containerd.records()]).toEqual(before);
      expect(await node.registry.requests()).toEqual([]);
    });

    test("plan names what it would unpin, and --only narrows it", async () => {
      const [left, one, two] = [
        await push("unpin/left:1"),
        await push("unpin/one:1"),
        await push("unpin/two:1"),
      ];
      await agent.run({ images: [{ name: left.reference }] });
      const images = [{ name: one.reference }, { name: two.reference }];
      const whole = JSON.parse((await agent.run({ images }, "plan", "--json")).stdout) as { unpin: string[] };
      const only = await agent.run({ images }, "plan", "--json", "--only", two.reference);

      expect(whole.unpin.includes(left.reference)).toBe(node.pins);
      expect(JSON.parse(only.stdout)).toMatchObject({ images: [{ name: two.reference }], unpin: [] });
    });

    test("status tells of no run, of one that goes on, of its end, and what is true now", async () => {
      const [fast, slow] = [await push("status/fast:1"), await throughProxy("status/slow:1", 400_000)];
      const properties = {
        images: [{ name: fast.reference, retagAs: "status-fast:1" }, { name: slow.reference }],
      };
      const before = await agent.run(properties, "status");
      expect(before.exitCode).toBe(1);
      expect(before.stdout).toContain("no run has been recorded here yet");

      const running = agent.start(properties);
      await slow.pulling();
      await poll(
        "the first image is there",
        async () => (await namesOn(node.containerd)).has("docker.io/library/status-fast:1") || undefined,
      );
      const during = await agent.run(properties, "status");
      expect(during.exitCode).toBe(1);
      expect(during.stdout).toMatch(
        new RegExp(`run in progress since \\S+ \\(pid ${running.pid}, importing\\)`, "u"),
      );
      expect(during.stdout).toMatch(new RegExp(`yes +(?:yes|no) +[a-f0-9]{12} +${fast.reference}`, "u"));
      expect(during.stdout).toMatch(new RegExp(`no +no +${slow.reference}`, "u"));

      expect((await running.ended).exitCode).toBe(0);
      const after = await agent.run(properties, "status");
      const json = await agent.run(properties, "status", "--json");
      expect(after.exitCode).toBe(0);
      expect(after.stdout).toMatch(/last run: succeeded at \S+Z/u);
      const pinned = node.pins;
      expect(JSON.parse(json.stdout)).toMatchObject({
        run: { pid: running.pid, phase: "ended", exitCode: 0 },
        now: [
          { name: fast.reference, source: fast.reference, present: true, pinned, id: fast.configDigest },
          { name: "docker.io/library/status-fast:1", source: fast.reference, present: true, pinned },
          { name: slow.reference, required: true, present: true, pinned, id: slow.configDigest },
        ],
      });
    });

    test("status tells again why images failed in the last run", async () => {
      const image = await push("why/app:1");
      const missing = `${node.registry.host}/why/missing:1`;
      const properties = { images: [{ name: missing }, { name: image.reference }] };
      const run = await agent.run(properties);
      const status = await agent.run(properties, "status");
      const told = run.stdout.slice(
        run.stdout.indexOf(`FAILED ${missing} in pull: `),
        run.stdout.indexOf("RESULT"),
      );

      expect(told).toMatch(/in pull: not-found, after 2 attempts\n {2}why: {2}.+\n {2}next: .+\n\n$/u);
      expect(status.exitCode).toBe(1);
      expect(status.stdout).toContain(`\n\n${told}PRESENT`);
    });

    test("status tells of a run that was killed", async () => {
      const slow = await throughProxy("killed/slow:1", 200_000);
      const properties = { images: [{ name: slow.reference }] };
      const running = agent.start(properties);
      await slow.pulling();
      running.kill("SIGKILL");
      await running.ended;
      const ended = await agent.run(properties, "status");

      expect(ended.exitCode).toBe(1);
      expect(ended.stdout).toMatch(
        /last run: started at \S+Z and was killed in "importing"; run again to finish it/u,
      );
    });

    test("status tells of a name that is another image", async () => {
      const [image, other] = [await push("other/app:1"), await push("other/other:1")];
      const properties = { images: [{ name: image.reference, retagAs: "other-app:1" }] };
      await agent.run(properties);
      await node.containerd.crictl("pull", other.reference);
      await node.containerd.ctr("images", "tag", "--force", other.reference, "docker.io/library/other-app:1");
      await poll("CRI knows of it", async () => {
        const names = await namesOn(node.containerd);
        return names.get("docker.io/library/other-app:1")?.id === other.configDigest || undefined;
      });
      const ended = await agent.run(properties, "status");

      expect(ended.exitCode).toBe(1);
      expect(ended.stdout).toMatch(/other image +\S+ +\S+ +docker\.io\/library\/other-app:1/u);
    });

    test("status and plan end with 3 when containerd does not answer, and status tells the last run all the same", async () => {
      const containerd = { socket: `${agent.folder}/never.sock`, ready_timeout: "500ms" };
      const properties = { images: [{ name: "app:1" }], containerd };
      await agent.run(properties);
      const [status, plan] = [await agent.run(properties, "status"), await agent.run(properties, "plan")];

      expect(status.exitCode).toBe(3);
      expect(status.stdout).toContain("last run: ended with exit code 3");
      expect(plan).toMatchObject({ exitCode: 3, stdout: "" });
      expect(plan.stderr).toContain("did not answer within");
    });

    test("run --json prints the final state and nothing else on stdout, as in status.json", async () => {
      const image = await push("json/app:1");
      const missing = `${node.registry.host}/json/missing:1`;
      const ended = await agent.run(
        { images: [{ name: image.reference }, { name: missing }] },
        "run",
        "--json",
      );
      const printed: unknown = JSON.parse(ended.stdout);

      expect(ended.exitCode).toBe(1);
      expect(printed).toEqual(agent.status());
      expect(printed).toMatchObject({
        schema: 1,
        phase: "ended",
        exitCode: 1,
        containerd: expect.stringMatching(/^\d+\.\d+\.\d+/u),
        totals: { pulled: 1, failed: 1, present: 0, kept: 0, unfinished: 0 },
        startedAt: expect.stringMatching(isoTime),
        endedAt: expect.stringMatching(isoTime),
      });
      expect(imageOf(agent.status(), image.reference)).toMatchObject({
        phase: "pulled",
        attempts: 1,
        id: image.configDigest,
        digest: image.digest,
        pinned: node.pins,
      });
      expect(imageOf(agent.status(), missing).failure).toMatchObject({ class: "not-found", step: "pull" });
    });

    test("the log has a line of JSON for each event, with time, level, run, image, attempt, class and duration", async () => {
      const image = await push("log/app:1");
      const missing = `${node.registry.host}/log/missing:1`;
      await agent.run({ images: [{ name: image.reference }, { name: missing }] });
      const lines = agent.log();
      const of = (name: string, event: string): LogLine | undefined =>
        lines.find((entry) => entry.image === name && entry.event === event);

      const runs = new Set(lines.map((entry) => entry.run));
      expect([...runs]).toEqual([agent.status().run]);
      for (const entry of lines) {
        expect(entry).toMatchObject({
          time: expect.stringMatching(isoTime),
          level: expect.stringMatching(/^(?:info|warn|error)$/u),
          event: expect.any(String),
          msg: expect.any(String),
        });
      }
      expect(lines.map(({ event }) => event)).toEqual(
        expect.arrayContaining(["started", "run-started", "runtime-ready", "planned", "run-ended"]),
      );
      expect(of(image.reference, "attempt-started")).toMatchObject({ attempt: 1 });
      expect(of(image.reference, "pulled")).toMatchObject({ attempt: 1 });
      expect(of(missing, "image-failed")).toMatchObject({ level: "error", class: "not-found", step: "pull" });
      expect(of(missing, "attempt-failed")).toMatchObject({ level: "warn", class: "not-found", attempt: 1 });
      expect(of(image.reference, "image-done")).toMatchObject({ ms: expect.any(Number) });
      expect(lines.at(-1)).toMatchObject({ event: "run-ended", exitCode: 1, ms: expect.any(Number) });
    });

    test("the log of a second run follows that of the first", async () => {
      await agent.run({ images: [] });
      await agent.run({ images: [] });

      expect(new Set(agent.log().map((entry) => entry.run)).size).toBe(2);
    });

    test("status.json can be read at any moment of a run", async () => {
      const slow = await throughProxy("atomic/slow:1", 1_000_000);
      const more = await Promise.all(
        Array.from({ length: 6 }, async (_, index) => ({
          name: (await push(`atomic/app-${index}:1`)).reference,
        })),
      );
      const file = path.join(agent.stateDirectory, "status.json");
      const running = agent.start({ images: [{ name: slow.reference }, ...more], concurrency: 2 });
      await poll("it is there", () => existsSync(file) || undefined, { every: 5 });
      const seen: unknown[] = [];
      await poll(
        "it was read 400 times",
        () => {
          seen.push(JSON.parse(readFileSync(file, "utf8")));
          return seen.length === 400 || undefined;
        },
        { every: 10 },
      );
      expect((await running.ended).exitCode).toBe(0);

      expect(seen.every(isStatus)).toBe(true);
      // It was written while it was read, or this would prove nothing.
      expect(new Set(seen.map((status) => JSON.stringify(status))).size).toBeGreaterThan(3);
    });
  },
  { among: ["1.7", "2"] },
);

describe("the command line", () => {
  let folder: Folder;
  let agent: Agent;
  beforeEach(() => {
    folder = temporaryFolder();
    agent = agentWithoutContainerd(folder.path);
  });
  afterEach(() => folder[Symbol.dispose]());

  test("--help tells the commands, options and exit codes", async () => {
    const help = await agent.exec(["--help"]);

    expect(help).toMatchObject({ exitCode: 0, stderr: "" });
    for (const word of ["run", "plan", "status", "--config FILE", "--only NAME", "--json", "Exit codes"]) {
      expect(help.stdout).toContain(word);
    }
    expect(await agent.exec(["help"])).toMatchObject({ exitCode: 0, stdout: help.stdout });
    expect(help.stdout.split("\n").every((text) => text.length <= 100)).toBe(true);
  });

  test.for(["run", "plan", "status"])("%s --help is of this command", async (command) => {
    const help = await agent.exec([command, "--help"]);

    expect(help.exitCode).toBe(0);
    expect(help.stdout).toMatch(new RegExp(`^import-images ${command} `, "u"));
    expect((await agent.exec(["help", command])).stdout).toBe(help.stdout);
  });

  test("--version tells version and commit", async () => {
    const version = await agent.exec(["--version"]);

    expect(version).toMatchObject({ exitCode: 0, stderr: "" });
    expect(version.stdout).toMatch(/^import-images \d+\.\d+\.\d+\S* \(\S.*\)\n$/u);
  });

  test.for([
    [["walk"], 'there is no command "walk"'],
    [["run", "--fast"], "--fast"],
    [["run", "now"], 'unexpected argument "now"'],
    [["plan", "--only"], "--only"],
    [["plan", "--only", "App"], '--only "App": '],
    [["status", "--only", "app"], "--only is not for status"],
  ] as const)("%j ends with 2, says what is wrong and where help is", async ([args, message]) => {
    const ended = await agent.exec(args);

    expect(ended).toMatchObject({ exitCode: 2, stdout: "" });
    expect(ended.stderr).toContain(message);
    expect(ended.stderr).toContain("import-images --help");
    expect(existsSync(agent.logDirectory)).toBe(false);
  });
});
