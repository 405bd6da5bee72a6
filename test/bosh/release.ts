// The release as scripts/create-release makes it, in a copy of the repository: the CLI keeps what it built beside the
// release, and the tree under test is not the place for that.
import { cp, mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { agentCommand } from "../real/support/executable.ts";
import { run } from "../rig/run.ts";
import { toolPaths } from "../rig/tools.ts";

const repository = path.join(import.meta.dirname, "../..");

export interface ReleaseTree {
  readonly directory: string;
  /** Runs scripts/create-release; what it printed. */
  create(...args: readonly string[]): Promise<string>;
  git(...args: readonly string[]): Promise<string>;
}

/** The folder with a finished build: the one under test, and no older than its sources. */
export const finishedBuild = (): string => path.dirname(agentCommand()[0]);

/** @param folder where the copy goes; @param build from finishedBuild */
export async function copyReleaseTree(folder: string, build: string): Promise<ReleaseTree> {
  const directory = path.join(folder, "repository");
  await mkdir(path.join(directory, "scripts"), { recursive: true });
  for (const name of ["bosh-release", "scripts/create-release", "package.json", "LICENSE", ".gitignore"]) {
    await cp(path.join(repository, name), path.join(directory, name), { recursive: true });
  }
  // What the copied tree has made by itself.
  const made = [
    "src",
    "LICENSE",
    "NOTICE",
    ".dev_builds",
    "dev_releases",
    ".final_builds",
    "releases",
    "config/dev.yml",
    "config/private.yml",
  ];
  await Promise.all(
    made.map((name) => rm(path.join(directory, "bosh-release", name), { recursive: true, force: true })),
  );
  const git = (...args: readonly string[]): Promise<string> =>
    run("git", ["-C", directory, "-c", "user.name=rig", "-c", "user.email=rig@invalid", ...args]);
  await git("init", "--quiet", "--initial-branch=main");
  await git("add", "--all");
  await git("commit", "--quiet", "--message", "A commit");
  const env = { BOSH_CLI: toolPaths("1.7").bosh, IMPORT_IMAGES_BUILD: build, HOME: folder };
  const create = (...args: readonly string[]): Promise<string> =>
    run("env", [
      ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
      path.join(directory, "scripts/create-release"),
      ...args,
    ]);
  return { directory, create, git };
}

export const tarballOf = ({ directory }: ReleaseTree): string =>
  path.join(directory, "dist/import-images-release.tgz");
