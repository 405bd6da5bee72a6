// What the suites run: the built executable, as BOSH does.
import { existsSync, globSync, statSync } from "node:fs";
import path from "node:path";
import process from "node:process";

const repository = path.join(import.meta.dirname, "../../..");

/**
 * The program and its first arguments. IMPORT_IMAGES_BUILD names a folder with a finished build;
 * IMPORT_IMAGES_FROM_SOURCE=1 runs src/main.ts instead, for work on a tree that changes faster than it can be built.
 */
export function agentCommand(): readonly [string, ...string[]] {
  if (process.env["IMPORT_IMAGES_FROM_SOURCE"] === "1") {
    return [process.execPath, path.join(repository, "src/main.ts")];
  }
  const given = process.env["IMPORT_IMAGES_BUILD"];
  if (given !== undefined) return [path.join(given, "import-images")];
  const executable = path.join(repository, "dist/import-images");
  // A stale executable would let these tests pass on code that is no longer there.
  if (!existsSync(executable) || statSync(executable).mtimeMs < newestSource()) {
    throw new Error("dist/import-images is missing or older than src: run scripts/build");
  }
  return [executable];
}

const newestSource = (): number =>
  Math.max(
    ...globSync("src/**/*.ts", { cwd: repository }).map(
      (file) => statSync(path.join(repository, file)).mtimeMs,
    ),
  );
