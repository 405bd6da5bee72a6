import type { Identity } from "./build-identity.ts";
import type { Runtime } from "./build-node.ts";
import type { BundledPackage } from "./build-packages.ts";

const rule = "=".repeat(80);

/** What has to accompany the executable: who wrote its parts, and under which terms. */
export function notice(
  identity: Identity,
  packages: readonly BundledPackage[],
  runtime: Pick<Runtime, "version" | "parts" | "licenceText">,
): string {
  const sections = packages.map(({ name, version, licence, licenceText }) => [
    `${name} ${version} (${licence})`,
    licenceText,
  ]);
  return [
    `import-images ${identity.version}, licensed under the Apache License, Version 2.0.`,
    "",
    `The executable contains Node.js ${runtime.version} and these packages:`,
    ...packages.map(({ name, version, licence }) => `  ${name} ${version} (${licence})`),
    "Node.js itself contains, among others:",
    ...runtime.parts.map(({ name, version, licence }) => `  ${name} ${version} (${licence})`),
    ...[...sections, [`Node.js ${runtime.version}`, runtime.licenceText.trim()]].flatMap(([title, text]) => [
      "",
      rule,
      title,
      rule,
      "",
      text,
    ]),
    "",
  ].join("\n");
}
