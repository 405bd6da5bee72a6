import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import path from "node:path";
import process from "node:process";
import { promisify } from "node:util";

export interface Identity {
  version: string;
  commit: string;
}

// Everything that decides the bytes of the executable. The commit baked in is the last one that touched these, not HEAD:
// it is part of the BOSH package's fingerprint, and a commit to the documentation must not roll every worker.
const inputs = ["src", "scripts/build*", "package.json", "package-lock.json", "LICENSE"];

export async function identify(root: string): Promise<Identity> {
  const manifest: { version: string } = JSON.parse(await readFile(path.join(root, "package.json"), "utf8"));
  return { version: manifest.version, commit: await commitOf(root) };
}

async function commitOf(root: string): Promise<string> {
  try {
    const git = async (...args: string[]): Promise<string> =>
      (await promisify(execFile)("git", args, { cwd: root })).stdout.trim();
    if ((await git("rev-parse", "--is-shallow-repository")) === "true") warnOfShallowClone();
    const commit = await git("log", "-1", "--format=%h", "--abbrev=12", "--", ...inputs);
    if (commit === "") return "unknown";
    const changes = await git("status", "--porcelain", "--", ...inputs);
    return changes === "" ? commit : `${commit}-dirty`;
  } catch {
    return "unknown"; // No git, or not a clone: an exported source tree builds as well.
  }
}

// The history ends at the clone's depth, so its oldest commit seems to have touched everything.
function warnOfShallowClone(): void {
  process.stderr.write(
    "warning: a shallow clone; the commit, and so the digest, can differ from a full one\n",
  );
}
