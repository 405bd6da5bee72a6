import { existsSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { Readable } from "node:stream";
import { inspect } from "node:util";
import type { Options } from "execa";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { redactor } from "../../../src/core/redact.ts";
import {
  CommandError,
  commandRunner,
  isExecutable,
  type CommandOptions,
} from "../../../src/containerd/command.ts";
import { temporaryFolder } from "../folder.ts";
import { credential } from "../samples.ts";

const folder = temporaryFolder();
const PATIENT = { timeout: 20_000 };
const script = (name: string, ...lines: readonly string[]): string =>
  folder.write(name, ["#!/bin/sh", ...lines, ""].join("\n"), 0o755);

const run = commandRunner(redactor([credential("robot", "hunter2")]), new AbortController().signal);
/** The error of a tool that does not succeed. */
async function errorOf(
  tool: string,
  args: readonly string[] = [],
  options: CommandOptions = PATIENT,
): Promise<CommandError> {
  const error: unknown = await run(tool, args, options).then(
    () => "succeeded",
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof CommandError)) throw error;
  return error;
}

describe("a tool gets", () => {
  test("its arguments as they are, whatever is in them: there is no shell", async () => {
    const args = ["", "a b", "$(touch pwned)", "`id`", "'", '"', "\\", "*", "ü🗝️", "--x=y;z", "line\nbreak"];
    const tool = script("args", 'for a in "$@"; do printf "%s\\0" "$a"; done');
    expect((await run(tool, args, PATIENT)).split("\0").slice(0, -1)).toEqual(args);
    expect(existsSync("pwned")).toBe(false);
  });

  test("PATH and nothing else of our environment", async () => {
    process.env["HTTPS_PROXY"] = "http://proxy.example.com";
    onTestFinished(() => void delete process.env["HTTPS_PROXY"]);
    expect(await run("/usr/bin/env", [], PATIENT)).toBe("PATH=/usr/sbin:/usr/bin:/sbin:/bin");
  });

  test("what it is given beside that", async () => {
    const text = await run("/usr/bin/env", [], { ...PATIENT, env: { CRICTL_AUTH: "abc=" } });
    expect(text.split("\n").toSorted()).toEqual(["CRICTL_AUTH=abc=", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
  });

  test("a closed stdin, unless something is fed to it", async () => {
    expect(await run("/bin/cat", [], PATIENT)).toBe("");
    expect(await run("/bin/cat", [], { ...PATIENT, input: Readable.from(["fed"]) })).toBe("fed");
  });
});

test("of what a tool prints, no more than about 4 MB is kept", async () => {
  const { length } = await run(script("prints", "yes | head -c 6000000"), [], PATIENT);
  expect(length).toBeGreaterThanOrEqual(4 * 2 ** 20);
  expect(length).toBeLessThan(5_000_000);
});

test("a tool ends when we are killed", async () => {
  expect(await run("/usr/bin/setpriv", ["--dump"], PATIENT)).toContain("Parent death signal: KILL");
});

describe("on a node without setpriv, a tool", () => {
  const runWithout = async (...call: Parameters<typeof run>): Promise<string> => {
    vi.doMock("node:fs", async (original) => ({
      ...(await original<typeof import("node:fs")>()),
      accessSync: () => {
        throw new Error("ENOENT");
      },
    }));
    vi.resetModules();
    onTestFinished(() => {
      vi.doUnmock("node:fs");
      vi.resetModules();
    });
    const fresh = await import("../../../src/containerd/command.ts");
    return fresh.commandRunner((text) => text, new AbortController().signal)(...call);
  };

  test("is started as it is", async () => {
    expect(await runWithout("/bin/echo", ["a", "b c"], PATIENT)).toBe("a b c");
  });

  test("that does not exist says so", async () => {
    await expect(runWithout("/nowhere/tool", [], PATIENT)).rejects.toThrow(
      "tool could not be started (ENOENT)",
    );
  });
});

describe("a tool that fails", () => {
  test("says its last words", async () => {
    const error = await errorOf(script("says", 'echo "first" >&2; echo "ctr: not found" >&2; exit 3'));
    expect(error).toMatchObject({
      message: "first\nctr: not found",
      timedOut: false,
    });
  });

  test("is judged by what it printed, which no output shows", async () => {
    const error = await errorOf(script("echoes", 'echo "decoded robot:hunter2" >&2; exit 1'));
    expect(error.raw).toBe("decoded robot:hunter2");
    expect(`${inspect(error)} ${JSON.stringify(error)} ${error.message}`).not.toContain("hunter2");
  });

  test("without a word says how it ended", async () => {
    expect((await errorOf(script("silent", "exit 7"))).message).toBe("silent exited with 7 and said nothing");
    expect((await errorOf(script("quiet", "exec sleep 60"), [], { timeout: 100 })).message).toBe(
      "quiet did not answer in time",
    );
    expect((await errorOf(script("killed", "kill -9 $$"))).message).toMatch(
      /^killed (?:was ended by SIGKILL|exited with 137)/u,
    );
  });

  test("and says very much is cut short, in the middle", async () => {
    const error = await errorOf(script("loud", "yes 0123456789 | head -c 3000000 >&2; echo END >&2; exit 1"));
    expect(error.message.length).toBeLessThan(66_000);
    expect(error.message.startsWith("0123456789\n")).toBe(true);
    expect(error.message.endsWith("END")).toBe(true);
  });

  test("is told in full up to 64 KB", async () => {
    const error = await errorOf(script("long", "printf '%065536d' 1 >&2; exit 1"));
    expect(error.message).toBe("1".padStart(65_536, "0"));
  });

  test.each([
    ["does not exist", "/nowhere/tool"],
    ["is no program", folder.write("plain", "x", 0o644)],
  ])("because it %s names itself", async (_why, tool) => {
    expect((await errorOf(tool)).message).toContain(path.basename(tool));
  });

  test("holds no secret in any property, however it is printed", async () => {
    const auth = credential("robot", "hunter2").auth;
    const tool = script(
      "leak",
      `echo "auth $CRICTL_AUTH decoded robot:hunter2 pw hunter2 args $*" >&2; exit 1`,
    );
    const error = await errorOf(tool, ["--auth", auth], { ...PATIENT, env: { CRICTL_AUTH: auth } });
    const everything = [
      error.message,
      String(error.stack),
      JSON.stringify(error),
      ...Object.values(error).map(String),
    ].join("\n");
    expect(everything).not.toContain(auth);
    expect(everything).not.toContain("hunter2");
    expect(error.message).toContain("[redacted]");
    expect(Object.keys(error).toSorted()).toEqual(["name", "timedOut"]);
  });

  test("holds none where its words were cut", async () => {
    const tool = script(
      "cut",
      'i=0; while [ $i -lt 6000 ]; do printf "robot:hunter2 " >&2; i=$((i+1)); done; exit 1',
    );
    expect((await errorOf(tool)).message).not.toMatch(/hunter|unter2/u);
  });
});

describe("a tool that hangs", () => {
  test("is ended after its time, and says so", async () => {
    const error = await errorOf(script("hang", 'echo "still trying" >&2', "exec sleep 60"), [], {
      timeout: 300,
    });
    expect(error).toMatchObject({ timedOut: true, message: "hang did not answer in time: still trying" });
  });

  test("and ignores TERM is killed three seconds later, of which this test waits a part", async () => {
    const graces: unknown[] = [];
    const { execa } = await vi.importActual<typeof import("execa")>("execa");
    vi.doMock("execa", () => ({
      execa: (file: string, args: readonly string[], options: Options) => {
        graces.push(options.forceKillAfterDelay);
        return execa(file, args, { ...options, forceKillAfterDelay: 100 });
      },
    }));
    vi.resetModules();
    onTestFinished(() => {
      vi.doUnmock("execa");
      vi.resetModules();
    });
    const fresh = await import("../../../src/containerd/command.ts");
    const hasty = fresh.commandRunner((text) => text, new AbortController().signal);
    const killed = hasty(script("deaf", "trap '' TERM", "exec sleep 60"), [], { timeout: 300 });
    await expect(killed).rejects.toMatchObject({ name: "CommandError", timedOut: true });
    expect(graces).toEqual([3_000]);
  });

  test("only in a child of its own that keeps its output open is not waited for", async () => {
    const { setTimeout: later } = globalThis;
    const quick = vi.fn<(act: () => void, ms: number) => NodeJS.Timeout>((act, ms) => later(act, ms / 50));
    vi.stubGlobal("setTimeout", quick);
    onTestFinished(() => void vi.unstubAllGlobals());
    const child = Number(await run(script("parent", "sleep 60 &", "echo $!"), [], PATIENT));
    onTestFinished(() => void process.kill(child));
    expect(child).toBeGreaterThan(0);
    expect(quick).toHaveBeenCalledWith(expect.any(Function), 1_000);
  });

  test("is ended by its caller's signal", async () => {
    const stop = new AbortController();
    const waiting = errorOf(script("waits", "exec sleep 60"), [], { ...PATIENT, signal: stop.signal });
    stop.abort();
    expect(await waiting).toMatchObject({ timedOut: false, message: "waits was ended by SIGTERM" });
  });

  test("is ended with the lifetime of all tools", async () => {
    const life = new AbortController();
    const mortal = commandRunner((text) => text, life.signal);
    const waiting = mortal(script("lives", "exec sleep 60"), [], PATIENT);
    life.abort();
    await expect(waiting).rejects.toMatchObject({ timedOut: false });
    await expect(mortal("/bin/true", [], PATIENT)).rejects.toBeInstanceOf(CommandError);
  });
});

test.each([
  ["/bin/sh", true],
  ["/nowhere", false],
  [folder.write("text", "x", 0o644), false],
])("isExecutable(%s) is %s", (file, expected) => {
  expect(isExecutable(file)).toBe(expected);
});
