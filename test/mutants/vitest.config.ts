import process from "node:process";
import { defineConfig } from "vitest/config";

// The unit tests without projects, of which Stryker would start the real ones. Left out: what reads sources, which are
// full of mutants here, git or dist, and what measures time by the real clock.
export default defineConfig({
  test: {
    restoreMocks: true,
    unstubEnvs: true,
    isolate: false,
    include: [process.env["MUTANTS_TESTS"] ?? "test/unit/**/*.test.ts"],
    exclude: [
      "test/unit/{bench-failure,bosh-scripts,build,build-identity,documents}.test.ts",
      "test/unit/report/{lines,output}.test.ts",
      "test/unit/rig/**",
    ],
  },
});
