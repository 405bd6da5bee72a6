// `plan` and `status` on a containerd of maps: what they tell, what they end with, and that they change nothing.
import { mkdtempSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { describe, expect, test } from "vitest";
import { planCommand } from "../../src/commands/plan.ts";
import { statusCommand } from "../../src/commands/status.ts";
import { applyEvent, type RunEvent } from "../../src/core/events.ts";
import { startState } from "../../src/core/run-state.ts";
import type { Edge } from "../../src/edge.ts";
import { EXIT } from "../../src/exit.ts";
import { statusText } from "../../src/state/status.ts";
import { packed } from "./containerd/packed.ts";
import { LINUX, served } from "./containerd/served-image.ts";
import { temporaryFolder } from "./folder.ts";
import { bench } from "./run/bench.ts";
import { wanted } from "./samples.ts";

const folder = temporaryFolder();
const HERE = "r.one/here:1";
const AWAY = "r.one/away:1";
const FURTHER = "docker.io/library/further:1";
const tools = { crictl: process.execPath, ctr: process.execPath };

/** A node, the commands on it, and what they wrote. */
function terminal() {
  const { node, serve, run } = bench();
  const state = mkdtempSync(path.join(folder.path, "state-"));
  const name = path.basename(state);
  const write = (file: string, text: string | Buffer): string => folder.write(`${name}/${file}`, text);
  const call = async (
    command: typeof planCommand,
    properties: Readonly<Record<string, unknown>>,
    { json = false, only = [] }: { json?: boolean; only?: readonly string[] } = {},
  ) => {
    const said = { stdout: "", stderr: "" };
    const output = (of: keyof typeof said): Edge["stdout"] => ({
      write: (text) => void (said[of] += text),
      columns: undefined,
    });
    const edge: Edge = {
      stdin: () => new Blob().stream(),
      stdout: output("stdout"),
      stderr: output("stderr"),
      paths: {
        config: write("config.json", JSON.stringify({ containerd: tools, ...properties })),
        log: state,
        state,
      },
      pid: 7,
      platform: LINUX,
      signal: new AbortController().signal,
      stoppedBy: () => undefined,
    };
    let [exitCode, error]: [number?, unknown?] = [];
    try {
      exitCode = await command({ json, only, deep: false }, edge, () => node.containerd);
    } catch (thrown) {
      error = thrown;
    }
    return { ...said, exitCode, error };
  };
  return {
    node,
    serve,
    run,
    write,
    plan: call.bind(undefined, planCommand),
    status: call.bind(undefined, statusCommand),
    /** Leaves status.json as a run with these events does. */
    record: (events: readonly RunEvent[]): string =>
      write(
        "status.json",
        statusText(
          events.reduce((last, event) => applyEvent(last, event, 2_000), startState("r", "1", 7, 1_000)),
        ),
      ),
  };
}

const started = (...names: readonly string[]): RunEvent => ({
  type: "run-started",
  images: names.map((name) => ({ name, names: [name], required: true })),
});

describe("plan", () => {
  const images = [
    { name: HERE, retagAs: "further:1" },
    { name: AWAY, pin: false },
  ];

  test("tells what a run would do and why, and changes nothing", async () => {
    const { node, plan } = terminal();
    node.bring(HERE, served("here"));
    const { exitCode, stdout, stderr } = await plan({ images });

    expect([exitCode, stderr]).toEqual([EXIT.ok, ""]);
    expect(stdout.split("\n")).toEqual([
      `keep   ${HERE}: present`,
      `  tag  ${FURTHER}: not on this node`,
      expect.stringMatching(/^ {2}tag {2}docker\.io\/library\/further@sha256:\w{64}: not on this node$/u),
      "  pin",
      `pull   ${AWAY}: not on this node`,
      "2 images: 1 to pull, 1 present; 0 images to unpin",
      "",
    ]);
    expect(node.changes()).toEqual([]);
  });

  test("names what it would unpin, unless --only narrows it, also by a further name", async () => {
    const { serve, run, plan } = terminal();
    serve(served("old"), "r.one/old:1");
    await run(["r.one/old:1"]);
    const whole = await plan({ images }, { json: true });
    const narrowed = await plan({ images }, { json: true, only: [FURTHER] });

    expect(JSON.parse(whole.stdout)).toMatchObject({ unpin: ["r.one/old:1"] });
    expect(JSON.parse(narrowed.stdout)).toMatchObject({ images: [{ name: HERE, pull: true }], unpin: [] });
  });

  test("tells of an archive whether it would be imported", async () => {
    const { write, plan } = terminal();
    const [there, missing] = [write("images.tar", packed({ [FURTHER]: served("a") })), "/nowhere/images.tar"];
    const archives = [{ path: there }, { path: missing }, { path: "/nowhere/*.tgz" }];
    const { stdout } = await plan({ images: [{ name: FURTHER }], archives });

    expect(stdout).toContain(`import ${there}: `);
    expect(stdout).toContain(`FAIL   ${missing}: `);
    expect(stdout).toContain("none   /nowhere/*.tgz: no file matches");
    expect(stdout).toContain(`keep   ${FURTHER}: comes from ${there}, which is imported first`);
  });

  test("refuses an --only of no image", async () => {
    expect(await terminal().plan({ images }, { only: [AWAY, "r.one/other:1"] })).toMatchObject({
      stdout: "",
      error: { exitCode: EXIT.usage, message: "--only names no image of the configuration: r.one/other:1" },
    });
  });

  test("ends with 3 where no runtime is", async () => {
    const containerd = { ...tools, crictl: "/nowhere/crictl" };
    expect(await terminal().plan({ images, containerd })).toMatchObject({
      stdout: "",
      error: { exitCode: EXIT.runtimeNotReady, message: expect.stringContaining("/nowhere/crictl") },
    });
  });
});

describe("status", () => {
  const images = [{ name: HERE }, { name: AWAY, required: false }];

  test("tells of no run, and of what is missing now", async () => {
    const { exitCode, stdout } = await terminal().status({ images });

    expect(exitCode).toBe(EXIT.imageFailed);
    expect(stdout).toMatch(/^no run has been recorded here yet\n\nPRESENT/u);
    expect(stdout).toMatch(new RegExp(`^no +no +${HERE}$`, "mu"));
    expect(stdout).toContain("2 names: 0 present, 2 missing, 0 pinned");
  });

  test("tells of the last run, and ends with 0 where all that is required is there", async () => {
    const { serve, run, record, node, status } = terminal();
    const { id } = serve(served("here"), HERE);
    const ran = await run([HERE, wanted(AWAY, { required: false })]);
    record([started(HERE, AWAY), ...ran.events, { type: "run-ended", exitCode: EXIT.ok }]);
    const changed = node.changes().length;
    const text = await status({ images });
    const json = await status({ images }, { json: true });

    expect(text).toMatchObject({ exitCode: EXIT.ok, stderr: "" });
    expect(text.stdout).toMatch(
      /^last run: ended with exit code 0 at 1970-01-01T00:00:02\.000Z\n\nFAILED r\.one\/away:1 in pull: not-found/u,
    );
    expect(JSON.parse(json.stdout)).toMatchObject({
      run: { phase: "ended", exitCode: EXIT.ok },
      now: [
        { name: HERE, present: true, pinned: true, id },
        { name: AWAY, present: false, pinned: false },
      ],
    });
    expect(node.changes()).toHaveLength(changed);
  });

  test("tells of a run that ends while it looks as it ended", async () => {
    const { node, record, status } = terminal();
    record([started(HERE)]);
    node.before("records", () => void record([started(HERE), { type: "run-ended", exitCode: EXIT.locked }]));

    expect((await status({ images })).stdout).toMatch(/^last run: ended with exit code 4 at /u);
  });

  test("tells of a run that was killed, as nobody holds its lock", async () => {
    const { record, status } = terminal();
    record([started(HERE, AWAY)]);

    expect((await status({ images })).stdout).toMatch(
      /^last run: started at 1970-01-01T00:00:01\.000Z and was killed in "\w[\w-]*"; run again to finish it\n/u,
    );
  });

  test("tells of a name that is another image, and of one that is damaged", async () => {
    const { node, status } = terminal();
    const [here, away] = [served("here"), served("away")];
    node.bring(HERE, here);
    node.bring(AWAY, away);
    node.record(FURTHER, away);
    node.blobs.delete(away.config.digest);
    node.bring("r.one/third:1", served("third"));
    node.record("docker.io/library/third:1", here);
    const { exitCode, stdout } = await status({
      images: [{ name: AWAY }, { name: "r.one/third:1", retagAs: "third:1" }],
    });

    expect(exitCode).toBe(EXIT.imageFailed);
    expect(stdout).toMatch(new RegExp(`^unusable .*damaged.* ${AWAY}$`, "mu"));
    expect(stdout).toMatch(/^other image +\w+ +\w+ +docker\.io\/library\/third:1$/mu);
  });

  test("tells of the last run also where no runtime is, and ends with 3", async () => {
    const { record, status } = terminal();
    record([started(HERE), { type: "run-ended", exitCode: EXIT.imageFailed, stopped: "too late" }]);
    const containerd = { ...tools, ctr: "/nowhere/ctr" };

    expect(await status({ images, containerd })).toMatchObject({
      stdout: expect.stringMatching(
        /^last run: ended with exit code 1 at \S+ \(too late\)\n\nNOT FINISHED r\.one\/here:1/u,
      ),
      error: { exitCode: EXIT.runtimeNotReady },
    });
  });
});
