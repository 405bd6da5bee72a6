// The program as a process: signals, its environment, and the file systems that it writes to.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Folder, temporaryFolder } from "../rig/folder.ts";
import { poll } from "../rig/poll.ts";
import { run } from "../rig/run.ts";
import { describeReal } from "../rig/suite.ts";
import { type Agent, agentFor, type Properties, lastLine } from "./support/agent.ts";
import { agentCommand } from "./support/executable.ts";
import { authOf, login, pushTo, startNode, type TestNode } from "./support/node.ts";

describeReal("a process", "1.7", () => {
  let node: TestNode;
  let agent: Agent;

  beforeAll(async () => {
    node = await startNode("1.7");
  });
  beforeEach(() => {
    agent = agentFor(node.containerd);
  });
  afterEach(() => {
    node.containerd.thaw();
    node.proxy.clear();
  });
  afterAll(() => node[Symbol.asyncDispose]());

  /** An image that takes some seconds. */
  const slow = async (name: string): Promise<Properties> => {
    const image = await pushTo(node.registry, name, { layers: [{ bytes: 3_000_000, seed: name }] });
    node.proxy.set({ digest: image.layers[0]?.digest ?? "", bytesPerSecond: 1_000_000 });
    return { images: [{ name: `${node.proxy.host}/${image.repository}:${image.tag}` }] };
  };

  /** With an environment, a parent or a standard input of its own. */
  function start(command: readonly string[], env: Record<string, string> = {}) {
    const [file = "", ...args] = command;
    const child = spawn(file, args, {
      stdio: "pipe",
      cwd: agent.folder,
      env: {
        PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
        IMPORT_IMAGES_STATE_DIR: agent.stateDirectory,
        IMPORT_IMAGES_LOG_DIR: agent.logDirectory,
        ...env,
      },
    });
    const all = Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
    const ended = all.then(([stdout, stderr, [exitCode]]) => ({
      stdout,
      stderr,
      exitCode: Number(exitCode),
    }));
    return { child, ended };
  }
  const withConfig = (properties: Properties, ...args: string[]): string[] => [
    ...agentCommand(),
    ...args,
    "--config",
    agent.write(JSON.stringify(agent.complete(properties))),
  ];
  /** SIGHUP is the one that Node itself leaves alone. */
  const caught = ({ pid }: ChildProcess): Promise<unknown> =>
    poll("its handlers", () => {
      const mask = /^SigCgt:\s*(?<mask>\w+)/mu.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
      return (BigInt(`0x${mask?.groups?.["mask"]}`) & 1n) === 1n ? true : undefined;
    });

  test.each(["plan", "status"])("%s ends at once on SIGINT, and says so", async (command) => {
    node.containerd.freeze();
    const { child, ended } = start(withConfig({ images: [] }, command));
    await caught(child);
    child.kill("SIGINT");
    expect(await ended).toEqual({ stdout: "", stderr: "import-images: stopped by SIGINT\n", exitCode: 130 });
  });

  test("check - ends at once on SIGINT while it waits for its input", async () => {
    const { child, ended } = start([...agentCommand(), "check", "-"]);
    await caught(child);
    child.kill("SIGINT");
    expect(await ended).toMatchObject({ stderr: "import-images: stopped by SIGINT\n", exitCode: 130 });
  });

  test("a run that cannot end by itself is over 10 s after a signal, before BOSH would kill it", async () => {
    const { child, ended } = start([...agentCommand(), "run", "--config", "-"]);
    await caught(child);
    const begun = performance.now();
    child.kill("SIGTERM");
    expect(await ended).toEqual({ stdout: "", stderr: "import-images: stopped by SIGTERM\n", exitCode: 143 });
    expect(performance.now() - begun).toBeLessThan(10_000);
  });

  test.each(["check /dev/zero", "plan --config <(yes)", "check FIFO"])(
    "what is not a file is refused at once, and not waited for: %s",
    async (words) => {
      const fifo = path.join(agent.folder, "fifo");
      await run("mkfifo", [fifo]);
      const line = `exec $0 ${words.replace("FIFO", fifo)}`;
      const { ended } = start(["bash", "--norc", "-c", line, ...agentCommand()]);
      expect(await ended).toMatchObject({
        stderr: expect.stringMatching(/ is not a regular file: pipe it in, and give - as its name\n$/u),
        exitCode: 2,
      });
    },
  );

  test.each(["check -", "plan --config -"])("a configuration may be piped in: %s", async (words) => {
    const { child, ended } = start([...agentCommand(), ...words.split(" ")]);
    child.stdin.end("images: [{name: Bad}]\n");
    const { stdout, stderr, exitCode } = await ended;
    expect(stdout + stderr).toContain("stdin:1:17: images[0].name: has upper case");
    expect(exitCode).toBe(2);
  });

  test.each([
    ["shell", 'nohup "$0" "$@"', {}],
    ["script", 'exec "$0" "$@"', { IMPORT_IMAGES_NOHUP: "1" }],
  ])("a run below nohup, of which the %s tells, goes on after SIGHUP", async (by, line, env) => {
    const command = withConfig(await slow(`process/nohup-${by}:1`), "run");
    const { child, ended } = start(["bash", "-c", line, ...command], env);
    await agent.logged("a pull", ({ event }) => event === "attempt-started");
    child.kill("SIGHUP");
    const { exitCode, stdout } = await ended;
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining("1 image: 1 pulled")]);
  });

  test("a pipe that nobody reads holds up no run, which ends with its code and its state", async () => {
    const images = Array.from({ length: 3_000 }, (_, n) => ({ name: `registry.example.com/image-${n}:1` }));
    const command = withConfig({ images, containerd: { crictl: "/nowhere" } }, "run", "--json");
    const [file = "", ...args] = command;
    const child = spawn(file, args, {
      stdio: ["ignore", "pipe", "ignore"],
      env: { IMPORT_IMAGES_STATE_DIR: agent.stateDirectory, IMPORT_IMAGES_LOG_DIR: agent.logDirectory },
    });
    const [exitCode] = (await once(child, "exit")) as [number];
    child.stdout.destroy();
    expect(exitCode).toBe(3);
    expect(agent.status()).toMatchObject({ phase: "ended", exitCode: 3 });
  });

  test("NODE_DEBUG shows no credential, and a core file would have none of its memory or its tools'", async () => {
    const image = await pushTo(node.locked, "process/debug:1", {
      layers: [{ bytes: 3_000_000, seed: "debug" }],
    });
    const command = withConfig({ images: [{ name: image.reference, auth: authOf(login) }] }, "run");
    const { child, ended } = start(command, { NODE_DEBUG: "child_process,net,fs" });
    await agent.logged("a pull", ({ event }) => event === "attempt-started");
    const children = (): string => readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8");
    const tool = await poll("a tool", () => children().trim().split(" ").at(-1) || undefined);
    for (const pid of [child.pid, tool]) {
      expect(readFileSync(`/proc/${pid}/coredump_filter`, "utf8")).toMatch(/^0+\n$/u);
    }
    const { exitCode, stdout, stderr } = await ended;
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(stdout).not.toContain(login.password);
  });

  describe("where it writes", () => {
    let folder: Folder;
    beforeEach(() => {
      folder = temporaryFolder();
    });
    afterEach(() => folder[Symbol.dispose]());

    const tmpfs = async (options: string): Promise<string> => {
      await run("mount", ["-t", "tmpfs", "-o", options, "tmpfs", folder.path]);
      return folder.path;
    };
    const fill = (directory: string): void => {
      try {
        writeFileSync(path.join(directory, "filler"), Buffer.alloc(1_000_000));
      } catch {
        // Full, as wanted.
      }
    };

    test("a log whose disk fills during the run is told once, and the images come", async () => {
      const log = await tmpfs("size=4k");
      writeFileSync(path.join(log, "import-images.log"), `${" ".repeat(3_599)}\n`);
      const command = withConfig(await slow("process/log:1"), "run");
      const { exitCode, stdout, stderr } = await start(command, { IMPORT_IMAGES_LOG_DIR: log }).ended;
      expect([exitCode, stdout]).toEqual([0, expect.stringContaining("1 image: 1 pulled")]);
      expect(stderr).toMatch(
        /^warning: the run continues without its log: \S+: ENOSPC: no space left on device\n$/u,
      );
    });

    test("a full disk of the state directory stops no run, which tells it once", async () => {
      const state = await tmpfs("size=4k");
      fill(state);
      const command = withConfig(await slow("process/state:1"), "run");
      const { exitCode, stdout, stderr } = await start(command, { IMPORT_IMAGES_STATE_DIR: state }).ended;
      expect([exitCode, stdout]).toEqual([0, expect.stringContaining("1 image: ")]);
      expect(stderr).toMatch(
        /^warning: status\.json cannot be written: \S+: ENOSPC: no space left on device\nwarning: [^\n]+\/disk\.json: ENOSPC: no space left on device\n$/u,
      );
      expect(statSync(path.join(state, "lock")).mode & 0o777).toBe(0o600);
    });

    test("a read-only state directory is told, and nothing is done", async () => {
      const state = await tmpfs("size=1m");
      await run("mount", ["-o", "remount,ro", state]);
      const command = withConfig({ images: [] }, "run");
      const { exitCode, stderr } = await start(command, { IMPORT_IMAGES_STATE_DIR: state }).ended;
      expect(exitCode).toBe(2);
      expect(lastLine(stderr)).toMatch(
        /^import-images: the lock cannot be used, so nothing was done: \S+\/lock: EROFS: read-only file system/u,
      );
    });

    test("another user cannot hold the lock", async () => {
      await start(withConfig({ images: [] }, "run")).ended;
      chmodSync(agent.stateDirectory, 0o755);
      const lock = path.join(agent.stateDirectory, "lock");
      await expect(run("setpriv", ["--reuid", "65534", "--clear-groups", "cat", lock])).rejects.toThrow(
        "Permission denied",
      );
    });

    test.each(["status.json", "lock", "import-images.log", "x.prom"])(
      "a FIFO in the place of %s blocks nothing",
      async (name) => {
        const file = path.join(folder.path, name);
        await run("mkfifo", [file]);
        const env = { IMPORT_IMAGES_STATE_DIR: folder.path, IMPORT_IMAGES_LOG_DIR: folder.path };
        const { exitCode, stderr } = await start(
          withConfig({ images: [], metrics_file: path.join(folder.path, "x.prom") }, "run"),
          env,
        ).ended;
        expect(stderr).toContain(`${file}: not a regular file: remove it`);
        expect(exitCode).toBe(name === "lock" ? 2 : 0);
      },
    );
  });

  test("a run that was killed is not in progress because another process has its number", async () => {
    await start(withConfig({ images: [] }, "run")).ended;
    const file = path.join(agent.stateDirectory, "status.json");
    const status = JSON.parse(readFileSync(file, "utf8")) as object;
    writeFileSync(file, JSON.stringify({ ...status, phase: "importing", pid: process.pid }));
    const { stdout } = await start(withConfig({ images: [] }, "status")).ended;
    expect(stdout).toMatch(
      /^last run: started at \S+ and was killed in "importing"; run again to finish it/u,
    );
  });
});
