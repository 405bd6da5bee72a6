import { execFile } from "node:child_process";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { copyReleaseTree, finishedBuild, type ReleaseTree, tarballOf } from "../bosh/release.ts";
import { releaseDir } from "../bosh/templates.ts";
import { type Folder, temporaryFolder } from "../rig/folder.ts";
import { run } from "../rig/run.ts";
import { describeReal } from "../rig/suite.ts";
import { toolPaths } from "../rig/tools.ts";

interface ReleaseManifest {
  readonly name: string;
  readonly version: string;
  readonly commit_hash: string;
  readonly uncommitted_changes: boolean;
  readonly jobs: readonly {
    readonly name: string;
    readonly fingerprint: string;
    readonly packages: readonly string[];
  }[];
  readonly packages: readonly {
    readonly name: string;
    readonly fingerprint: string;
    readonly dependencies: readonly string[];
  }[];
}

async function manifestOf(tree: ReleaseTree): Promise<ReleaseManifest> {
  return parse(await run("tar", ["-xzOf", tarballOf(tree), "release.MF"])) as ReleaseManifest;
}

const fingerprints = ({ jobs, packages }: ReleaseManifest): string[] =>
  [...jobs, ...packages].map(({ fingerprint }) => fingerprint);

describeReal(
  "the release tarball",
  "1.7",
  () => {
    let folder: Folder;
    let build: string;
    let tree: ReleaseTree;
    let manifest: ReleaseManifest;

    beforeAll(async () => {
      folder = temporaryFolder();
      build = finishedBuild();
      tree = await copyReleaseTree(folder.path, build);
      await tree.create("--version", "1.2.3");
      manifest = await manifestOf(tree);
    }, 300_000);
    afterAll(() => folder[Symbol.dispose]());

    test("is one job and one package, of the version that was asked for", async () => {
      expect(manifest).toMatchObject({
        name: "import-images",
        version: "1.2.3",
        commit_hash: (await tree.git("rev-parse", "--short", "HEAD")).trim(),
        uncommitted_changes: false,
        jobs: [{ name: "import-images", packages: ["import-images"] }],
        packages: [{ name: "import-images", dependencies: [] }],
      });
    });

    test("is at most 50 MB", async () => {
      const { size } = await stat(tarballOf(tree));
      console.info(`release tarball: ${(size / 1e6).toFixed(1)} MB`);
      expect(size).toBeLessThanOrEqual(50_000_000);
    });

    test("leaves the tree that it is made in as git has it", async () => {
      expect(await tree.git("status", "--porcelain")).toBe("");
    });

    test("has the same fingerprints when it is made again, here and in another place", async () => {
      await tree.create();
      const again = await manifestOf(tree);
      expect(again.version).toMatch(/\+dev\.\d+$/u);
      expect(fingerprints(again)).toEqual(fingerprints(manifest));
      await using elsewhere = await anotherTree(build);
      await elsewhere.tree.create("--version", "1.2.3");
      expect(fingerprints(await manifestOf(elsewhere.tree))).toEqual(fingerprints(manifest));
    });

    test("installs the executable, licences and bill of materials, without compiling anything", async () => {
      const installed = await compilePackage(tree, folder.path);
      const modes = await run("find", [installed, "-type", "f", "-printf", "%m %P\n"]);
      expect(modes.trim().split("\n").toSorted()).toEqual([
        "644 LICENSE",
        "644 NOTICE",
        "644 sbom.json",
        "755 bin/import-images",
      ]);
      JSON.parse(await readFile(path.join(installed, "sbom.json"), "utf8"));
    });

    test("needs no newer glibc than a Jammy stemcell has", async () => {
      const symbols = await run("objdump", ["-T", path.join(build, "import-images")]);
      const versions = [...symbols.matchAll(/GLIBC_(?<version>\d+\.\d+)/gu)].map(({ groups }) =>
        Number(groups?.["version"]?.split(".")[1]),
      );
      expect(versions.length).toBeGreaterThan(0);
      console.info(`newest glibc symbol: 2.${Math.max(...versions)}`);
      expect(Math.max(...versions)).toBeLessThanOrEqual(35);
    });

    test("refuses to be final without a blobstore, and says what to do", async () => {
      await expect(tree.create("--final")).rejects.toThrow("--final needs a blobstore");
    });

    test("is final with a blobstore of the operator's, recorded for git, and made again by others from there", async () => {
      await using mine = await anotherTree(build);
      const blobstore = path.join(mine.folder.path, "blobstore");
      await mkdir(blobstore);
      const config = {
        name: "import-images",
        blobstore: { provider: "local", options: { blobstore_path: blobstore } },
      };
      await writeFile(path.join(mine.tree.directory, "bosh-release/config/final.yml"), asYaml(config));
      await mine.tree.git("commit", "--quiet", "--all", "--message", "A blobstore");
      await mine.tree.create("--final", "--version", "2.0.0");
      expect(fingerprints(await manifestOf(mine.tree))).toEqual(fingerprints(manifest));

      const recorded = (await mine.tree.git("status", "--porcelain", "--untracked-files=all"))
        .trim()
        .split("\n");
      expect(recorded.map((entry) => entry.slice(3)).toSorted()).toEqual([
        "bosh-release/.final_builds/jobs/import-images/index.yml",
        "bosh-release/.final_builds/license/index.yml",
        "bosh-release/.final_builds/packages/import-images/index.yml",
        "bosh-release/releases/import-images/import-images-2.0.0.yml",
        "bosh-release/releases/import-images/index.yml",
      ]);
      await mine.tree.git("add", "--all");
      await mine.tree.git("commit", "--quiet", "--message", "Release 2.0.0");

      const clone = path.join(mine.folder.path, "clone");
      await mine.tree.git("clone", "--quiet", mine.tree.directory, clone);
      const theirs = { ...mine.tree, directory: clone };
      await mkdir(path.join(clone, "dist"));
      const recipe = path.join(clone, "bosh-release/releases/import-images/import-images-2.0.0.yml");
      await bosh(
        path.join(mine.folder.path, "their-home"),
        "create-release",
        "--dir",
        path.join(clone, "bosh-release"),
        recipe,
        "--tarball",
        tarballOf(theirs),
      );
      expect(fingerprints(await manifestOf(theirs))).toEqual(fingerprints(manifest));
    });

    test("has an ops file that the CLI applies to a manifest", async () => {
      const cluster = path.join(folder.path, "cluster.yml");
      await writeFile(cluster, asYaml({ name: "cluster", releases: [{ name: "kubo", version: "1" }] }));
      const opsFile = path.join(releaseDir, "examples/add-to-deployment.yml");
      const result = parse(await bosh(folder.path, "interpolate", cluster, "--ops-file", opsFile)) as object;
      expect(result).toMatchObject({
        releases: [{ name: "kubo" }, { name: "import-images" }],
        addons: [{ name: "import-images", include: { jobs: [{ name: "containerd", release: "kubo" }] } }],
      });
    });
  },
  ["bosh"],
);

const bosh = (home: string, ...args: readonly string[]): Promise<string> =>
  run("env", [`HOME=${home}`, toolPaths("1.7").bosh, "--non-interactive", ...args]);

// JSON is YAML, but scripts/create-release reads this one by lines.
const asYaml = (value: object): string => JSON.stringify(value, undefined, 2).replaceAll(/"(\w+)":/gu, "$1:");

interface AnotherTree extends AsyncDisposable {
  readonly folder: Folder;
  readonly tree: ReleaseTree;
}

async function anotherTree(build: string): Promise<AnotherTree> {
  const folder = temporaryFolder();
  const tree = await copyReleaseTree(folder.path, build);
  return { folder, tree, [Symbol.asyncDispose]: async () => folder[Symbol.dispose]() };
}

/** Runs the packaging script as a compilation VM does; the folder that it installed into. */
async function compilePackage(tree: ReleaseTree, folder: string): Promise<string> {
  const compile = path.join(folder, "compile");
  const install = path.join(folder, "install");
  await Promise.all([mkdir(compile), mkdir(install)]);
  await run("tar", ["-xzf", tarballOf(tree), "-C", folder, "packages/import-images.tgz"]);
  await run("tar", ["-xzf", path.join(folder, "packages/import-images.tgz"), "-C", compile]);
  await promisify(execFile)("bash", ["-x", "packaging"], {
    cwd: compile,
    env: { PATH: "/usr/bin:/bin", BOSH_COMPILE_TARGET: compile, BOSH_INSTALL_TARGET: install },
  });
  return install;
}
