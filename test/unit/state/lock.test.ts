import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { describe, expect, onTestFinished, test } from "vitest";
import { Failed } from "../../../src/core/failure.ts";
import { EXIT, ExitError } from "../../../src/exit.ts";
import { realClock } from "../../../src/run/clock.ts";
import { lockIsHeld, takeLock } from "../../../src/state/lock.ts";
import { temporaryFolder, timesOpen } from "../folder.ts";

const folder = temporaryFolder();
let count = 0;
const directory = (): string => path.join(folder.path, `state-${(count += 1)}`, "below");

interface Wish {
  readonly patience?: number;
  readonly signal?: AbortSignal;
  readonly onWait?: (holder: string) => void;
}
const take = (where: string, { patience = 0, signal, onWait }: Wish = {}): Promise<Disposable> =>
  takeLock({
    clock: realClock,
    directory: where,
    patience,
    signal: signal ?? new AbortController().signal,
    holder: () => "run 1, pid 2",
    onWait: onWait ?? (() => {}),
  });

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
    const error: unknown = await take(where, { patience: 700, onWait: (by) => void waits.push(by) }).catch(
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof ExitError)) throw error;
    expect(error.exitCode).toBe(EXIT.locked);
    expect(error.message).toMatch(/^another run holds the lock \(run 1, pid 2\); waited \d+ms\./u);
    expect(waits).toEqual(["run 1, pid 2"]);
  });

  test("is left alone by whoever gave it up", async () => {
    const where = directory();
    await holderProcess(where);
    await expect(take(where)).rejects.toThrow("another run holds the lock");
    expect(timesOpen(path.join(where, "lock"))).toBe(0);
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
    const reason = new Failed({ class: "cancelled", message: "stopped by SIGTERM" });
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
  const module = path.resolve(import.meta.dirname, "../../../src/state/lock.ts");
  const script = [
    `import { takeLock } from ${JSON.stringify(module)};`,
    `const nothing = () => "";`,
    `const wish = { clock: performance, patience: 0, signal: new AbortController().signal, holder: nothing, onWait: nothing };`,
    `await takeLock({ directory: ${JSON.stringify(where)}, ...wish });`,
    `console.log("held"); setInterval(() => {}, 1_000);`,
  ].join("\n");
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child.stdout, "data");
  return child;
}

async function refusal(where: string): Promise<string> {
  const error: unknown = await take(where).catch((thrown: unknown) => thrown);
  if (!(error instanceof ExitError)) throw error;
  expect(error.exitCode).toBe(EXIT.usage);
  return error.message;
}

test("cannot be had where the directory cannot be made, and that is told", async () => {
  const file = folder.write("file", "");
  expect(await refusal(path.join(file, "state"))).toContain("/state/lock: ENOTDIR: not a directory");
});

test("cannot be had where no file can be made, and the system's reason is told", async () => {
  expect(await refusal("/sys")).toMatch(/\/sys\/lock: E(?:ACCES|PERM|ROFS): /u);
});

test.each<[string, (file: string) => void]>([
  ["FIFO", (file: string) => void execFileSync("mkfifo", [file])],
  ["directory", (file: string) => mkdirSync(file)],
  ["symbolic link", (file: string) => symlinkSync("/dev/zero", file)],
])("cannot be had where a %s stands in its place, and that is told", async (_kind, make) => {
  const where = directory();
  mkdirSync(where, { recursive: true });
  make(path.join(where, "lock"));
  expect(await refusal(where)).toContain("/lock: not a regular file: remove it");
  expect(lockIsHeld(where)).toBe(false);
});

test("cannot be had with a file of something else, which is left as it is", async () => {
  const where = directory();
  mkdirSync(where, { recursive: true });
  writeFileSync(path.join(where, "lock"), "precious".repeat(100));
  expect(await refusal(where)).toContain("/lock: file is not a database: remove it");
  expect(statSync(path.join(where, "lock")).size).toBe(800);
});

test("is root's alone, also where it was readable, and nothing is written into it", async () => {
  const where = directory();
  mkdirSync(where, { recursive: true });
  writeFileSync(path.join(where, "lock"), "", { mode: 0o644 });
  using _lock = await take(where);
  const { mode, size } = statSync(path.join(where, "lock"));
  expect([mode & 0o777, size]).toEqual([0o600, 0]);
  expect(readdirSync(where)).toEqual(["lock"]);
});

describe("whether it is held", () => {
  test("is told while another process has it, and no longer when that was killed", async () => {
    const where = directory();
    expect(lockIsHeld(where)).toBe(false);
    const holder = await holderProcess(where);
    expect(lockIsHeld(where)).toBe(true);
    holder.kill("SIGKILL");
    await expect.poll(() => lockIsHeld(where), { timeout: 10_000 }).toBe(false);
  });

  test("can be asked without taking it from anybody", async () => {
    const where = directory();
    using _lock = await take(where);
    expect(lockIsHeld(where)).toBe(true);
    await expect(take(where)).rejects.toThrow("another run holds the lock");
  });
});
