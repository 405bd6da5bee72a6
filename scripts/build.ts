// scripts/build [--verify-reproducible]: dist/import-images, its check sum, NOTICE and sbom.json.
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { bundle } from "./build-bundle.ts";
import { buildExecutable, checkExecutable, sha256 } from "./build-executable.ts";
import { type Identity, identify } from "./build-identity.ts";
import { runtimeOf } from "./build-node.ts";
import { notice } from "./build-notice.ts";
import { bundledPackages } from "./build-packages.ts";
import { sbom } from "./build-sbom.ts";

async function build(root: string, identity: Identity): Promise<string> {
  const dist = path.join(root, "dist");
  await mkdir(dist, { recursive: true });
  const runtime = await runtimeOf(root);
  const bundled = await bundle(root, identity);
  const packages = await bundledPackages(root, bundled.inputs);
  const executable = path.join(dist, "import-images");
  await buildExecutable(executable, bundled.code, runtime.executable);
  await checkExecutable(executable, identity);
  const digest = await sha256(executable);
  await writeFile(`${executable}.sha256`, `${digest}  import-images\n`);
  // What a stack trace of the executable points into.
  await writeFile(path.join(dist, "import-images.js"), bundled.code);
  await writeFile(path.join(dist, "NOTICE"), notice(identity, packages, runtime));
  await writeFile(path.join(dist, "sbom.json"), sbom(identity, packages, runtime, digest));
  return digest;
}

/** The same inputs in another folder have to give the same bytes: BOSH would roll every worker for a changed one. */
async function buildElsewhere(root: string, identity: Identity): Promise<string> {
  const copy = await mkdtemp(path.join(tmpdir(), "import-images-build-"));
  try {
    const files = ["package.json", "package-lock.json", "tsconfig.json", ".node-version", "LICENSE"];
    const inputs = ["src", "scripts", ...files];
    for (const name of inputs) await cp(path.join(root, name), path.join(copy, name), { recursive: true });
    await symlink(path.join(root, "node_modules"), path.join(copy, "node_modules"));
    return await build(copy, identity);
  } finally {
    await rm(copy, { recursive: true });
  }
}

const { values } = parseArgs({ options: { "verify-reproducible": { type: "boolean", default: false } } });
const root = path.resolve(import.meta.dirname, "..");
const identity = await identify(root);
const digest = await build(root, identity);
process.stdout.write(`${digest}  dist/import-images (${identity.version}, commit ${identity.commit})\n`);
if (values["verify-reproducible"]) {
  const second = await buildElsewhere(root, identity);
  if (second !== digest) throw new Error(`not reproducible: in another folder the digest is ${second}`);
  process.stdout.write("reproducible: a build in another folder has the same digest\n");
}
