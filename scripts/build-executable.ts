import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, copyFile, cp, mkdir, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import process from "node:process";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import type { Identity } from "./build-identity.ts";

const run = promisify(execFile);

/** One file out of Node, the bundle, and the code that V8 compiles of it. */
export async function buildExecutable(target: string, code: string, node: string): Promise<void> {
  const folder = `${target}.building`;
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
  try {
    await writeFile(path.join(folder, "import-images.js"), code);
    await writeFile(path.join(folder, "sea.json"), JSON.stringify(seaConfig));
    await cp(path.join(import.meta.dirname, "executable"), folder, { recursive: true });
    await copyFile(node, path.join(folder, "node"));
    // Node, not the result: the section with the program is in no segment that strip knows of, so stripping it
    // afterwards gives a file of the right size that crashes at once.
    await run("strip", ["node"], { cwd: folder });
    await compile(folder);
    await run(process.execPath, [...seed, "--build-sea", "sea.json"], { cwd: folder });
    await chmod(path.join(folder, "out"), 0o755);
    await rename(path.join(folder, "out"), target);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A run that ends for want of a containerd: what it has compiled is what every run needs before it begins to pull. */
async function compile(folder: string): Promise<void> {
  const containerd = {
    crictl: "/bin/true",
    ctr: "/bin/true",
    socket: "/nonexistent",
    ready_timeout: "200ms",
  };
  const config = { images: [{ name: "example.com/a:1", retagAs: "example.com/b:1" }], containerd };
  await writeFile(path.join(folder, "config.json"), JSON.stringify(config));
  // Without a garbage collection, which comes by chance and changes how texts compare; the code remembers that.
  const heap = ["--min-semi-space-size=64", "--max-semi-space-size=64"];
  const args = [...seed, ...heap, "compile.cjs", "run", "--config", "config.json"];
  const env = { IMPORT_IMAGES_LOG_DIR: folder, IMPORT_IMAGES_STATE_DIR: folder };
  await run("./node", args, { cwd: folder, env });
}

// Relative names only: they are stored in the executable.
const seaConfig = {
  main: "main.cjs",
  mainFormat: "commonjs",
  executable: "node",
  output: "out",
  disableExperimentalSEAWarning: true,
  assets: { "import-images.js": "import-images.js", "import-images.cache": "import-images.cache" },
  // A run allocates much, for each tool that it starts, and keeps little: a thousand images are 15 MB. V8 lets the heap
  // of a large machine grow to four times that before it clears up; under a limit of 512 MB it does so sooner. A young
  // generation of 4 MB is the smallest in which most objects die. With a thousand images: 35 MB less than with V8's own
  // limit and 1 MB, and a seventh less CPU.
  execArgv: ["--max-semi-space-size=4", "--max-old-space-size=512"],
  // NODE_OPTIONS of the BOSH agent's environment must not reach the program.
  execArgvExtension: "none",
};

// The code cache holds string hashes, seeded at random for each process. This seed makes them the same in every build,
// and is, unlike --hash-seed, no part of the flags that V8 compares when it loads the cache.
const seed = ["--random-seed=1"];

/** It starts without this machine's environment, knows who it is, and complains about nothing (say a rejected cache). */
export async function checkExecutable(executable: string, { version, commit }: Identity): Promise<void> {
  const { stdout, stderr } = await run(executable, ["--version"], { env: {} });
  if (!stdout.includes(version) || !stdout.includes(commit) || stderr !== "") {
    throw new Error(`--version of the new executable is not as expected: ${stdout}${stderr}`);
  }
}

export async function sha256(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return hash.digest("hex");
}
