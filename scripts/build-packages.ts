import { readdir, readFile } from "node:fs/promises";
import path from "node:path";

export interface BundledPackage {
  /** Its folder below the root, which is also its key in the lock file. */
  folder: string;
  name: string;
  version: string;
  /** SPDX expression. */
  licence: string;
  licenceText: string;
  integrity: string;
  /** Folders of the bundled packages it depends on. */
  dependsOn: string[];
}

interface LockEntry {
  version?: string;
  integrity?: string;
  dependencies?: Record<string, string>;
}

/** The npm packages that these files of a bundle come from, each with its licence, or an error. */
export async function bundledPackages(root: string, inputs: readonly string[]): Promise<BundledPackage[]> {
  const lock: { packages: Record<string, LockEntry> } = JSON.parse(
    await readFile(path.join(root, "package-lock.json"), "utf8"),
  );
  const folders = [...new Set(inputs.flatMap((file) => packageFolder(file) ?? []))].toSorted();
  const known = new Set(folders);
  return Promise.all(folders.map((folder) => describe(root, folder, lock.packages[folder], known)));
}

/** `node_modules/a/node_modules/@b/c` of `node_modules/a/node_modules/@b/c/lib/index.js`. */
export function packageFolder(file: string): string | undefined {
  return /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0];
}

async function describe(
  root: string,
  folder: string,
  locked: LockEntry | undefined,
  known: ReadonlySet<string>,
): Promise<BundledPackage> {
  const manifest: { name: string; version: string; license?: unknown } = JSON.parse(
    await readFile(path.join(root, folder, "package.json"), "utf8"),
  );
  const { name, version, license } = manifest;
  if (locked?.version !== version || locked.integrity === undefined) {
    throw new Error(`${folder} is not the version in the lock file: run npm ci`);
  }
  if (typeof license !== "string" || license === "") {
    throw new Error(`${name} ${version} is bundled and names no licence`);
  }
  return {
    folder,
    name,
    version,
    licence: license,
    integrity: locked.integrity,
    licenceText: await licenceText(root, folder, license),
    dependsOn: dependenciesOf(folder, Object.keys(locked.dependencies ?? {}), known),
  };
}

async function licenceText(root: string, folder: string, licence: string): Promise<string> {
  const files = (await readdir(path.join(root, folder))).filter((file) =>
    /^(licen[cs]e|copying|notice)\b/i.test(file),
  );
  if (files.length === 0) return declaredTexts(root, folder, licence);
  const texts = files.toSorted().map((file) => readFile(path.join(root, folder, file), "utf8"));
  return (await Promise.all(texts)).map((text) => text.trim()).join("\n\n");
}

/** Of a package that declares its licence and ships no text: our own copy of the same, or the words above its code. */
async function declaredTexts(root: string, folder: string, licence: string): Promise<string> {
  const names = licence.match(/[\w.-]+/gu)?.filter((word) => word !== "AND") ?? [];
  const texts = names.map(async (name) => {
    if (name === "Apache-2.0") return readFile(path.join(root, "LICENSE"), "utf8");
    const [file, known] = HEADERS[`${folder} ${name}`] ?? [];
    if (file === undefined) throw new Error(`${folder} is bundled and has no text of its licence ${name}`);
    const header = /^(?:\/\/.*\n)+/u.exec(await readFile(path.join(root, folder, file), "utf8"))?.[0] ?? "";
    if (!header.includes(known ?? ""))
      throw new Error(`${folder}/${file} no longer begins with its licence ${name}`);
    return header.replaceAll(/^\/\/ ?/gmu, "");
  });
  return (await Promise.all(texts)).map((text) => text.trim()).join("\n\n");
}

/** Files that begin with the text of a licence, and words that it has. */
const HEADERS: Readonly<Record<string, readonly [string, string]>> = {
  "node_modules/@bufbuild/protobuf BSD-3-Clause": [
    "dist/esm/wire/varint.js",
    "Redistribution and use in source",
  ],
};

/** As Node resolves: the nearest node_modules that has it. */
function dependenciesOf(folder: string, names: readonly string[], known: ReadonlySet<string>): string[] {
  const parents = [folder];
  for (
    let end = folder.lastIndexOf("/node_modules/");
    end >= 0;
    end = folder.lastIndexOf("/node_modules/", end - 1)
  ) {
    parents.push(folder.slice(0, end));
  }
  const candidates = (name: string): string[] => [
    ...parents.map((parent) => `${parent}/node_modules/${name}`),
    `node_modules/${name}`,
  ];
  return names.flatMap((name) => candidates(name).find((candidate) => known.has(candidate)) ?? []).toSorted();
}
