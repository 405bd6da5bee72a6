// The program ends after its last line, whatever is still open.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { expect, test } from "vitest";
import { EXIT } from "../../src/exit.ts";
import { temporaryFolder } from "./folder.ts";

const folder = temporaryFolder();
const MAIN = path.join(import.meta.dirname, "../../src/main.ts");
/** A handle that nobody closes. It tells when the program listens to signals. */
const OPEN = `data:text/javascript,${encodeURIComponent(`
  import { writeSync } from "node:fs";
  let isTold = false;
  setInterval(() => {
    if (!isTold && process.listenerCount("SIGTERM") > 0) isTold = writeSync(2, "it listens") > 0;
  }, 20);
`)}`;
const good = folder.write("good.json", JSON.stringify({ images: [] }));
const lost = folder.write(
  "lost.json",
  JSON.stringify({ images: [], containerd: { crictl: "/no", ctr: "/no" } }),
);

async function ended(args: readonly string[], signal?: NodeJS.Signals) {
  const env = { IMPORT_IMAGES_STATE_DIR: folder.path, IMPORT_IMAGES_LOG_DIR: folder.path, PATH: "/usr/bin" };
  const child = spawn(process.execPath, ["--import", OPEN, MAIN, ...args], { env, stdio: "pipe" });
  let lastLine = performance.now();
  for (const stream of [child.stdout, child.stderr]) stream.on("data", () => (lastLine = performance.now()));
  if (signal !== undefined) {
    await once(child.stderr, "data");
    child.kill(signal);
  }
  const [code] = (await once(child, "exit")) as [number | null];
  return { code, after: performance.now() - lastLine };
}

test.each([
  ["well", ["--version"], EXIT.ok],
  ["well, with something checked", ["check", good], EXIT.ok],
  ["with a wrong argument", ["no-such-command"], EXIT.usage],
  ["with a runtime that is not there", ["run", "--config", lost], EXIT.runtimeNotReady],
])(
  "a program that ends %s is gone, whatever is still open",
  async (_how, args, code) => {
    const end = await ended(args);
    expect(end.code).toBe(code);
    // A second where nothing else goes on; with the handle it would never be.
    expect(end.after).toBeLessThan(10_000);
  },
  20_000,
);

test("a program that a signal ends is gone at once", async () => {
  const end = await ended(["check", "-"], "SIGTERM");
  expect(end.code).toBe(143);
}, 20_000);

test.runIf(existsSync("/dev/full")).each([
  ["a command that only tells fails", ["check", good], EXIT.usage],
  ["a run ends as its images did", ["run", "--json", "--config", lost], EXIT.runtimeNotReady],
])(
  "where the output goes to a full disk, %s, and says that it is lost",
  (_what, args, code) => {
    const full = openSync("/dev/full", "w");
    const env = { IMPORT_IMAGES_STATE_DIR: folder.path, IMPORT_IMAGES_LOG_DIR: folder.path };
    const end = spawnSync(process.execPath, [MAIN, ...args], { env, stdio: ["ignore", full, "pipe"] });
    closeSync(full);
    expect([end.status, end.stderr.toString()]).toEqual([
      code,
      expect.stringContaining("warning: stdout cannot be written, its output is lost: ENOSPC"),
    ]);
  },
  20_000,
);
