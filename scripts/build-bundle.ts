import { isBuiltin } from "node:module";
import { build, type Metafile, type Plugin } from "esbuild";
import type { Identity } from "./build-identity.ts";

export interface Bundle {
  code: string;
  /** Files that have code in the bundle, relative to the root. */
  inputs: string[];
}

export async function bundle(root: string, identity: Identity): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: ["src/main.ts"],
    outfile: "dist/import-images.js",
    bundle: true,
    write: false,
    metafile: true,
    platform: "node",
    target: "node26",
    // A script, not a module: only for a script does V8 take code that was compiled while it ran.
    format: "iife",
    // Paths stay below the root, whatever it is called and however node_modules got there: they end up in comments.
    preserveSymlinks: true,
    // Not minified: 0.3 of 118 MB, and stack traces keep their names and lines.
    define: { IMPORT_IMAGES_BUILD: JSON.stringify({ version: identity.version, commit: identity.commit }) },
    // All licence texts are in the NOTICE.
    legalComments: "none",
    logLevel: "warning",
    plugins: [lazyBuiltins],
  });
  const [output, ...more] = outputFiles;
  if (output === undefined || more.length > 0) throw new Error("esbuild did not make exactly one file");
  return { code: inOneByte(output.text), inputs: inputsOf(metafile) };
}

// V8 keeps a source with a single character beyond Latin-1 in two bytes for each, and makes that copy at each start: a
// fifth of the time that --version takes. esbuild escapes such characters everywhere but in comments.
function inOneByte(code: string): string {
  return code.replace(/[^\0-\x7f]/gu, "?");
}

function inputsOf(metafile: Metafile): string[] {
  const outputs = Object.values(metafile.outputs);
  const external = outputs.flatMap((output) => output.imports.filter((used) => used.external === true));
  if (external.length > 0) {
    throw new Error(`not bundled, so missing on a worker: ${external.map((used) => used.path).join(", ")}`);
  }
  const used = outputs.flatMap((output) => Object.entries(output.inputs));
  return used
    .filter(([file, { bytesInOutput }]) => bytesInOutput > 0 && !file.startsWith(`${namespace}:`))
    .map(([file]) => file)
    .toSorted();
}

const namespace = "builtin";

// An ES module's imports of Node's own modules are all loaded before its first line, used or not: a fifth of the time
// that --version takes. Looked up when the code that needs them runs, they cost nothing until then. It also gives
// pino, which is CommonJS, the modules it asks require() for.
const lazyBuiltins: Plugin = {
  name: "lazy-builtins",
  setup(plugin) {
    plugin.onResolve({ filter: /^[a-z_:/0-9]+$/ }, ({ path }) =>
      isBuiltin(path) ? { path: path.replace(/^(?!node:)/, "node:"), namespace } : undefined,
    );
    plugin.onLoad({ filter: /^/, namespace }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
    }));
  },
};
