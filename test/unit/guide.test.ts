// The operator's guide says of some statements which test holds them: those tests have to be there.
import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";

const repository = path.join(import.meta.dirname, "../..");
const guide = readFileSync(path.join(repository, "bosh-release/README.md"), "utf8");
const suites = new Map(
  globSync("test/real/*.test.ts", { cwd: repository }).map((file) => [
    path.basename(file, ".test.ts"),
    readFileSync(path.join(repository, file), "utf8"),
  ]),
);

// Other comments mark what is generated.
const named = [...guide.matchAll(/<!-- (?<suite>kubelet-\w+): (?<title>.+?) -->/gu)].map(({ groups }) => [
  groups?.["suite"] ?? "",
  groups?.["title"] ?? "",
]);

test("the guide names tests", () => {
  expect(named.length).toBeGreaterThan(10);
});

test.each(named)("%s has the test that the guide names: %s", (suite, title) => {
  expect(suites.get(suite)).toContain(`test("${title}"`);
});
