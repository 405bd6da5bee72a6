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
    licenceText: await licenceText(path.join(root, folder), `${name} ${version}`),
    dependsOn: dependenciesOf(folder, Object.keys(locked.dependencies ?? {}), known),
  };
}

async function licenceText(folder: string, title: string): Promise<string> {
  const files = (await readdir(folder)).filter((file) => /^(licen[cs]e|copying|notice)\b/i.test(file));
  if (files.length === 0) throw new Error(`${title} is bundled and has no licence text`);
  const texts = files.toSorted().map((file) => readFile(path.join(folder, file), "utf8"));
  return (await Promise.all(texts)).map((text) => text.trim()).join("\n\n");
}

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
