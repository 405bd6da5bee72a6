// The live view, in a real terminal. What it shows does not depend on containerd's version.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { afterAll, beforeAll, expect, test } from "vitest";
import { poll } from "../rig/poll.ts";
import { pushImage } from "../rig/push.ts";
import { describeReal } from "../rig/suite.ts";
import { agentFor, type Agent, type Properties } from "./support/agent.ts";
import { agentCommand } from "./support/executable.ts";
import { startNode, type TestNode } from "./support/node.ts";

const MB = 1_000_000;
const images = { "live/a:1": 12 * MB, "live/b:1": 8 * MB, "live/c:1": 16 * MB };

describeReal("a terminal", "1.7", () => {
  let node: TestNode;

  beforeAll(async () => {
    node = await startNode("1.7");
    for (const [name, bytes] of Object.entries(images)) {
      await pushImage(node.registry, name, { layers: [{ bytes, seed: name }] });
    }
  });
  afterAll(async () => node[Symbol.asyncDispose]());

  test("shows bars that grow with what the registry served, and then the table", async () => {
    const agent = agentFor(node.containerd);
    node.proxy.clearRequests();
    node.proxy.set({ path: /blobs/u, bytesPerSecond: 1.5 * MB });
    using terminal = openTerminal(agent, node, 100);

    const history: Moment[] = [];
    const last = await poll(
      "the table of results",
      () => {
        const screen = terminal.screen();
        const amount = /\s(?<amount>[\d.]+)MB\/36\.0MB/u.exec(screen)?.groups?.["amount"];
        const shown = amount === undefined ? undefined : Number(amount) * MB;
        history.push({ at: performance.now(), served: node.proxy.bytesServed(), shown });
        return screen.includes("3 images: 3 pulled") ? screen : undefined;
      },
      { bound: 90_000 },
    );

    const told = history.flatMap(({ shown }) => (shown === undefined ? [] : [shown]));
    expect(new Set(told).size).toBeGreaterThanOrEqual(3);
    expect(told).toEqual(told.toSorted((one, other) => one - other));
    for (const moment of history) expectHonest(moment, history);
    expect(last).not.toMatch(/\[=+>? *\]/u);
    expect(last).toContain("RESULT");
  });

  test("is clean after SIGINT, with the reason as its last line", async () => {
    const agent = agentFor(node.containerd);
    await removeImages(node);
    node.proxy.set({ path: /blobs/u, bytesPerSecond: 0.2 * MB });
    using terminal = openTerminal(agent, node, 60);
    await poll("a bar", () => (/\[=*>/u.test(terminal.screen()) ? true : undefined), { bound: 60_000 });

    terminal.keys("C-c");

    const screen = await poll(
      "the end",
      () => (terminal.screen().includes("ended with 130") ? terminal.screen() : undefined),
      { bound: 20_000 },
    );
    expect(screen).not.toMatch(/\[=*>? *\]/u);
    expect(screen).toContain("stopped by SIGINT");
    expect(terminal.cursorIsShown()).toBe(true);
  });

  test.each([
    ["the images come, and the program ends", {}, "", { exitCode: 0 }],
    ["the deadline ends it", { deadline: "3s" }, "", { exitCode: 1 }],
    ["SIGTERM ends it", {}, "SIGTERM", { exitCode: 143 }],
  ] as const)("stopped with Ctrl-S holds up no run: %s", async (_what, properties, signal, end) => {
    const agent = agentFor(node.containerd);
    await removeImages(node);
    node.proxy.set({
      path: /blobs/u,
      bytesPerSecond: signal === "" && end.exitCode === 0 ? 9 * MB : 0.2 * MB,
    });
    using terminal = openTerminal(agent, node, 80, properties);
    await agent.logged("a pull", ({ event }) => event === "attempt-started");
    terminal.keys("C-s");
    const { pid } = await agent.logged("its process", ({ event }) => event === "started");
    if (signal !== "") process.kill(Number(pid), signal);

    const ended = (): true | undefined => (existsSync(`/proc/${String(pid)}`) ? undefined : true);
    await poll("the end of the process", ended, { bound: 60_000 });
    expect(agent.status()).toMatchObject({ phase: "ended", ...end });
    terminal.keys("C-q");
    await poll("its code", () =>
      terminal.screen().includes(`ended with ${end.exitCode}`) ? true : undefined,
    );
  });
});

interface Moment {
  readonly at: number;
  readonly served: number;
  readonly shown: number | undefined;
}

/** Milliseconds that the view may be behind: it looks once a second, and on a busy machine a look takes its time. */
const BEHIND = 5_000;

/** What is shown lies between what the registry had served a moment before and what it has served now, within 5 %. */
function expectHonest({ at, served, shown }: Moment, history: readonly Moment[]): void {
  if (shown === undefined) return;
  const before = history.findLast((moment) => moment.at <= at - BEHIND)?.served ?? 0;
  expect(shown).toBeLessThanOrEqual(served * 1.05);
  expect(shown).toBeGreaterThanOrEqual(before * 0.95);
}

async function removeImages(node: TestNode): Promise<void> {
  for (const image of await node.containerd.images()) await node.containerd.crictl("rmi", image.id);
}

function openTerminal(agent: Agent, node: TestNode, columns: number, properties: Properties = {}) {
  const server = path.join(agent.folder, "tmux");
  const tmux = (...args: string[]): string =>
    execFileSync("tmux", ["-S", server, ...args], {
      encoding: "utf8",
      env: { PATH: process.env["PATH"], LC_ALL: "C.UTF-8" },
    });
  const names = Object.keys(images).map((name) => ({ name: `${node.proxy.host}/${name}` }));
  const config = agent.write(JSON.stringify(agent.complete({ images: names, ...properties })));
  const environment = `IMPORT_IMAGES_STATE_DIR=${agent.stateDirectory} IMPORT_IMAGES_LOG_DIR=${agent.logDirectory}`;
  const command = `${environment} ${agentCommand().join(" ")} run --config ${config}; echo ended with $?; cat`;
  tmux("new-session", "-d", "-x", String(columns), "-y", "30", `sh -c 'trap : INT; ${command}'`);
  return {
    screen: () => tmux("capture-pane", "-p", "-J"),
    keys: (key: string) => tmux("send-keys", key),
    cursorIsShown: () => tmux("display-message", "-p", "#{cursor_flag}").trim() === "1",
    [Symbol.dispose]: () => void tmux("kill-server"),
  };
}
