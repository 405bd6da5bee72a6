import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import process from "node:process";
import { describe, expect, onTestFinished, test } from "vitest";
import { EXIT, ExitError } from "../../../src/exit.ts";
import { Interruption } from "../../../src/run/interruption.ts";
import { takeLock } from "../../../src/run/lock.ts";
import { temporaryFolder } from "../folder.ts";

const folder = temporaryFolder();
let count = 0;
const directory = (): string => path.join(folder.path, `state-${(count += 1)}`, "below");

interface Wish {
  readonly patience?: number;
  readonly signal?: AbortSignal;
  readonly onWait?: (holder: string) => void;
}
const take = (where: string, { patience = 0, signal, onWait }: Wish = {}): Promise<Disposable> =>
  takeLock(
    where,
    patience,
    signal ?? new AbortController().signal,
    async () => "run 1, pid 2",
    onWait ?? (() => {}),
  );

test("is taken at once where nobody has it, in a directory that is made for it", async () => {
  const waits: string[] = [];
  using lock = await take(directory(), { onWait: (holder) => void waits.push(holder) });
  expect(lock).toBeDefined();
  expect(waits).toEqual([]);
});

test("is free again after it was given back", async () => {
  const where = directory();
  (await take(where))[Symbol.dispose]();
  using again = await take(where);
  expect(again).toBeDefined();
});

describe("that another run holds", () => {
  test("ends the second with its own exit code, who it is, and how long it waited", async () => {
    const where = directory();
    using _first = await take(where);
    const waits: string[] = [];
    const error: unknown = await take(where, { patience: 300, onWait: (by) => void waits.push(by) }).catch(
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof ExitError)) throw error;
    expect(error.exitCode).toBe(EXIT.locked);
    expect(error.message).toMatch(/^another run holds the lock \(run 1, pid 2\); waited \d+ms\./u);
    expect(waits).toEqual(["run 1, pid 2"]);
  });

  test("is taken as soon as it is given back", async () => {
    const where = directory();
    const first = await take(where);
    const second = take(where, { patience: 10_000, onWait: () => first[Symbol.dispose]() });
    using lock = await second;
    expect(lock).toBeDefined();
  });

  test("is not waited for after a signal, whose reason comes out", async () => {
    const where = directory();
    using _first = await take(where);
    const stop = new AbortController();
    const reason = new Interruption({ class: "cancelled", message: "stopped by SIGTERM" });
    const second = take(where, { patience: 60_000, signal: stop.signal, onWait: () => stop.abort(reason) });
    await expect(second).rejects.toBe(reason);
  });
});

test("dies with its holder, even when that is killed", async () => {
  const where = directory();
  const holder = await holderProcess(where);
  await expect(take(where)).rejects.toThrow("another run holds the lock");
  holder.kill("SIGKILL");
  using lock = await take(where, { patience: 10_000 });
  expect(lock).toBeDefined();
});

/** Another process of ours that has the lock. */
async function holderProcess(where: string) {
  const module = path.resolve(import.meta.dirname, "../../../src/run/lock.ts");
  const script = [
    `import { takeLock } from ${JSON.stringify(module)};`,
    `await takeLock(${JSON.stringify(where)}, 0, new AbortController().signal, async () => "", () => {});`,
    `console.log("held"); setInterval(() => {}, 1_000);`,
  ].join("\n");
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child.stdout, "data");
  return child;
}

test("cannot be had where the directory cannot be written, and that is told", async () => {
  const file = folder.write("file", "");
  const error: unknown = await take(path.join(file, "state")).catch((thrown: unknown) => thrown);
  if (!(error instanceof ExitError)) throw error;
  expect(error.exitCode).toBe(EXIT.usage);
  expect(error.message).toContain("cannot be written");
});
