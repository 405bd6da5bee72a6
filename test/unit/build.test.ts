import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { partsOf } from "../../scripts/build-node.ts";
import { notice } from "../../scripts/build-notice.ts";
import { type BundledPackage, bundledPackages, packageFolder } from "../../scripts/build-packages.ts";
import { sbom } from "../../scripts/build-sbom.ts";

const integrity = `sha512-${Buffer.from("0123").toString("base64")}`;

let root = "";
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), "import-images-unit-"));
});
afterEach(() => rm(root, { recursive: true }));

const install = async (folder: string, manifest: object, files: Record<string, string>): Promise<void> => {
  await mkdir(path.join(root, folder), { recursive: true });
  await writeFile(path.join(root, folder, "package.json"), JSON.stringify(manifest));
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(root, folder, name), text);
};
const lock = (packages: Record<string, object>): Promise<void> =>
  writeFile(path.join(root, "package-lock.json"), JSON.stringify({ packages }));

describe("the packages of a bundle", () => {
  test("are named by the innermost node_modules folder, scope included", () => {
    expect(packageFolder("node_modules/a/lib/x.js")).toBe("node_modules/a");
    expect(packageFolder("node_modules/a/node_modules/@b/c/x.js")).toBe("node_modules/a/node_modules/@b/c");
    expect(packageFolder("src/main.ts")).toBeUndefined();
  });

  test("come with licence, integrity and the dependency that Node would load", async () => {
    const own = "node_modules/a/node_modules/b";
    await install(
      "node_modules/a",
      { name: "a", version: "1.0.0", license: "MIT" },
      { LICENSE: "terms of a\n" },
    );
    await install("node_modules/b", { name: "b", version: "1.0.0", license: "MIT" }, { LICENSE: "b" });
    await install(
      own,
      { name: "b", version: "2.0.0", license: "ISC" },
      { "license.md": "terms", NOTICE: "credit" },
    );
    await lock({
      "node_modules/a": { version: "1.0.0", integrity, dependencies: { b: "^2.0.0", unused: "1.0.0" } },
      "node_modules/b": { version: "1.0.0", integrity },
      [own]: { version: "2.0.0", integrity },
    });
    const inputs = [
      "src/main.ts",
      `${own}/i.js`,
      "node_modules/b/i.js",
      "node_modules/a/i.js",
      "node_modules/a/j.js",
    ];
    const [a, nested, b, ...more] = await bundledPackages(root, inputs);
    expect(more).toEqual([]);
    expect(a).toMatchObject({ name: "a", licenceText: "terms of a", dependsOn: [own], integrity });
    expect(nested).toMatchObject({ version: "2.0.0", licence: "ISC", licenceText: "credit\n\nterms" });
    expect(b).toMatchObject({ version: "1.0.0", dependsOn: [] });
  });

  test.each([
    ["names no licence", { name: "a", version: "1.0.0" }, { LICENSE: "terms" }],
    ["has no text of its licence", { name: "a", version: "1.0.0", license: "MIT" }, { "index.js": "" }],
    [
      "is not the version in the lock file",
      { name: "a", version: "9.0.0", license: "MIT" },
      { LICENSE: "terms" },
    ],
  ])("fail the build when one %s", async (reason, manifest, files) => {
    await install("node_modules/a", manifest, files);
    await lock({ "node_modules/a": { version: "1.0.0", integrity } });
    await expect(bundledPackages(root, ["node_modules/a/i.js"])).rejects.toThrow(reason);
  });
});

describe("what accompanies the executable", () => {
  const identity = { version: "1.2.3", commit: "abc" };
  const entry: BundledPackage = {
    folder: "node_modules/@s/a",
    name: "@s/a",
    version: "4.5.6",
    licence: "MIT",
    licenceText: "terms of a",
    integrity,
    dependsOn: [],
  };
  const runtime = {
    version: "26.0.0",
    sha256: "ff",
    parts: [{ name: "openssl", version: "3.5.8", licence: "Apache-2.0" }],
    licenceText: "terms of Node",
  };

  test("the NOTICE has every name with its terms, Node's included", () => {
    const text = notice(identity, [entry], runtime);
    for (const part of ["@s/a 4.5.6 (MIT)", "terms of a", "openssl 3.5.8 (Apache-2.0)", "terms of Node"]) {
      expect(text).toContain(part);
    }
  });

  test("the SBOM identifies each part by its digest, and is the same for the same inputs", () => {
    const document = JSON.parse(sbom(identity, [entry], runtime, "aa"));
    expect(document.metadata.component.hashes).toEqual([{ alg: "SHA-256", content: "aa" }]);
    expect(document.components).toMatchObject([
      { purl: "pkg:npm/%40s/a@4.5.6", hashes: [{ alg: "SHA-512", content: "30313233" }] },
      { name: "node", version: "26.0.0", hashes: [{ alg: "SHA-256", content: "ff" }] },
    ]);
    expect(document.dependencies[0]).toEqual({ ref: "import-images", dependsOn: [entry.folder, "node"] });
    expect(sbom(identity, [entry], runtime, "aa")).toBe(sbom(identity, [entry], runtime, "aa"));
  });

  test("a part of Node whose licence nobody looked up fails the build", () => {
    expect(partsOf({ node: "26.0.0", modules: "147", zlib: "1.3", nghttp3: "" })).toEqual([
      { name: "zlib", version: "1.3", licence: "Zlib" },
    ]);
    expect(() => partsOf({ novel: "1.0" })).toThrow("no licence is known");
  });
});
